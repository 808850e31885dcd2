// @ts-check
// When to try again. Pure.

const FIRST_MS = 250;
const LONGEST_MS = 15_000;
const RESTART_MS = 300;
const RESTARTING = 1012;

/** What a close code asks for. @typedef {'retry' | 'token' | 'missing' | 'never'} Advice */

/**
 * @param {number} code of the WebSocket's close
 * @returns {Advice}
 */
export function adviceOf(code) {
  switch (code) {
    case 4401: case 4403: return 'token';
    case 4404: return 'missing';
    case 1009: case 4400: case 4409: return 'never';
    default: return 'retry';
  }
}

/**
 * How long to wait, half of it by chance so that many clients do not come at once.
 * @param {number} failures in a row, from 1
 * @param {number} code of the WebSocket's close
 * @param {number} chance from 0 to 1
 * @returns {number} milliseconds
 */
export function delayMs(failures, code, chance) {
  const longest = code === RESTARTING && failures <= 10
    ? RESTART_MS
    : Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures - 1, 16));
  return longest / 2 + chance * longest / 2;
}
