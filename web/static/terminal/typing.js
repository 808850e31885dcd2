// @ts-check
// Typing into a run on a terminal: who may, when, and how large that terminal then is.

import { setText } from '../dom.js';

/** A window that is being resized has many sizes. */
const RESIZE_MS = 150;
const KEYS = 'f follow · t time · g G top, end · z full screen';
const TYPING_KEYS = 'what you type goes to the run · Ctrl+Shift+Space leaves it';

/** Whether a key leaves a terminal that takes all others. @param {KeyboardEvent} event */
export function leaves(event) {
  return event.ctrlKey && event.shiftKey && event.code === 'Space';
}

export class Typing {
  #runs;
  #source;
  #frame;
  #screen;
  #live = false;
  /** Switched on by who sits here. */
  #wanted = true;
  /** Why what was typed was not taken. */
  #refusal = '';
  /** It was typed here: the run's terminal is to have the size of this one. */
  #sizing = false;
  /** @type {any} */
  #resizing = null;

  /**
   * @param {import('../runs.js').Runs} runs
   * @param {import('./source.js').Source} source
   * @param {ReturnType<import('./frame.js').makeFrame>} frame
   * @param {import('./screen.js').Screen} screen
   */
  constructor(runs, source, frame, screen) {
    this.#runs = runs;
    this.#source = source;
    this.#frame = frame;
    this.#screen = screen;
  }

  /** Whether what is typed goes to the run. */
  get on() {
    return this.#possible && this.#wanted && this.#live;
  }

  get #possible() {
    const { run } = this.#source;
    return run !== null && run.terminal !== null && run.status === 'running' && this.#runs.may('runs:input');
  }

  /** @param {boolean} live whether the run is connected to */
  update(live) {
    this.#live = live;
    this.#show();
  }

  toggle() {
    this.#wanted = !this.#wanted;
    this.#refusal = '';
    this.#show();
    if (this.#wanted) this.#screen.focus();
  }

  /** @param {string} text */
  typed(text) {
    if (!this.on) return;
    if (!this.#sizing) {
      this.#sizing = true;
      this.#wishSize();
    }
    this.#source.type(text);
  }

  /** @param {string} why */
  refused(why) {
    this.#wanted = false;
    this.#refusal = `not taken: ${why}`;
    this.#show();
  }

  /** The element has another size. */
  fit() {
    if (!this.#sizing || !this.on) return;
    clearTimeout(this.#resizing);
    this.#resizing = setTimeout(() => this.#wishSize(), RESIZE_MS);
  }

  /** Whether a key is for the run, and no business of the page. @param {KeyboardEvent} event */
  takes(event) {
    if (!this.on || !(event.target instanceof HTMLTextAreaElement)) return false;
    event.stopPropagation();
    if (leaves(event)) {
      event.preventDefault();
      this.#frame.typing.focus();
    }
    return true;
  }

  close() {
    clearTimeout(this.#resizing);
  }

  #show() {
    const { typing, access, keys } = this.#frame;
    const { run } = this.#source;
    this.#screen.typing = this.on;
    typing.hidden = !this.#possible;
    typing.ariaPressed = String(this.#wanted);
    setText(keys, this.on ? TYPING_KEYS : KEYS);
    const readOnly = run?.terminal && run.status === 'running' && !this.#possible;
    setText(access, this.#refusal || (readOnly ? 'read-only' : run?.status === 'running' && run.silent?.hint || ''));
  }

  /** Have the run's terminal be as large as this one. */
  #wishSize() {
    const { room, columns, rows } = this.#screen;
    if (room && (room.columns !== columns || room.rows !== rows)) this.#source.resize(room);
  }
}
