// @ts-check
// The form that takes a token, on the page that signs in and in the dialog that asks for a new one.

import { h } from '../dom.js';
import { ApiError, Runs } from '../runs.js';
import { readClaims } from '../client/claims.js';
import { explain } from './words.js';

/**
 * @param {import('./session.js').Session} session
 * @param {{label: string, done: () => void}} options
 */
export function makeTokenForm(session, { label, done }) {
  const input = h('input', {
    id: 'token', type: 'password', autocomplete: 'off', spellcheck: false, required: true,
    'aria-describedby': 'token-error',
  });
  const keep = h('input', { type: 'checkbox', id: 'keep', checked: session.kept });
  const error = h('p', { id: 'token-error', className: 'error', role: 'alert' });
  const button = h('button', { className: 'button primary', type: 'submit' }, label);
  const form = h('form', { className: 'token-form', noValidate: true },
    h('label', { htmlFor: 'token' }, 'Token'), input, error,
    h('label', { className: 'check', htmlFor: 'keep' }, keep, 'Keep it for this tab, through reloads'),
    button);
  const refuse = (/** @type {string} */ text) => {
    error.textContent = text;
    input.ariaInvalid = 'true';
    input.focus();
  };
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const token = input.value.trim();
    if (!token) return refuse('Paste a token here.');
    button.disabled = true;
    error.textContent = '';
    const trouble = await troubleWith(token);
    button.disabled = false;
    if (trouble) return refuse(trouble);
    session.signIn(token, keep.checked);
    done();
  });
  return { form, input };
}

/** Why a token will not do; null if it will. @param {string} token */
async function troubleWith(token) {
  const { expiresMs } = readClaims(token);
  try {
    await new Runs({ token }).list({ limit: 1 });
    return null;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) {
      return expiresMs !== null && expiresMs < Date.now()
        ? `This token expired on ${new Date(expiresMs).toLocaleString()}.`
        : 'The server does not accept this token. Was all of it copied?';
    }
    return explain(error);
  }
}
