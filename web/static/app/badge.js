// @ts-check
// A run's status as glyph, word and colour.

import { fill, h } from '../dom.js';

/** @type {Record<string, string>} */
export const GLYPHS = { queued: '○', running: '', succeeded: '✓', failed: '✕', cancelled: '⊘' };

/** @typedef {{status: string, cancel_requested_at: string | null}} Shown */

/** @param {Shown} run */
export function makeBadge(run) {
  const badge = h('span', { className: 'badge' });
  updateBadge(badge, run);
  return badge;
}

/** @param {HTMLElement} badge @param {Shown} run */
export function updateBadge(badge, run) {
  const word = run.status === 'running' && run.cancel_requested_at ? 'cancelling' : run.status;
  if (badge.dataset.word === word) return;
  badge.dataset.word = word;
  badge.dataset.status = run.status;
  fill(badge, h('span', { className: 'glyph', ariaHidden: 'true' }, GLYPHS[run.status]), word);
}
