// @ts-check
// A run's status as glyph, word and colour.

import { fill, h } from '../dom.js';

/** @type {Record<string, string>} */
export const GLYPHS = { queued: '○', running: '', paused: '‖', succeeded: '✓', failed: '✕', cancelled: '⊘' };

/** @typedef {{status: string, cancel_requested_at: string | null, paused_at: string | null}} Shown */

/** @param {Shown} run */
export function makeBadge(run) {
  const badge = h('span', { className: 'badge' });
  updateBadge(badge, run);
  return badge;
}

/** @param {HTMLElement} badge @param {Shown} run */
export function updateBadge(badge, run) {
  const word = wordOf(run);
  if (badge.dataset.word === word) return;
  badge.dataset.word = word;
  badge.dataset.status = run.status;
  fill(badge, h('span', { className: 'glyph', ariaHidden: 'true' }, GLYPHS[word === 'paused' ? word : run.status]), word);
}

/** @param {Shown} run */
function wordOf({ status, cancel_requested_at, paused_at }) {
  if (status !== 'running') return status;
  if (cancel_requested_at) return 'cancelling';
  return paused_at ? 'paused' : status;
}
