// @ts-check
// One run's output and statuses, from any offset to the end, whatever happens to the connection.

import { Connection } from './connection.js';
import { ProtocolError } from './wire.js';

/** @typedef {import('./wire.js').Output} Output */
/** @typedef {import('./wire.js').StatusMessage} StatusMessage */
/** @typedef {import('./wire.js').Gap} Gap */
/** @typedef {import('./wire.js').End} End */
/** @typedef {import('./wire.js').Message} Message */
/** @typedef {import('./connection.js').ConnectionState} ConnectionState */
/** @typedef {ConnectionState | {name: 'ended'}} StreamState */

const WINDOW_BYTES = 512 * 1024;
/** How much is acknowledged at once, if the window has room for several. */
const ACK_BYTES = 64 * 1024;
/** A message is as large as the window at most, and only whole ones are progress. */
const LEAST_WINDOW_BYTES = 64 * 1024;
const BINARY = 'runwire.binary';
const JSON_TEXT = 'runwire.json';

/**
 * @typedef {object} StreamOptions
 * @property {string | URL} url of the stream, `ws:` or `wss:`
 * @property {string | null} token
 * @property {number} [from] offset to begin at; negative: that many bytes before the end
 * @property {number} [seq] the last status already seen
 * @property {('stdout' | 'stderr')[]} [streams] only these
 * @property {number} [window] how many bytes may be on their way unacknowledged
 * @property {boolean} [binary] bytes instead of text; true by default
 * @property {import('./connection.js').World} [world]
 */

/**
 * What a stream tells. `output` is acknowledged by the receiver, with `ack`.
 * @typedef {object} StreamReceiver
 * @property {(output: Output) => void} output
 * @property {(status: StatusMessage) => void} [status]
 * @property {(gap: Gap) => void} [gap]
 * @property {(end: End) => void} [end]
 * @property {(answer: import('./wire.js').InputAnswer) => void} [input]
 * @property {(state: StreamState) => void} [state]
 */

export class RunStream {
  #receiver;
  #connection;
  #wish;
  #filtered;
  /** Where the next message has to begin; null until the first one said it. @type {number | null} */
  #cursor;
  #seq;
  #window;
  #acked = 0;
  /** Where the connection before began. @type {number | null | undefined} */
  #began;
  #ended = false;

  /** @param {StreamOptions} options @param {StreamReceiver} receiver */
  constructor(options, receiver) {
    const { url, token, world, from = 0, seq = 0, streams, window = WINDOW_BYTES, binary = true } = options;
    this.#receiver = receiver;
    this.#wish = { from, window, ...(streams && { streams }) };
    this.#window = window;
    this.#filtered = streams !== undefined;
    this.#cursor = from < 0 ? null : from;
    this.#seq = seq;
    this.#connection = new Connection({
      url, token, world,
      protocols: binary ? [BINARY, JSON_TEXT] : [JSON_TEXT],
      owner: {
        hello: () => this.#hello(),
        message: (message) => this.#message(message),
        state: (state) => { if (!this.#ended) receiver.state?.(state); },
      },
    });
  }

  /** Where the next message will begin: all before was received. Null if nothing came yet. */
  get offset() {
    return this.#cursor;
  }

  get ended() {
    return this.#ended;
  }

  /** Begin, or go on where `close` left off. */
  start() {
    if (!this.#ended) this.#connection.connect();
  }

  /** Stop; nothing more is told. */
  close() {
    this.#connection.close();
  }

  /** Everything before `offset` has been dealt with. @param {number} offset */
  ack(offset) {
    if (offset - this.#acked < Math.min(ACK_BYTES, this.#window / 4)) return;
    this.#acked = offset;
    this.#connection.send({ type: 'ack', offset });
  }

  /** Have the run read it; whether it could be sent. Answered by `input`. @param {string} data */
  type(data) {
    return this.#connection.send({ type: 'input', data });
  }

  /** Have the run's terminal be as large as that. @param {{columns: number, rows: number}} size */
  resize({ columns, rows }) {
    this.#connection.send({ type: 'resize', columns, rows });
  }

  /** @param {string | null} token */
  renew(token) {
    this.#connection.renew(token);
  }

  /** Try again now. */
  hurry() {
    this.#connection.hurry();
  }

  #hello() {
    // A connection that breaks before anything came whole may carry less at once.
    const stuck = this.#began === this.#cursor;
    const { from, window } = this.#wish;
    this.#window = stuck
      ? Math.max(Math.min(LEAST_WINDOW_BYTES, window), this.#window / 2)
      : Math.min(window, this.#window * 2);
    this.#began = this.#cursor;
    return { ...this.#wish, window: this.#window, from: this.#cursor ?? from, seq: this.#seq };
  }

  /** @param {Message} message */
  #message(message) {
    switch (message.type) {
      case 'stdout': case 'stderr':
        if (this.#advance(message.offset, message.next)) this.#receiver.output(message);
        break;
      case 'gap':
        if (this.#advance(message.from, message.to)) this.#receiver.gap?.(message);
        break;
      case 'status':
        if (message.seq <= this.#seq) return;
        this.#seq = message.seq;
        this.#receiver.status?.(message);
        break;
      case 'input':
        this.#receiver.input?.(message);
        break;
      case 'end':
        this.#end(message);
        break;
    }
  }

  /**
   * Whether what covers the log from `offset` up to `next` is news.
   * @param {number} offset @param {number} next
   * @throws {ProtocolError} if something before it is missing
   */
  #advance(offset, next) {
    const cursor = this.#cursor ?? offset;
    if (this.#cursor === null) this.#acked = offset;
    if (next < cursor || (next === cursor && offset < next)) return false;
    if (offset < cursor || (offset > cursor && !this.#filtered)) {
      throw new ProtocolError(`expected offset ${cursor}, got ${offset}`);
    }
    this.#cursor = next;
    return true;
  }

  /** @param {End} message */
  #end(message) {
    if (this.#cursor !== null && this.#cursor !== message.offset && !this.#filtered) {
      throw new ProtocolError(`the log ends at ${message.offset}, but it was received up to ${this.#cursor}`);
    }
    this.#ended = true;
    this.#connection.close();
    this.#receiver.end?.(message);
    this.#receiver.state?.({ name: 'ended' });
  }
}
