// @ts-check
// What stands around the terminal: a bar above it, notices, and a line below.

import { h } from '../dom.js';

/** @param {string} text @param {string} title @param {(event: Event) => void} onclick */
function button(text, title, onclick) {
  return h('button', { type: 'button', className: 'rt-button', title, onclick }, text);
}

/**
 * @param {{time: () => void, follow: () => void, download: () => void, fullScreen: () => void,
 *   jump: () => void, typing: () => void}} actions
 */
export function makeFrame(actions) {
  const dot = h('span', { className: 'rt-dot', ariaHidden: 'true' });
  const word = h('span', { className: 'rt-word' });
  const size = h('span', { className: 'rt-size' });
  const count = h('span', {});
  const time = button('Time', 'Show when each line came (t)', actions.time);
  time.classList.add('rt-show-time');
  const typing = button('Typing', 'Whether what you type goes to the run; Ctrl+Shift+Space leaves the terminal', actions.typing);
  typing.hidden = true;
  const follow = button('Follow', 'Stay at the end as output comes (f)', actions.follow);
  const download = button('Raw ↓', 'Download the log, byte for byte', actions.download);
  const full = button('Full screen', 'Fill the screen (z)', actions.fullScreen);
  // Phones of one maker have none.
  full.hidden = !document.fullscreenEnabled;
  const bar = h('div', { className: 'rt-bar' },
    h('span', { className: 'rt-state' }, dot, word), h('span', { className: 'rt-facts' }, size, count),
    h('span', { className: 'rt-tools', role: 'group', ariaLabel: 'View' }, typing, time, follow, download, full));
  const notice = h('div', { className: 'rt-notice', role: 'status', hidden: true });
  const earlier = h('div', { className: 'rt-notice rt-earlier', hidden: true });
  const screen = h('div', { className: 'rt-screen' });
  const empty = h('p', { className: 'rt-empty', hidden: true });
  const jump = h('button', { type: 'button', className: 'rt-button rt-jump', hidden: true, onclick: actions.jump });
  const view = h('div', { className: 'rt-view', role: 'region', ariaLabel: 'Output of the run' }, screen, empty, jump);
  const hidden = h('span', { className: 'rt-hidden' });
  const keys = h('span', { className: 'rt-keys', ariaHidden: 'true' });
  const access = h('span', { className: 'rt-access', role: 'status' });
  const foot = h('div', { className: 'rt-foot' }, hidden, access, keys);
  return { all: [bar, notice, earlier, view, foot], dot, word, size, count, typing, time, follow, download, notice, earlier, view, screen, empty, jump, hidden, access, keys };
}
