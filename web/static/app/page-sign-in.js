// @ts-check
// Signing in with a token.

import { h } from '../dom.js';
import { makeTokenForm } from './token-form.js';

/** @param {import('./session.js').Session} session */
export function makeSignInPage(session) {
  const { form, input } = makeTokenForm(session, { label: 'Sign in', done: () => {} });
  const element = h('div', { className: 'sign-in' },
    h('div', { className: 'card' },
      h('p', { className: 'brand large' }, h('span', { className: 'mark', ariaHidden: 'true' }, '▸'), 'Runwire'),
      h('h1', {}, 'Sign in'),
      h('p', { className: 'muted' }, 'Paste a token. It stays in this page and is sent to this server only.'),
      form,
      h('details', {},
        h('summary', {}, 'Where do I get a token?'),
        h('ul', {},
          h('li', {}, 'A server started with ', h('code', {}, './dev run'), ' or ', h('code', {}, 'runwire serve --dev'), ' takes ', h('code', {}, 'devtoken'), '.'),
          h('li', {}, 'On the server’s machine, ', h('code', {}, 'runwire token create'), ' makes one.'),
          h('li', {}, 'The variable ', h('code', {}, 'WS_AUTH_TOKEN'), ' of the server may hold one with all rights.')))));
  queueMicrotask(() => input.focus());
  return { title: 'Sign in', element };
}
