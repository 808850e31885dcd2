// @ts-check
// <run-terminal run-id="..."> shows a run's output, live, in any page.
//
// Attributes: `run-id`; `server`, the address of Runwire if it is not where this file came from;
// `token`, which is read once and removed. Property: `token`, a new one at any time.
// Events: `run` (detail: the run, whenever it is known anew), `status` (detail: the status message),
// `run-end` (detail: the run), `connection` (detail: the stream's state), `auth-required` (detail:
// the state that says why).

import { Runs } from './runs.js';
import { TerminalView } from './terminal/view.js';

export class RunTerminal extends HTMLElement {
  static observedAttributes = ['run-id', 'token'];

  /** @type {string | null} */
  #token = null;
  /** @type {TerminalView | null} */
  #view = null;

  /** The token to ask with. A new one lets a stream go on whose old one ended. */
  get token() {
    return this.#token;
  }

  set token(token) {
    this.#token = token || null;
    this.#view?.renew(this.#token);
  }

  /** The text in the terminal, for tests. */
  get text() {
    return this.#view?.text ?? '';
  }

  /** How many characters a row has, for tests. */
  get columns() {
    return this.#view?.columns ?? 0;
  }

  /** Put the keyboard's focus on the output, where the keys that scroll work. */
  focus() {
    this.#view?.focus();
  }

  connectedCallback() {
    // As React 18 sets it, before the element was defined.
    if (Object.hasOwn(this, 'token')) {
      const given = /** @type {any} */ (this).token;
      Reflect.deleteProperty(this, 'token');
      this.#token = given || null;
    }
    this.#open('auto');
  }

  disconnectedCallback() {
    this.#close();
  }

  /** @param {string} name @param {string | null} _old @param {string | null} value */
  attributeChangedCallback(name, _old, value) {
    if (name === 'token') {
      if (value === null) return;
      this.removeAttribute('token');
      this.token = value;
    } else if (this.isConnected) {
      this.#close();
      this.#open('auto');
    }
  }

  /** @param {import('./terminal/view.js').Opening} opening */
  #open(opening) {
    const id = this.getAttribute('run-id');
    if (this.#view || !id) return;
    const server = this.getAttribute('server') ?? undefined;
    this.#view = new TerminalView(this, new Runs({ server, token: () => this.#token }), id, {
      opening,
      reopen: (other) => {
        this.#close();
        this.#open(other);
      },
    });
  }

  #close() {
    this.#view?.close();
    this.#view = null;
    this.replaceChildren();
  }
}

customElements.define('run-terminal', RunTerminal);
