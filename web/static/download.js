// @ts-check
// A run's raw log as a file. A link could not carry the token, so the bytes are fetched first.

import { formatBytes } from './format.js';

/**
 * @param {import('./runs.js').Runs} runs
 * @param {string} id
 * @param {(text: string) => void} progress told how far it is
 */
export async function downloadLog(runs, id, progress) {
  const response = await runs.log(id);
  /** @type {BlobPart[]} */
  const parts = [];
  let size = 0;
  const reader = /** @type {ReadableStream<Uint8Array<ArrayBuffer>>} */ (response.body).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    progress(formatBytes(size));
  }
  const url = URL.createObjectURL(new Blob(parts, { type: 'text/plain' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = `${id}.log`;
  link.click();
  // The browser has taken the blob over by then.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
