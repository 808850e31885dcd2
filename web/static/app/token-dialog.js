// @ts-check
// Asks for a new token over the page, which stays as it is and goes on with the new one.

import { h } from '../dom.js';
import { makeTokenForm } from './token-form.js';

/**
 * `ended`: it is not valid any more; `forbidden`: it may not see this; `early`: it is still good.
 * @typedef {'ended' | 'forbidden' | 'early'} Why
 */

/** @type {Record<Why, [string, string]>} */
const WORDS = {
  ended: ['The token is not valid any more', 'The page stays as it is, and output goes on where it stopped.'],
  forbidden: ['This token may not see this', 'It lacks the right to. With a token that may, the page goes on.'],
  early: ['A new token', 'The page stays as it is, and output goes on where it stopped.'],
};

/** @type {HTMLDialogElement | null} */
let open = null;

/** @param {import('./session.js').Session} session @param {Why} why */
export function askForToken(session, why) {
  if (open) return;
  const dialog = h('dialog', { className: 'card', 'aria-labelledby': 'token-title' });
  const { form } = makeTokenForm(session, { label: 'Go on', done: () => dialog.close() });
  const other = why !== 'ended'
    ? h('button', { type: 'button', className: 'button', onclick: () => dialog.close() }, 'Not now')
    : h('button', { type: 'button', className: 'button', onclick: () => { dialog.close(); session.signOut(); } }, 'Sign out');
  form.append(other);
  dialog.append(
    h('h2', { id: 'token-title' }, WORDS[why][0]),
    h('p', { className: 'muted' }, WORDS[why][1]),
    form);
  dialog.addEventListener('close', () => {
    dialog.remove();
    open = null;
  });
  document.body.append(dialog);
  open = dialog;
  dialog.showModal();
}
