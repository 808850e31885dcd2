// @ts-check
// The client of Runwire's API: what its own pages use, for any other front end. No dependency.
//
//   import { Runs } from 'https://runwire.example/ui/runs.js';
//   const runs = new Runs({ token });
//   const run = await runs.create({ job: 'report' });
//   for await (const message of runs.follow(run.id)) ...

import { allows } from './client/claims.js';
import { RunFeed } from './client/feed.js';
import { RunStream } from './client/stream.js';

export { RunFeed, RunStream };

/** Where this file came from is where the API is: `/`, or the base path. */
const HOME = new URL('../../../', import.meta.url);

/** @typedef {import('./client/wire.js').Status} Status */
/** In characters. @typedef {{columns: number, rows: number}} TerminalSize */
/** What a run reads. @typedef {'closed' | 'open' | {file: string} | {text: string}} Stdin */
/** How a run writes: a pipe for each stream, one for both, or a terminal. @typedef {'split' | 'merged' | 'pty'} OutputMode */
/** @typedef {{kind: string, name: string}} Actor */

/** @typedef {{signal: string, grace_s: number, scope: 'main' | 'tree'}} StopPolicy */
/**
 * A signal of a stop. `took_s` and `left` are known when the step is over.
 * @typedef {{at: string, signal: string, target: string, pids: number[], result: string,
 *   took_s: number | null, left: number[]}} StopStep
 */

/** By what it was measured. @typedef {'cgroup' | 'rusage'} Meter */
/**
 * A run. Times are RFC 3339 in UTC; what is not known, or not so, is null.
 * @typedef {object} Run
 * @property {string} id
 * @property {string | null} job
 * @property {Status} status
 * @property {string | null} reason why it failed
 * @property {string} message
 * @property {number | null} exit_code
 * @property {string | null} signal
 * @property {string} created_at
 * @property {Actor} created_by
 * @property {string | null} started_at
 * @property {string | null} cancel_requested_at
 * @property {string | null} paused_at
 * @property {number} paused_s
 * @property {string | null} ended_at
 * @property {number | null} duration_s
 * @property {number} attempt
 * @property {string | null} retry_of
 * @property {string[]} tags
 * @property {number | null} pid
 * @property {{command: string[], shell: string | null, cwd: string, params: Record<string, any>,
 *   stop: StopPolicy, output: OutputMode,
 *   stdin: Stdin, terminal: TerminalSize | null,
 *   limits: Record<string, number>, nice: number | null, user: string | null}} spec
 * @property {{cause: string, requested_at: string, requested_by: Actor, policy: StopPolicy | null,
 *   forced_at: string | null, forced_by: Actor | null, steps: StopStep[], escalated: boolean,
 *   took_s: number | null, survivors: number[]} | null} stop
 * @property {TerminalSize | null} terminal
 * @property {boolean | null} output_complete
 * @property {{user_s: number, system_s: number, cpu_by: Meter, peak_memory: number | null,
 *   memory_by: Meter | null, peak_processes: number | null} | null} usage what it used
 * @property {{pid: number, command: string}[]} holders
 * @property {{size: number, oldest: number}} log
 * @property {{for_s: number, hint: string | null} | null} silent only where one run is asked for
 */

/**
 * A job's parameter.
 * @typedef {{type: 'string' | 'int' | 'float' | 'bool' | 'choice', description: string,
 *   default: any, min: number | null, max: number | null, pattern: string | null,
 *   choices: string[]}} Param
 */
/**
 * @typedef {{name: string, description: string, command: string[] | null, shell: string | null,
 *   cwd: string, params: Record<string, Param>, tags: string[], last_run: Run | null}} Job
 */
/**
 * What to run: a job with its parameters, or a command or a shell line of one's own.
 * @typedef {{id?: string, job?: string, params?: Record<string, any>, command?: string[],
 *   shell?: string, cwd?: string, env?: Record<string, string>, timeout?: string | number,
 *   output?: OutputMode, stdin?: Stdin, terminal?: TerminalSize,
 *   priority?: number, tags?: string[]}} NewRun
 */

/** The server refused. `code` is stable; `field` or `scope` say what was at fault. */
export class ApiError extends Error {
  /** @param {number} status @param {any} problem */
  constructor(status, problem) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    this.name = 'ApiError';
    this.status = status;
    /** @type {string} */
    this.code = problem.code ?? 'http_error';
    /** @type {string | undefined} */
    this.field = problem.field;
    /** @type {string | undefined} */
    this.scope = problem.scope;
    /** @type {Run | undefined} */
    this.run = problem.run;
  }
}

/** There was no answer: no network, or no server. */
export class Unreachable extends Error {
  /** @param {unknown} cause */
  constructor(cause) {
    super('The server does not answer.', { cause });
    this.name = 'Unreachable';
  }
}

export class Runs {
  #server;
  #token;

  /**
   * @param {object} [options]
   * @param {string | URL} [options.server] the server's address with its base path, if it is another
   *   than the one this file came from
   * @param {string | null | (() => string | null)} [options.token] or what returns it
   */
  constructor({ server = HOME, token = null } = {}) {
    const address = new URL(server, globalThis.location?.href);
    if (!address.pathname.endsWith('/')) address.pathname += '/';
    this.#server = address;
    this.#token = typeof token === 'function' ? token : () => token;
  }

  /** Whether the token has a scope, as far as it says. @param {string} scope */
  may(scope) {
    return allows(this.#token(), scope);
  }

  /**
   * Runs, newest first. `next` is `before` of the following page, null on the last.
   * @param {{status?: Status[], job?: string, tag?: string, q?: string, limit?: number, before?: string}} [query]
   * @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<{runs: Run[], next: string | null}>}
   */
  list(query = {}, options = {}) {
    const words = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      for (const word of Array.isArray(value) ? value : [value]) {
        if (word !== undefined && word !== '') words.append(name, String(word));
      }
    }
    return this.#json(`runs?${words}`, options);
  }

  /** @param {string} id @param {{signal?: AbortSignal}} [options] @returns {Promise<Run>} */
  get(id, options = {}) {
    return this.#json(this.#run(id), options);
  }

  /** Take a run in. @param {NewRun} run @returns {Promise<Run>} */
  create(run) {
    return this.#json('runs', { method: 'POST', body: run });
  }

  /**
   * Stop a run. Harmless to ask again; `force` kills at once.
   * @param {string} id
   * @param {{signal?: string, grace?: string | number, scope?: 'main' | 'tree', force?: boolean}} [how]
   * @returns {Promise<Run>}
   */
  cancelRun(id, how = {}) {
    return this.#json(`${this.#run(id)}/cancel`, { method: 'POST', body: how });
  }

  /** Suspend a run's processes. @param {string} id @returns {Promise<Run>} */
  pauseRun(id) {
    return this.#json(`${this.#run(id)}/pause`, { method: 'POST' });
  }

  /** Let a paused run go on. @param {string} id @returns {Promise<Run>} */
  resumeRun(id) {
    return this.#json(`${this.#run(id)}/resume`, { method: 'POST' });
  }

  /** A new run of an ended one's spec. @param {string} id @returns {Promise<Run>} */
  retry(id) {
    return this.#json(`${this.#run(id)}/retry`, { method: 'POST' });
  }

  /** What happened to a run, oldest first. @param {string} id @returns {Promise<{events: any[]}>} */
  events(id) {
    return this.#json(`${this.#run(id)}/events`);
  }

  /** @returns {Promise<{jobs: Job[]}>} */
  jobs() {
    return this.#json('jobs');
  }

  /** @param {string} name @returns {Promise<Job>} */
  job(name) {
    return this.#json(`jobs/${encodeURIComponent(name)}`);
  }

  /**
   * The raw log, as a response whose body is its bytes.
   * @param {string} id
   * @param {{stream?: 'stdout' | 'stderr', from?: number, signal?: AbortSignal}} [options]
   * @returns {Promise<Response>}
   */
  log(id, { stream, from, signal } = {}) {
    const query = new URLSearchParams();
    if (stream) query.set('stream', stream);
    if (from) query.set('from', String(from));
    return this.#fetch(`${this.#run(id)}/log?${query}`, { signal });
  }

  /**
   * A run's stream, for `start()`. It resumes by itself; the receiver acknowledges.
   * @param {string} id
   * @param {import('./client/stream.js').StreamReceiver} receiver
   * @param {Partial<import('./client/stream.js').StreamOptions>} [options]
   */
  stream(id, receiver, options = {}) {
    const url = this.#socket(`${this.#run(id)}/stream`);
    return new RunStream({ ...options, url, token: this.#token() }, receiver);
  }

  /**
   * A run's messages until its end, acknowledged as they are taken. Leaving the loop closes it.
   * Text comes as strings; `binary: true` gives bytes.
   * @param {string} id
   * @param {Partial<import('./client/stream.js').StreamOptions>} [options]
   * @returns {AsyncGenerator<import('./client/wire.js').Message, void, void>}
   */
  async *follow(id, options = {}) {
    /** @type {any[]} */
    const waiting = [];
    let wake = () => {};
    const take = (/** @type {any} */ message) => { waiting.push(message); wake(); };
    const state = (/** @type {import('./client/stream.js').StreamState} */ now) => {
      if (now.name === 'token' || now.name === 'missing' || now.name === 'failed') {
        take(new ApiError(now.code, { code: now.name, detail: now.message }));
      }
    };
    const receiver = { output: take, status: take, gap: take, end: take, state };
    const stream = this.stream(id, receiver, { binary: false, ...options });
    stream.start();
    try {
      for (;;) {
        if (waiting.length === 0) await new Promise((resolve) => { wake = () => resolve(undefined); });
        const message = waiting.shift();
        if (message instanceof Error) throw message;
        yield message;
        if (message.type === 'end') return;
        if (message.next !== undefined) stream.ack(message.next);
      }
    } finally {
      stream.close();
    }
  }

  /**
   * What happens to all runs from now on, for `start()`.
   * @param {import('./client/feed.js').FeedReceiver} receiver
   */
  feed(receiver) {
    return new RunFeed({ url: this.#socket('events'), token: this.#token() }, receiver);
  }

  /** @param {string} id */
  #run(id) {
    return `runs/${encodeURIComponent(id)}`;
  }

  /** @param {string} path */
  #socket(path) {
    const url = new URL(path, this.#server);
    url.protocol = url.protocol.replace('http', 'ws');
    return url;
  }

  /** @param {string} path @param {{method?: string, body?: object, signal?: AbortSignal}} [options] */
  async #json(path, options) {
    return (await this.#fetch(path, options)).json();
  }

  /**
   * @param {string} path
   * @param {{method?: string, body?: object, signal?: AbortSignal}} [options]
   * @throws {ApiError | Unreachable}
   */
  async #fetch(path, { method = 'GET', body, signal } = {}) {
    /** @type {Record<string, string>} */
    const headers = {};
    const token = this.#token();
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body) headers['Content-Type'] = 'application/json';
    const text = body && JSON.stringify(body);
    let response;
    try {
      response = await fetch(new URL(path, this.#server), { method, headers, body: text, signal });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Unreachable(error);
    }
    if (response.ok) return response;
    throw new ApiError(response.status, await response.json().catch(() => ({})));
  }
}
