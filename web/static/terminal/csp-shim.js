// @ts-check
// Lets xterm.js run under a policy without inline styles. It makes `<style>` elements while it
// opens, which such a policy refuses; here they become constructed stylesheets, which it does not.

/** Open a terminal in an element. @param {{open(parent: HTMLElement): void}} terminal @param {HTMLElement} parent */
export function openWithoutStyleElements(terminal, parent) {
  const create = document.createElement;
  // Opening is synchronous, so nobody else gets to see this.
  document.createElement = /** @type {any} */ ((/** @type {string} */ name, /** @type {any} */ options) =>
    name.toLowerCase() === 'style' ? makeSheet() : create.call(document, name, options));
  try {
    terminal.open(parent);
  } finally {
    // The method is the prototype's again.
    Reflect.deleteProperty(document, 'createElement');
  }
}

/** What takes the place of a `<style>` element: its text is that of a stylesheet. */
function makeSheet() {
  const sheet = new CSSStyleSheet();
  const element = Document.prototype.createElement.call(document, 'xterm-style');
  element.hidden = true;
  const remove = element.remove.bind(element);
  const setText = (/** @type {string} */ text) => sheet.replaceSync(text);
  Object.defineProperties(element, {
    textContent: { set: setText },
    innerText: { set: setText },
    remove: {
      value: () => {
        document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet);
        remove();
      },
    },
  });
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  return element;
}
