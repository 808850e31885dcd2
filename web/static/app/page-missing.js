// @ts-check
// What stands where a page would, if there is none.

import { h } from '../dom.js';
import { link } from './router.js';

/** @param {string} title @param {string} text @returns {import('./router.js').Page} */
export function makeMissingPage(title, text) {
  return {
    title,
    element: h('div', { className: 'page' }, h('div', { className: 'state' }, h('h1', {}, title), h('p', { className: 'muted' }, text),
      h('a', { className: 'button', href: link('') }, 'All runs'))),
  };
}

/** A large remark in place of content. @param {string} title @param {string} text @param {...(Node | false)} more */
export function makeState(title, text, ...more) {
  return h('div', { className: 'state' }, h('h2', {}, title), h('p', { className: 'muted' }, text), ...more);
}
