// @ts-check
// Suspending a run, and letting it go on.

import { h, setText } from '../dom.js';
import { ApiError } from '../runs.js';
import { explain } from './words.js';

/** @typedef {import('../runs.js').Run} Run */

export class PauseControl {
  #app;
  #changed;
  #complain;
  /** @type {Run | null} */
  #run = null;
  element = h('button', { type: 'button', className: 'button', hidden: true, onclick: () => void this.#ask() });

  /**
   * @param {import('./main.js').App} app
   * @param {(run: Run) => void} changed
   * @param {(trouble: string) => void} complain
   */
  constructor(app, changed, complain) {
    this.#app = app;
    this.#changed = changed;
    this.#complain = complain;
  }

  /** @param {Run} run */
  update(run) {
    this.#run = run;
    const runs = run.status === 'running' && run.stop === null;
    this.element.hidden = !runs || !this.#app.session.may('runs:cancel');
    setText(this.element, run.paused_at ? 'Resume' : 'Pause');
  }

  async #ask() {
    const run = this.#run;
    if (!run) return;
    this.element.disabled = true;
    this.#complain('');
    try {
      const { runs } = this.#app;
      this.#changed(await (run.paused_at ? runs.resumeRun(run.id) : runs.pauseRun(run.id)));
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) this.#app.session.end();
      this.#complain(`Not ${run.paused_at ? 'resumed' : 'paused'}. ${explain(error)}`);
    }
    this.element.disabled = false;
  }
}
