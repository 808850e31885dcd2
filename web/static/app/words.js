// @ts-check
// Errors in plain words. Pure.

import { ApiError, Unreachable } from '../runs.js';

/** @param {unknown} error @returns {string} */
export function explain(error) {
  if (error instanceof Unreachable) return 'The server does not answer. Is it running, and are you online?';
  if (!(error instanceof ApiError)) return `Something went wrong in this page: ${error instanceof Error ? error.message : error}`;
  if (error.status === 401) return 'The token is not valid any more.';
  if (error.scope) return `This token may not do that: it lacks the scope ${error.scope}.`;
  if (error.status === 503) return `The server cannot do this now: ${error.message}.`;
  if (error.status >= 500) return 'The server had a fault. Its log tells more.';
  return `${error.message[0].toUpperCase()}${error.message.slice(1)}.`;
}
