// @ts-check
// A WebSocket that is kept open: says hello, notices silence, comes back after a failure, and takes
// a new token without losing its place. What is said over it is its owner's business.

import { adviceOf, delayMs } from './backoff.js';
import { ProtocolError, decode } from './wire.js';

const SILENCE_MS = 45_000;
const FAULT = 4000;
const CONNECTING = 0;
const OPEN = 1;

/**
 * How the connection does.
 * - `connecting`: for the first time or again
 * - `live`: said hello, or heard something since
 * - `waiting`: broken; the next attempt is in `retryMs`
 * - `token`: the token is missing, bad or too narrow; a new one lets it go on
 * - `missing`: there is no such thing
 * - `failed`: it cannot work with this server
 * - `closed`: by its owner
 * @typedef {{name: 'connecting' | 'live' | 'closed'}
 *   | {name: 'waiting', retryMs: number, code: number, failures: number}
 *   | {name: 'token' | 'missing' | 'failed', code: number, message: string}} ConnectionState
 */

/**
 * @typedef {object} Owner
 * @property {() => object} hello the first message, without the token
 * @property {(message: import('./wire.js').Message) => void} message may throw ProtocolError
 * @property {(state: ConnectionState) => void} state
 */

/**
 * Where a connection gets its socket and its time from.
 * @typedef {object} World
 * @property {(url: string, protocols: string[]) => WebSocket} open
 * @property {(work: () => void, ms: number) => any} after
 * @property {(timer: any) => void} forget
 * @property {() => number} chance
 */

/** @type {World} */
const BROWSER = {
  open: (url, protocols) => new WebSocket(url, protocols),
  after: (work, ms) => setTimeout(work, ms),
  forget: (timer) => clearTimeout(timer),
  chance: Math.random,
};

export class Connection {
  #url;
  #protocols;
  #owner;
  #world;
  #token;
  /** @type {WebSocket | null} */
  #socket = null;
  #failures = 0;
  /** @type {any} */
  #retry = null;
  /** @type {any} */
  #silence = null;
  #reason = '';
  /** @type {ConnectionState} */
  #state = { name: 'closed' };

  /**
   * @param {{url: string | URL, protocols?: string[], token: string | null, owner: Owner, world?: World}} options
   */
  constructor({ url, protocols = [], token, owner, world = BROWSER }) {
    this.#url = String(url);
    this.#protocols = protocols;
    this.#token = token;
    this.#owner = owner;
    this.#world = world;
  }

  get state() {
    return this.#state;
  }

  /** Connect now, unless connected or being connected. */
  connect() {
    if (this.#socket !== null) return;
    this.#world.forget(this.#retry);
    this.#reason = '';
    this.#enter({ name: 'connecting' });
    const socket = this.#world.open(this.#url, this.#protocols);
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    const current = (/** @type {(event: any) => void} */ work) => (/** @type {any} */ event) => {
      if (this.#socket === socket) work(event);
    };
    socket.onopen = current(() => this.#opened());
    socket.onmessage = current((event) => this.#heard(event.data));
    socket.onclose = current((event) => this.#closed(event.code, event.reason));
  }

  /** Do not wait for the next attempt: the network is back, or somebody looks. */
  hurry() {
    if (this.#state.name === 'waiting') this.connect();
  }

  /** Whether it could be sent. @param {object} message */
  send(message) {
    if (this.#socket?.readyState !== OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** A new token: the connection goes on with it, or comes back with it. @param {string | null} token */
  renew(token) {
    this.#token = token;
    if (this.#socket?.readyState === OPEN) this.send({ type: 'auth', token });
    else if (this.#state.name === 'token' || this.#state.name === 'waiting') this.connect();
  }

  /** Close for good; `connect` opens it again. */
  close() {
    this.#drop(1000);
    this.#world.forget(this.#retry);
    if (this.#state.name !== 'closed') this.#enter({ name: 'closed' });
  }

  #opened() {
    const token = this.#token === null ? {} : { token: this.#token };
    this.send({ type: 'hello', ...token, ...this.#owner.hello() });
    this.#enter({ name: 'live' });
    this.#listen();
  }

  /** @param {string | ArrayBuffer} data */
  #heard(data) {
    this.#listen();
    try {
      for (const message of decode(data)) {
        if (message.type === 'error') this.#reason = message.message;
        else {
          this.#failures = 0;
          this.#owner.message(message);
        }
        if (this.#socket === null) return;
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#drop(FAULT);
      this.#closed(FAULT, error.message);
    }
  }

  /** Take a long silence for a broken connection: browsers do not tell. */
  #listen() {
    this.#world.forget(this.#silence);
    this.#silence = this.#world.after(() => {
      this.#drop(FAULT);
      this.#closed(FAULT, 'the server fell silent');
    }, SILENCE_MS);
  }

  /** @param {number} code */
  #drop(code) {
    const socket = this.#socket;
    this.#socket = null;
    this.#world.forget(this.#silence);
    if (socket === null) return;
    // A browser complains about a socket that is closed before it was open.
    if (socket.readyState === CONNECTING) socket.onopen = () => socket.close(code);
    else socket.close(code);
  }

  /** @param {number} code @param {string} reason */
  #closed(code, reason) {
    this.#socket = null;
    this.#world.forget(this.#silence);
    const message = this.#reason || reason;
    const advice = adviceOf(code);
    if (advice === 'token') this.#enter({ name: 'token', code, message });
    else if (advice === 'missing') this.#enter({ name: 'missing', code, message });
    else if (advice === 'never') this.#enter({ name: 'failed', code, message });
    else {
      this.#failures++;
      const retryMs = delayMs(this.#failures, code, this.#world.chance());
      this.#retry = this.#world.after(() => this.connect(), retryMs);
      this.#enter({ name: 'waiting', retryMs, code, failures: this.#failures });
    }
  }

  /** @param {ConnectionState} state */
  #enter(state) {
    this.#state = state;
    this.#owner.state(state);
  }
}
