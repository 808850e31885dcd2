// @ts-check
// One run in a <run-terminal>: its terminal and gutter, what stands around them, and the keys.

import { fill, h, setText } from '../dom.js';
import { downloadLog } from '../download.js';
import { formatBytes, formatElapsed, plural } from '../format.js';
import { makeFrame } from './frame.js';
import { Gutter } from './gutter.js';
import { noticeOf } from './notices.js';
import { PART_ROWS, fitting, split } from './parts.js';
import { Screen } from './screen.js';
import { Source } from './source.js';
import { loadStyles } from './styles.js';
import { watchTheme } from './theme.js';
import { scrollByTouch } from './touch.js';
import { Typing } from './typing.js';

/** @typedef {import('../runs.js').Run} Run */
/** @typedef {import('./source.js').Opening} Opening */
/** @typedef {import('../client/wire.js').Output} Output */
/** @typedef {import('../client/stream.js').StreamState} StreamState */

const SECOND_MS = 1000;
/** A run that has been silent for so long is asked about, and again after as long. */
const SILENT_MS = 15_000;

export class TerminalView {
  #host;
  #runs;
  #id;
  #opening;
  #reopen;
  #source;
  #frame;
  /** @type {Screen | null} */
  #screen = null;
  /** @type {Gutter | null} */
  #gutter = null;
  /** @type {StreamState} */
  #state = { name: 'connecting' };
  /** The run had ended when it was opened. */
  #past = false;
  #received = 0;
  /** When something came, or it was asked why nothing does. */
  #stirred = Date.now();
  /** Lines there were when the end was last in view. */
  #seen = 0;
  /** Rows for which the part of a large log that is shown has room; a small log is no part. */
  #room;
  /** What came and did not fit into it. @type {Output | null} */
  #rest = null;
  /** @type {Typing | null} */
  #typing = null;
  /** @type {(() => void)[]} */
  #undo = [];

  /**
   * @param {HTMLElement} host
   * @param {import('../runs.js').Runs} runs
   * @param {string} id
   * @param {{opening: Opening, reopen: (opening: Opening) => void}} how
   */
  constructor(host, runs, id, { opening, reopen }) {
    this.#host = host;
    this.#runs = runs;
    this.#id = id;
    this.#opening = opening;
    this.#reopen = reopen;
    this.#room = opening === 'start' ? PART_ROWS : Number.POSITIVE_INFINITY;
    this.#frame = makeFrame({
      time: () => this.#toggleTime(),
      follow: () => this.#toggleFollow(),
      download: () => void this.#download(),
      fullScreen: () => this.#fullScreen(),
      jump: () => this.#jump(),
      typing: () => this.#typing?.toggle(),
    });
    this.#source = new Source(runs, id, opening, {
      run: (run) => this.#knowRun(run),
      output: (output) => this.#output(output),
      remark: (text, timeMs) => this.#screen?.remark(text, timeMs),
      status: (status) => this.#status(status),
      refused: (answer) => this.#typing?.refused(answer.message ?? ''),
      end: (run) => this.#end(run),
      // Not complete before all of it is on the screen.
      state: (state) => { if (state.name !== 'ended') this.#enter(state); },
    });
    host.replaceChildren(...this.#frame.all);
    this.#showTime(localStorage.getItem('runwire.time') !== 'off');
    this.#enter({ name: 'connecting' });
    void this.#start();
  }

  async #start() {
    await loadStyles();
    if (!this.#frame.screen.isConnected) return;
    const screen = new Screen(this.#frame.screen, { changed: () => this.#moved(), typed: (text) => this.#typing?.typed(text) });
    this.#screen = screen;
    const typing = new Typing(this.#runs, this.#source, this.#frame, screen);
    this.#typing = typing;
    this.#gutter = new Gutter(screen);
    this.#frame.screen.before(this.#gutter.element);
    const resized = new ResizeObserver(() => {
      screen.fit();
      typing.fit();
    });
    resized.observe(this.#frame.screen);
    screen.fit();
    scrollByTouch(this.#frame.screen, screen);
    const keys = (/** @type {KeyboardEvent} */ event) => this.#key(event);
    const hurry = () => { if (!document.hidden) this.#source.hurry(); };
    this.#frame.view.addEventListener('keydown', keys);
    document.addEventListener('visibilitychange', hurry);
    window.addEventListener('online', hurry);
    const clock = setInterval(() => this.#second(), SECOND_MS);
    this.#undo.push(
      () => resized.disconnect(),
      () => document.removeEventListener('visibilitychange', hurry),
      () => window.removeEventListener('online', hurry),
      () => clearInterval(clock),
      () => typing.close(),
      watchTheme(() => screen.recolour()),
      () => screen.dispose(),
    );
    await this.#source.open();
  }

  close() {
    this.#source.close();
    for (const undo of this.#undo) undo();
  }

  /** @param {string | null} token */
  renew(token) {
    if (this.#screen) this.#source.renew(token);
    this.#typing?.update(this.#state.name === 'live');
  }

  get text() {
    return this.#screen?.text() ?? '';
  }

  get columns() {
    return this.#screen?.columns ?? 0;
  }

  focus() {
    this.#screen?.focus();
  }

  // --- what comes -------------------------------------------------------------------------------

  /** @param {Run} run */
  #knowRun(run) {
    if (run.terminal && this.#screen && !this.#screen.isTerminal) this.#showTerminal(run);
    if (this.#state.name === 'connecting') this.#past = run.ended_at !== null;
    if (this.#gutter) this.#gutter.numbers = this.#source.from === 0;
    this.#showEmpty();
    this.#typing?.update(this.#state.name === 'live');
    this.#tell('run', run);
  }

  /** @param {Output} output */
  #output(output) {
    const fits = this.#fit(output);
    if (fits !== null) this.#show(fits);
    if (this.#rest !== null) this.#source.pause();
  }

  /** As much of an output as the part has room for; the rest waits. @param {Output} output */
  #fit(output) {
    this.#rest = null;
    if (this.#room === Number.POSITIVE_INFINITY) return output;
    const bytes = /** @type {Output & {data: Uint8Array}} */ (output);
    const { length, rows } = fitting(bytes.data, this.#room, this.columns);
    this.#room -= rows;
    if (length === bytes.data.length) return output;
    const [fits, rest] = split(bytes, length);
    this.#rest = rest;
    return length > 0 ? fits : null;
  }

  /** @param {Output} output */
  #show(output) {
    const screen = /** @type {Screen} */ (this.#screen);
    this.#received += output.next - output.offset;
    this.#stirred = Date.now();
    screen.output(output, () => {
      this.#source.ack(output.next);
      if (this.#paused) screen.toTop();
      this.#moved();
    });
    this.#tell('output', output);
  }

  /** @param {Run} run */
  #end(run) {
    const screen = /** @type {Screen} */ (this.#screen);
    screen.end(() => {
      // A failure's cause is at its end; a success is read from its beginning.
      if (this.#past && run.status !== 'failed' && this.#source.from === 0 && !screen.full) screen.toTop();
      this.#moved();
      this.#enter({ name: 'ended' });
      this.#tell('run-end', run);
    });
  }

  /** @param {StreamState} state */
  #enter(state) {
    this.#state = state;
    const ended = this.#past;
    const notice = noticeOf(state, { offset: this.#source.offset, online: navigator.onLine, ended });
    this.#frame.dot.dataset.tone = notice.tone;
    setText(this.#frame.word, notice.word);
    this.#frame.notice.hidden = notice.notice === '';
    fill(this.#frame.notice, notice.notice, notice.retry === true
      && h('button', { type: 'button', className: 'rt-button', onclick: () => this.#source.hurry() }, 'Retry now'));
    this.#showJump();
    this.#showEarlier();
    this.#showEmpty();
    this.#typing?.update(this.#state.name === 'live');
    this.#tell('connection', state);
    if (state.name === 'token') this.#tell('auth-required', state);
  }

  // --- what is shown ----------------------------------------------------------------------------

  /** The screen shows other rows than before, or more. */
  #moved() {
    const screen = /** @type {Screen} */ (this.#screen);
    this.#gutter?.update();
    const { size, count, hidden } = this.#frame;
    const lines = screen.lineCount;
    if (screen.atEnd) this.#seen = lines;
    setText(size, formatBytes(this.#received));
    setText(count, screen.isTerminal ? `${screen.columns} × ${screen.rows}` : plural(lines, 'line'));
    this.#showJump();
    setText(hidden, screen.hidden > 0 ? `${plural(screen.hidden, 'control sequence')} hidden; the raw log has them` : '');
    this.#showEarlier();
    if (!this.#frame.empty.hidden) this.#showEmpty();
  }

  /** What leads to the end, or stays there. */
  #showJump() {
    const screen = this.#screen;
    if (!screen) return;
    const { follow, jump } = this.#frame;
    const fresh = screen.lineCount - this.#seen;
    follow.hidden = this.#state.name === 'ended' || this.#state.name === 'closed';
    follow.ariaPressed = String(screen.atEnd);
    jump.hidden = screen.atEnd && !this.#paused;
    if (this.#paused) setText(jump, screen.atEnd ? 'Next part ↓' : '↓ End of this part');
    else setText(jump, fresh > 0 && !follow.hidden ? `↓ ${plural(fresh, 'new line')}` : '↓ To the end');
  }

  /** What is missing above the first line, or below the last, and how to get it. */
  #showEarlier() {
    const { from, offset, run } = this.#source;
    const shown = this.#rest?.offset ?? offset;
    const { earlier } = this.#frame;
    const action = (/** @type {string} */ text, /** @type {() => void} */ onclick) =>
      h('button', { type: 'button', className: 'rt-button', onclick }, text);
    const size = formatBytes(run?.log.size ?? 0);
    let key = '';
    if (this.#paused) key = `part ${shown}`;
    else if (this.#opening === 'auto' && from > (run?.log.oldest ?? 0)) key = this.#screen?.full ? 'full tail' : 'tail';
    else if (this.#screen?.full) key = 'full';
    if (earlier.dataset.key === key) return;
    earlier.dataset.key = key;
    earlier.hidden = key === '';
    if (key.startsWith('part')) {
      fill(earlier, `The first ${formatBytes(shown)} of ${size}.`,
        action('Next part', () => this.#nextPart()), action('To the end', () => this.#reopen('auto')));
    } else if (key.endsWith('tail')) {
      const missing = key === 'tail' ? `the first ${formatBytes(from)}` : 'earlier lines';
      fill(earlier, `This is the end of ${size}; ${missing} are not shown.`,
        action('From the start', () => this.#reopen('start')));
    } else if (key === 'full') {
      fill(earlier, 'Earlier lines have left this view.', action('From the start', () => this.#reopen('start')));
    }
  }

  /** The end of a part of a large log is reached. */
  get #paused() {
    return this.#rest !== null;
  }

  #nextPart() {
    const screen = /** @type {Screen} */ (this.#screen);
    const rest = this.#rest;
    screen.clear();
    this.#seen = screen.lineCount;
    this.#room = PART_ROWS;
    if (rest !== null) this.#output(rest);
    if (!this.#paused) void this.#source.open();
    this.focus();
  }

  #second() {
    this.#showEmpty();
    if (this.#state.name !== 'live' || Date.now() - this.#stirred < SILENT_MS) return;
    this.#stirred = Date.now();
    if (this.#source.run?.status === 'running' && !document.hidden) void this.#source.refresh();
  }

  /** Why there is nothing to see yet. */
  #showEmpty() {
    const { empty } = this.#frame;
    const run = this.#source.run;
    let text = '';
    if (run && this.#received === 0 && this.#source.from === 0) {
      if (run.status === 'queued') text = 'Waiting in the queue. Output appears here as soon as the run starts.';
      else if (run.status === 'running' && run.started_at) text = `No output yet · running for ${formatElapsed((Date.now() - Date.parse(run.started_at)) / 1000)}`;
      else if (run.status !== 'running' && run.log.size === 0) text = 'This run wrote no output.';
    }
    empty.hidden = text === '';
    setText(empty, text);
  }

  // --- a run on a terminal ------------------------------------------------------------------------

  /** @param {Run} run */
  #showTerminal(run) {
    const screen = /** @type {Screen} */ (this.#screen);
    // What comes first is of the size that it began with.
    screen.becomeTerminal(run.spec.terminal ?? { columns: screen.columns, rows: screen.rows });
    this.#gutter?.element.remove();
    this.#gutter = null;
    this.#frame.time.hidden = true;
    this.#host.dataset.terminal = 'on';
  }

  /** @param {import('../client/wire.js').StatusMessage} status */
  #status(status) {
    if (status.terminal && this.#screen?.isTerminal) this.#screen.resize(status.terminal);
    this.#tell('status', status);
  }

  // --- what can be done -------------------------------------------------------------------------

  #toggleTime() {
    const shown = this.#host.dataset.time !== 'on';
    localStorage.setItem('runwire.time', shown ? 'on' : 'off');
    this.#showTime(shown);
  }

  /** @param {boolean} shown */
  #showTime(shown) {
    this.#host.dataset.time = shown ? 'on' : 'off';
    this.#frame.time.ariaPressed = String(shown);
  }

  #jump() {
    if (this.#paused && this.#screen?.atEnd) this.#nextPart();
    else this.#screen?.toEnd();
  }

  #toggleFollow() {
    if (this.#screen?.atEnd) this.#screen.scroll(-1);
    else this.#screen?.toEnd();
  }

  #fullScreen() {
    if (document.fullscreenElement) void document.exitFullscreen();
    else void this.#host.requestFullscreen();
  }

  async #download() {
    const { download } = this.#frame;
    const text = download.textContent;
    download.disabled = true;
    try {
      await downloadLog(this.#runs, this.#id, (size) => setText(download, size));
      setText(download, text ?? '');
    } catch {
      setText(download, 'Failed, again?');
    } finally {
      download.disabled = false;
    }
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const screen = this.#screen;
    if (this.#typing?.takes(event)) return;
    if (!screen || event.ctrlKey || event.metaKey || event.altKey) return;
    /** @type {Record<string, () => void>} */
    const actions = {
      ArrowUp: () => screen.scroll(-1),
      ArrowDown: () => screen.scroll(1),
      PageUp: () => screen.scrollPages(-1),
      PageDown: () => screen.scrollPages(1),
      ' ': () => screen.scrollPages(event.shiftKey ? -1 : 1),
      Home: () => screen.toTop(),
      End: () => screen.toEnd(),
      g: () => screen.toTop(),
      G: () => screen.toEnd(),
      f: () => this.#toggleFollow(),
      t: () => this.#toggleTime(),
      z: () => this.#fullScreen(),
    };
    const action = actions[event.key];
    if (!action || (event.target instanceof HTMLButtonElement && event.key === ' ')) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }

  /** @param {string} name @param {unknown} detail */
  #tell(name, detail) {
    this.#host.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
