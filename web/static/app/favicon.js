// @ts-check
// The tab's icon and title tell how a run does.

/** @type {Record<string, string>} */
const COLOURS = { queued: '#d29922', running: '#58a6ff', succeeded: '#3fb950', failed: '#f85149', cancelled: '#8b949e' };
/** @type {Record<string, string>} */
const SIGNS = { queued: '○', running: '▸', succeeded: '✓', failed: '✕', cancelled: '⊘' };
/** As strokes on a 32 by 32 square. @type {Record<string, string>} */
const SHAPES = {
  queued: 'M16 9a7 7 0 1 0 .01 0', running: 'M12 8l10 8-10 8z', succeeded: 'M8 17l6 6 11-13',
  failed: 'M10 10l12 12M22 10L10 22', cancelled: 'M10 22L22 10',
};

/** @param {{status: string, name: string} | null} run */
export function showStatusInTab(run) {
  const icon = /** @type {HTMLLinkElement} */ (document.querySelector('link[rel=icon]'));
  const [colour, shape] = run ? [COLOURS[run.status], SHAPES[run.status]] : ['#39c5cf', SHAPES.running];
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#0d1117"/>`
    + `<path d="${shape}" fill="none" stroke="${colour}" stroke-width="4" stroke-linecap="round" stroke-linejoin="round"/></svg>`;
  icon.href = `data:image/svg+xml,${encodeURIComponent(svg)}`;
  if (run) document.title = `${SIGNS[run.status]} ${run.status} · ${run.name} · Runwire`;
}
