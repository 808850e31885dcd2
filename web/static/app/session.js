// @ts-check
// Who is using the pages: a token, in memory or for this tab, and what it says about itself.
// It is never put into an address, a cookie or storage that outlives the tab.

import { allows, readClaims } from '../client/claims.js';

const KEY = 'runwire.token';

/** Tells `token` when the token is another, `ended` when the server does not take it any more. */
export class Session extends EventTarget {
  /** @type {string | null} */
  #token = sessionStorage.getItem(KEY);

  get token() {
    return this.#token;
  }

  /** Whether the token outlives a reload of the page. */
  get kept() {
    return sessionStorage.getItem(KEY) !== null;
  }

  get claims() {
    return readClaims(this.#token ?? '');
  }

  /** Whether the token has a scope, as far as it says. @param {string} scope */
  may(scope) {
    return allows(this.#token, scope);
  }

  /** @param {string} token @param {boolean} keep for this tab, not only this page */
  signIn(token, keep) {
    this.#token = token;
    if (keep) sessionStorage.setItem(KEY, token);
    else sessionStorage.removeItem(KEY);
    this.dispatchEvent(new Event('token'));
  }

  signOut() {
    this.#token = null;
    sessionStorage.removeItem(KEY);
    this.dispatchEvent(new Event('token'));
  }

  /** The server refused the token. @param {import('./token-dialog.js').Why} [why] */
  end(why = 'ended') {
    this.dispatchEvent(new CustomEvent('ended', { detail: why }));
  }
}
