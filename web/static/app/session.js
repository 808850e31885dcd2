// @ts-check
// Who is using the pages: a token, in memory or for this tab, and what it says about itself.
// It is never put into an address, a cookie or storage that outlives the tab.

const KEY = 'runwire.token';

/**
 * What a token says; null where it does not. A token that is not a JWT says nothing.
 * @typedef {{name: string | null, expiresMs: number | null, scopes: string[] | null}} Claims
 */

/** @param {string} token @returns {Claims} */
export function readClaims(token) {
  const nothing = { name: null, expiresMs: null, scopes: null };
  const parts = token.split('.');
  if (parts.length !== 3) return nothing;
  try {
    const bytes = Uint8Array.from(atob(parts[1].replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return {
      name: typeof claims.sub === 'string' ? claims.sub : null,
      expiresMs: typeof claims.exp === 'number' ? claims.exp * 1000 : null,
      scopes: typeof claims.scope === 'string' ? claims.scope.split(' ') : null,
    };
  } catch {
    return nothing;
  }
}

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
    const { scopes } = this.claims;
    return scopes === null || scopes.includes(scope);
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
