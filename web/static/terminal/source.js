// @ts-check
// Where a terminal's output comes from: the run, then its stream, from a place that suits its size.

import { Keys } from '../client/keys.js';
import { latest } from '../latest.js';
import { ApiError } from '../runs.js';

/** @typedef {import('../runs.js').Run} Run */
/** @typedef {import('../client/stream.js').StreamState} StreamState */

/** A log up to this size is shown whole, of a larger one the end. */
const WHOLE_BYTES = 2 * 1024 * 1024;
const TAIL_BYTES = 512 * 1024;
/** Small, since what is on its way when a part ends comes again with the next one. */
const PART_WINDOW = 64 * 1024;
const RETRY_MS = 2000;
/** These happen to every run before there is anything to see. */
const SILENT = new Set(['submitted', 'dispatched']);

/** `auto`: all of a small log, the end of a large one; `start`: from the start, in parts. @typedef {'auto' | 'start'} Opening */

/**
 * @typedef {object} Listener
 * @property {(run: Run) => void} run the run is known anew
 * @property {(output: import('../client/wire.js').Output) => void} output
 * @property {(text: string, timeMs: number) => void} remark
 * @property {(status: import('../client/wire.js').StatusMessage) => void} status
 * @property {(answer: import('../client/wire.js').InputAnswer) => void} refused what was typed is not taken
 * @property {(run: Run) => void} end
 * @property {(state: StreamState) => void} state
 */

export class Source {
  #runs;
  #id;
  #listener;
  #opening;
  /** @type {import('../client/stream.js').RunStream | null} */
  #stream = null;
  #keys;
  #abort = new AbortController();
  /** @type {any} */
  #timer = null;
  #asking = false;
  #refreshing = false;
  #stale = false;
  /** Remarks before this offset belong to what is not shown. */
  #firstOffset = 0;
  /** @type {Run | null} */
  run = null;
  /** Where the shown part begins; more than 0 if the log's start is not shown. */
  from = 0;

  /** @param {import('../runs.js').Runs} runs @param {string} id @param {Opening} opening @param {Listener} listener */
  constructor(runs, id, opening, listener) {
    this.#runs = runs;
    this.#id = id;
    this.#opening = opening;
    this.#listener = listener;
    this.#keys = new Keys((text) => this.#stream?.type(text) ?? false, (answer) => listener.refused(answer));
  }

  /** Find out what there is to show, and begin to. */
  async open() {
    if (this.#stream) return this.#stream.start();
    if (this.#asking) return;
    clearTimeout(this.#timer);
    this.#asking = true;
    try {
      const run = await this.#runs.get(this.#id, { signal: this.#abort.signal });
      const stream = this.#prepare(run);
      this.#stream = stream;
      this.#know(run);
      stream.start();
    } catch (error) {
      if (!this.#abort.signal.aborted) this.#failed(error);
    } finally {
      this.#asking = false;
    }
  }

  /** @param {Run} run */
  #prepare(run) {
    const { size, oldest } = run.log;
    const tail = this.#opening === 'auto' && size - oldest > WHOLE_BYTES;
    const parts = this.#opening === 'start';
    this.from = tail ? size - TAIL_BYTES : oldest;
    this.#firstOffset = this.from;
    return this.#runs.stream(this.#id, {
      output: (output) => this.#listener.output(output),
      status: (status) => this.#status(status),
      gap: (gap) => this.#listener.remark(`${gap.to - gap.from} bytes are not kept (${gap.reason})`, Date.now()),
      end: (end) => {
        this.#know(end.run);
        this.#listener.end(end.run);
      },
      input: (answer) => this.#keys.answered(answer),
      state: (state) => {
        if (state.name !== 'live') this.#keys.forget();
        this.#listener.state(state);
      },
    }, { from: tail ? -TAIL_BYTES : oldest, window: parts ? PART_WINDOW : undefined });
  }

  /** @param {import('../client/wire.js').StatusMessage} status */
  #status(status) {
    if (!SILENT.has(status.event) && status.offset >= this.#firstOffset) {
      this.#listener.remark(status.text, Date.parse(status.time));
    }
    this.#listener.status(status);
    void this.refresh();
  }

  /** @param {unknown} error */
  #failed(error) {
    if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
      this.#listener.state({ name: 'token', code: 4000 + error.status, message: error.message });
    } else if (error instanceof ApiError && error.status === 404) {
      this.#listener.state({ name: 'missing', code: 4404, message: error.message });
    } else {
      this.#listener.state({ name: 'waiting', retryMs: RETRY_MS, code: 1006, failures: Number.POSITIVE_INFINITY });
      this.#timer = setTimeout(() => this.open(), RETRY_MS);
    }
  }

  /** Ask for the run, once more if something happened meanwhile. */
  async refresh() {
    this.#stale = true;
    if (this.#refreshing) return;
    this.#refreshing = true;
    try {
      while (this.#stale && !this.#stream?.ended) {
        this.#stale = false;
        const run = await this.#runs.get(this.#id, { signal: this.#abort.signal });
        if (!this.#stream?.ended) this.#know(run);
      }
    } catch {
      // The stream notices what is wrong, and says it.
    } finally {
      this.#refreshing = false;
    }
  }

  /** @param {Run} run */
  #know(run) {
    this.run = latest(this.run, run);
    this.#listener.run(this.run);
  }

  get offset() {
    return this.#stream?.offset ?? this.from;
  }

  /** @param {number} offset */
  ack(offset) {
    this.#stream?.ack(offset);
  }

  /** @param {string} text */
  type(text) {
    this.#keys.type(text);
  }

  /** @param {import('../runs.js').TerminalSize} size */
  resize(size) {
    this.#stream?.resize(size);
  }

  /** @param {string | null} token */
  renew(token) {
    if (this.#stream) this.#stream.renew(token);
    else void this.open();
  }

  /** If the next attempt is waited for: try now. */
  hurry() {
    if (this.#stream) this.#stream.hurry();
    else void this.open();
  }

  pause() {
    this.#stream?.close();
  }

  close() {
    this.#abort.abort();
    clearTimeout(this.#timer);
    this.#stream?.close();
  }
}
