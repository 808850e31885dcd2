// @ts-check
// The bar above every page: where one is, the theme, and who one is.

import { h, setText } from '../dom.js';
import { link } from './router.js';
import { askForToken } from './token-dialog.js';

const THEMES = ['system', 'dark', 'light'];
const GLYPHS = ['◐', '☾', '☀'];
const TICK_MS = 15_000;
const SOON_MS = 5 * 60_000;
const VERY_SOON_MS = 60_000;

/** @param {import('./session.js').Session} session */
export function makeHeader(session) {
  const links = [['runs', '', 'Runs'], ['jobs', 'jobs', 'Jobs']].map(([section, path, text]) =>
    h('a', { href: link(path), dataset: { section } }, text));
  const nav = h('nav', { ariaLabel: 'Main' }, ...links);
  const who = h('span', { className: 'who' });
  const renew = h('button', { type: 'button', className: 'button small warn', hidden: true,
    onclick: () => askForToken(session, 'early') }, 'New token');
  const out = h('button', { type: 'button', className: 'button small quiet', onclick: () => session.signOut() }, 'Sign out');
  const account = h('span', { className: 'account' }, who, renew, out);
  const element = h('header', { className: 'top' },
    h('a', { className: 'brand', href: link('') }, h('span', { className: 'mark', ariaHidden: 'true' }, '▸'), h('span', { className: 'word' }, 'Runwire')),
    nav, h('span', { className: 'space' }), makeThemeButton(), account);

  const showAccount = () => {
    nav.hidden = account.hidden = session.token === null;
    const { name, expiresMs } = session.claims;
    const left = expiresMs === null ? Number.POSITIVE_INFINITY : expiresMs - Date.now();
    setText(who, [name, expiryText(expiresMs, left)].filter(Boolean).join(' · '));
    who.title = expiresMs === null ? '' : `The token expires on ${new Date(expiresMs).toLocaleString()}`;
    renew.hidden = left > SOON_MS;
    account.dataset.soon = String(left < VERY_SOON_MS);
  };
  session.addEventListener('token', showAccount);
  setInterval(showAccount, TICK_MS);
  showAccount();

  return {
    element,
    /** @param {string} section of the page that is shown */
    update(section) {
      for (const anchor of links) anchor.ariaCurrent = anchor.dataset.section === section ? 'page' : null;
    },
  };
}

/** @param {number | null} expiresMs @param {number} left */
function expiryText(expiresMs, left) {
  if (expiresMs === null || left > 48 * 3_600_000) return '';
  if (left <= 0) return 'token expired';
  const minutes = Math.ceil(left / 60_000);
  return minutes < 120 ? `token ends in ${minutes} min` : `token ends in ${Math.floor(minutes / 60)} h`;
}

function makeThemeButton() {
  const button = h('button', { type: 'button', className: 'button small quiet icon' });
  const show = () => {
    const now = Math.max(0, THEMES.indexOf(document.documentElement.dataset.theme ?? 'system'));
    fillButton(now);
    button.onclick = () => {
      const next = THEMES[(now + 1) % THEMES.length];
      if (next === 'system') delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = next;
      localStorage.setItem('runwire.theme', next);
      show();
    };
  };
  const fillButton = (/** @type {number} */ now) => {
    setText(button, GLYPHS[now]);
    button.title = `Colours: ${THEMES[now] === 'system' ? 'as the system has them' : THEMES[now]}`;
    button.ariaLabel = button.title;
  };
  show();
  return button;
}
