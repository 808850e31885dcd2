// @ts-check
// Which of two views of a run is the newer one. Answers and events may overtake each other, and a
// run never goes back. Pure.

/** @typedef {import('./runs.js').Run} Run */

/** How far a run has come. @param {Run} run */
function progress(run) {
  return [
    run.ended_at === null ? 0 : 1,
    run.status === 'queued' ? 0 : 1,
    run.cancel_requested_at === null ? 0 : 1,
    run.stop?.steps.length ?? 0,
    run.paused_s,
    run.paused_at === null ? 0 : 1,
    run.log.size,
  ];
}

/**
 * The view that tells more; `after` if both tell the same.
 * @param {Run | null} before @param {Run} after @returns {Run}
 */
export function latest(before, after) {
  if (before === null || before.id !== after.id) return after;
  const [old, now] = [progress(before), progress(after)];
  const differs = old.findIndex((value, i) => value !== now[i]);
  return differs >= 0 && old[differs] > now[differs] ? before : after;
}
