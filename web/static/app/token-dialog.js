// @ts-check
// Asks for a new token over the page, which stays as it is and goes on with the new one.

import { h } from '../dom.js';
import { makeTokenForm } from './token-form.js';

/** @type {HTMLDialogElement | null} */
let open = null;

/** @param {import('./session.js').Session} session @param {{early?: boolean}} [why] `early`: the old one is still good */
export function askForToken(session, { early = false } = {}) {
  if (open) return;
  const dialog = h('dialog', { className: 'card', 'aria-labelledby': 'token-title' });
  const { form } = makeTokenForm(session, { label: 'Go on', done: () => dialog.close() });
  const other = early
    ? h('button', { type: 'button', className: 'button', onclick: () => dialog.close() }, 'Not now')
    : h('button', { type: 'button', className: 'button', onclick: () => { dialog.close(); session.signOut(); } }, 'Sign out');
  form.append(other);
  dialog.append(
    h('h2', { id: 'token-title' }, early ? 'A new token' : 'The token is not valid any more'),
    h('p', { className: 'muted' }, 'The page stays as it is, and output goes on where it stopped.'),
    form);
  dialog.addEventListener('close', () => {
    dialog.remove();
    open = null;
  });
  document.body.append(dialog);
  open = dialog;
  dialog.showModal();
}
