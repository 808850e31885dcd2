// @ts-check
// Addresses under /ui/ and the pages behind them.

/**
 * A page while it is shown.
 * @typedef {object} Page
 * @property {string} title
 * @property {Element} element
 * @property {string} [section] of the navigation
 * @property {() => void} [close]
 */
/** @typedef {(parameters: string[], query: URLSearchParams) => Page} MakePage */

/** The pages' address: this file is in `ui/s/HASH/app/`. */
const UI = new URL('../../../', import.meta.url);

/** The address of a page, such as `runs/ID`. @param {string} path */
export function link(path) {
  return new URL(path, UI).href;
}

export class Router {
  #routes;
  #show;

  /**
   * @param {[pattern: RegExp, make: MakePage][]} routes patterns of whole paths below `/ui/`
   * @param {(make: () => Page) => void} show
   */
  constructor(routes, show) {
    this.#routes = routes;
    this.#show = show;
    window.addEventListener('popstate', () => this.render());
    document.addEventListener('click', (event) => this.#click(event));
  }

  /** Go to a page. @param {string} path below `/ui/` @param {{replace?: boolean}} [how] */
  go(path, { replace = false } = {}) {
    history[replace ? 'replaceState' : 'pushState'](null, '', link(path));
    this.render();
    window.scrollTo(0, 0);
  }

  /** Change the address without another page. @param {string} path */
  note(path) {
    history.replaceState(null, '', link(path));
  }

  /** Show the page of the address. */
  render() {
    const path = location.pathname.slice(UI.pathname.length);
    for (const [pattern, make] of this.#routes) {
      const found = pattern.exec(path);
      if (found) {
        this.#show(() => make(found.slice(1).map(decodeURIComponent), new URLSearchParams(location.search)));
        return;
      }
    }
  }

  /** A click on a link to another of our pages stays in this document. @param {MouseEvent} event */
  #click(event) {
    const anchor = event.target instanceof Element ? event.target.closest('a') : null;
    if (!anchor || event.defaultPrevented || event.button !== 0) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey || anchor.target || anchor.download) return;
    if (!anchor.href.startsWith(UI.href)) return;
    event.preventDefault();
    this.go(anchor.href.slice(UI.href.length));
  }
}
