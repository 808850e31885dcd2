// @ts-check
// What a token says about itself. The server decides; this is for what a page offers.

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

/** Whether a token has a scope, as far as it says. @param {string | null} token @param {string} scope */
export function allows(token, scope) {
  const { scopes } = readClaims(token ?? '');
  return scopes === null || scopes.includes(scope);
}
