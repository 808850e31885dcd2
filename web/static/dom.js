// @ts-check
// The one way elements are made here: properties and text nodes, never markup.

/**
 * An element with properties (or attributes, where it has no such property) and children.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any>} [properties] `dataset` and functions included; null is left out
 * @param {...(Node | string | number | null | false)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name === 'dataset') Object.assign(element.dataset, value);
    else if (name in element) /** @type {any} */ (element)[name] = value;
    else element.setAttribute(name, value);
  }
  add(element, children);
  return element;
}

/** Replace what an element holds. @param {Element} element @param {...(Node | string | number | null | false)} children */
export function fill(element, ...children) {
  element.replaceChildren();
  add(element, children);
}

/** @param {Element} element @param {(Node | string | number | null | false)[]} children */
function add(element, children) {
  for (const child of children) {
    if (child !== null && child !== false) element.append(typeof child === 'number' ? String(child) : child);
  }
}

/** Set an element's text, without touching the document if it is the same. @param {Element} element @param {string} text */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
