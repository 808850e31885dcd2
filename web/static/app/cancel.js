// @ts-check
// Stopping a run, stage by stage: asked for, signal sent, grace running, killed.

import { h, setText } from '../dom.js';
import { formatDuration, signalName } from '../format.js';
import { ApiError } from '../runs.js';
import { explain } from './words.js';

/** @typedef {import('../runs.js').Run} Run */

export class CancelControl {
  #app;
  #changed;
  /** @type {Run | null} */
  #run = null;
  #asking = false;
  #button = h('button', { type: 'button', className: 'button danger', hidden: true, onclick: () => void this.ask() }, 'Cancel');
  /** What is happening, or why it could not be done. */
  line = h('p', { className: 'cancel-line', role: 'status', hidden: true });

  /** @param {import('./main.js').App} app @param {(run: Run) => void} changed */
  constructor(app, changed) {
    this.#app = app;
    this.#changed = changed;
  }

  get element() {
    return this.#button;
  }

  /** @param {Run} run */
  update(run) {
    if (run.ended_at && !this.#run?.ended_at) this.#say('');
    this.#run = run;
    this.tick();
  }

  tick() {
    const run = this.#run;
    if (!run) return;
    this.#button.hidden = run.ended_at !== null || !this.#app.session.may('runs:cancel');
    if (run.ended_at) return;
    this.#button.disabled = this.#asking;
    this.#button.ariaBusy = String(this.#asking);
    const asked = run.cancel_requested_at;
    setText(this.#button, this.#asking ? 'Cancelling…' : asked ? 'Kill now' : 'Cancel');
    if (asked && !this.#asking) this.#say(stageOf(run, Date.parse(asked)));
  }

  /** Cancel, or kill what was asked to stop already. */
  async ask() {
    const run = this.#run;
    if (!run || run.ended_at || this.#asking) return;
    this.#asking = true;
    this.#say('');
    this.tick();
    let trouble = '';
    try {
      const after = await this.#app.runs.cancelRun(run.id, { force: run.cancel_requested_at !== null });
      this.#changed(after);
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) this.#app.session.end();
      // It ended first: that is what its page shows now.
      if (error instanceof ApiError && error.run) this.#changed(error.run);
      else trouble = `Not cancelled. ${explain(error)}`;
    }
    this.#asking = false;
    this.tick();
    if (trouble) this.#say(trouble);
  }

  /** @param {string} text */
  #say(text) {
    setText(this.line, text);
    this.line.hidden = text === '';
  }
}

/** @param {Run} run @param {number} askedMs */
function stageOf(run, askedMs) {
  const who = run.stop ? ` for ${run.stop.requested_by.name}` : '';
  const steps = run.stop?.steps ?? [];
  const policy = run.stop?.policy ?? run.spec.stop;
  const first = signalName(steps[0]?.signal ?? policy.signal);
  if (steps.some(({ signal }) => signalName(signal) === 'SIGKILL')) return `SIGKILL sent${who}; waiting for the end of its processes.`;
  const left = Math.ceil((askedMs + policy.grace_s * 1000 - Date.now()) / 1000);
  return left > 0
    ? `${first} sent${who}. SIGKILL follows in ${left < 60 ? `${left} s` : formatDuration(left)}, if it is still running then.`
    : `${first} sent${who}; the time to stop by itself is over.`;
}
