// @ts-check
// What the terminal says about its connection, in plain words. Pure.

import { formatCount } from '../format.js';

const RESTARTING = 1012;
const FORBIDDEN = 4403;
const HELPLESS_AFTER = 3;

/**
 * `tone` is how the state's dot looks; `notice` is empty while all is well; `retry` if it helps.
 * @typedef {{word: string, tone: 'live' | 'busy' | 'bad' | 'done', notice: string, retry?: boolean}} Notice
 */

/**
 * @param {import('../client/stream.js').StreamState} state
 * @param {{offset: number, online: boolean, ended: boolean}} facts `ended`: the run has ended
 * @returns {Notice}
 */
export function noticeOf(state, { offset, online, ended }) {
  switch (state.name) {
    case 'connecting':
      return { word: 'Connecting', tone: 'busy', notice: '' };
    case 'live':
      return ended ? { word: 'Loading', tone: 'busy', notice: '' } : { word: 'Live', tone: 'live', notice: '' };
    case 'ended':
      return { word: 'Complete', tone: 'done', notice: '' };
    case 'closed':
      return { word: 'Paused', tone: 'done', notice: '' };
    case 'waiting':
      return { word: 'Reconnecting', tone: 'busy', notice: waitingText(state, offset, online), retry: true };
    case 'token':
      return { word: state.code === FORBIDDEN ? 'Not allowed' : 'Signed out', tone: 'bad', notice: tokenText(state.code) };
    case 'missing':
      return { word: 'Not found', tone: 'bad', notice: 'There is no such run, or this token may not see it.' };
    case 'failed':
      return { word: 'Stopped', tone: 'bad', notice: `This page and the server do not understand each other: ${state.message || state.code}. Reload the page.` };
  }
}

/** @param {{retryMs: number, code: number, failures: number}} state @param {number} offset @param {boolean} online */
function waitingText({ retryMs, code, failures }, offset, online) {
  const when = `trying again in ${(retryMs / 1000).toFixed(1)} s`;
  if (!online) return 'You are offline. The output goes on where it stopped as soon as the network is back.';
  if (code === RESTARTING) return `The server is restarting, ${when}. Nothing will be lost.`;
  if (failures > HELPLESS_AFTER) return `The server does not answer, ${when}. The output goes on from byte ${formatCount(offset)}.`;
  return `Connection lost at byte ${formatCount(offset)}, ${when}. Nothing will be lost.`;
}

/** @param {number} code */
function tokenText(code) {
  return code === FORBIDDEN
    ? 'This token may not watch this run. Sign in with one that may, and the output goes on here.'
    : 'The token is not valid any more. Sign in again, and the output goes on where it stopped.';
}
