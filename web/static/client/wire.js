// @ts-check
// The messages of the stream protocol as values. Pure. docs/protocol.md says what they mean.

const HEADER_BYTES = 21;
/** @type {Record<number, 'stdout' | 'stderr'>} */
const STREAMS = { 1: 'stdout', 2: 'stderr' };

/**
 * Output: `data` covers the log from `offset` up to `next`. Bytes in the binary form, else text.
 * @typedef {{type: 'stdout' | 'stderr', offset: number, next: number, timeMs: number,
 *   data: Uint8Array | string}} Output
 */
/**
 * Something happened to the run; `data` is its status after it.
 * @typedef {{type: 'status', data: Status, event: string, seq: number, offset: number,
 *   time: string, text: string, exit_code?: number, signal?: string, reason?: string,
 *   terminal?: {columns: number, rows: number}}} StatusMessage
 */
/** @typedef {'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled'} Status */
/** How much of what was typed was taken. @typedef {{type: 'input', taken: number, code?: string, message?: string}} InputAnswer */
/** Why the terminal was not resized. @typedef {{type: 'resize', code: string, message: string}} ResizeAnswer */
/** @typedef {{type: 'gap', from: number, to: number, reason: string}} Gap */
/** @typedef {{type: 'end', offset: number, run: any}} End */
/** @typedef {{type: 'error', code: string, message: string}} ErrorMessage */
/** @typedef {{type: 'event', seq: number, run: any, event: string, time: string}} FeedMessage */
/** @typedef {{type: 'hello', seq: number}} FeedHello */
/**
 * @typedef {Output | StatusMessage | InputAnswer | ResizeAnswer | Gap | End | ErrorMessage | FeedMessage | FeedHello
 *   | {type: 'ping'}} Message
 */

/** What came is not of this protocol. */
export class ProtocolError extends Error {}

/**
 * One WebSocket message as the messages of the protocol that it holds.
 * @param {string | ArrayBuffer} data
 * @returns {Message[]}
 * @throws {ProtocolError}
 */
export function decode(data) {
  return typeof data === 'string' ? [decodeText(data)] : decodeFrames(data);
}

/** @param {string} text @returns {Message} */
function decodeText(text) {
  let message;
  try {
    message = JSON.parse(text);
  } catch (error) {
    throw new ProtocolError('a message is not JSON', { cause: error });
  }
  if (typeof message?.type !== 'string') throw new ProtocolError('a message has no type');
  if (message.type === 'stdout' || message.type === 'stderr') message.timeMs = Date.parse(message.time);
  return message;
}

/** @param {ArrayBuffer} buffer @returns {Output[]} */
function decodeFrames(buffer) {
  const view = new DataView(buffer);
  const frames = [];
  for (let at = 0; at < buffer.byteLength;) {
    if (at + HEADER_BYTES > buffer.byteLength) throw new ProtocolError('a frame is not whole');
    const type = STREAMS[view.getUint8(at)];
    const offset = Number(view.getBigUint64(at + 1));
    const timeMs = Number(view.getBigInt64(at + 9)) / 1000;
    const length = view.getUint32(at + 17);
    at += HEADER_BYTES;
    if (type === undefined) throw new ProtocolError('a frame is of no known kind');
    if (at + length > buffer.byteLength) throw new ProtocolError('a frame is not whole');
    frames.push({ type, offset, next: offset + length, timeMs, data: new Uint8Array(buffer, at, length) });
    at += length;
  }
  return frames;
}
