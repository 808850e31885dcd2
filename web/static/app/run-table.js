// @ts-check
// The table of runs: a row each, changed in place, so that nothing moves while somebody reads.

import { h, setText } from '../dom.js';
import { formatAgo, formatBytes, formatCommand, formatDuration, formatElapsed, formatExit, formatReason, formatTime, nameOf, needsReason } from '../format.js';
import { latest } from '../latest.js';
import { ApiError } from '../runs.js';
import { makeBadge, updateBadge } from './badge.js';
import { link } from './router.js';
import { explain } from './words.js';

/** @typedef {import('../runs.js').Run} Run */

const HEADINGS = [['Status', 'state-cell'], ['Job', 'job'], ['Run', 'wide wider'], ['Started', 'when'], ['Duration', 'took'], ['Exit', 'wide'], ['Output', 'wide wider'], ['', 'act']];
const SKELETON_ROWS = 6;

class Row {
  #app;
  #say;
  /** @type {Run} */
  run;
  #badge;
  #link = h('a', { className: 'name' });
  #detail = h('span', { className: 'detail' });
  #started = h('time', {});
  #duration = h('td', { className: 'number took' });
  #exit = h('td', { className: 'wide exit' });
  #output = h('td', { className: 'wide wider number' });
  #action = h('button', { type: 'button', className: 'button small' });

  /** @param {import('./main.js').App} app @param {Run} run @param {(text: string) => void} say */
  constructor(app, run, say) {
    this.#app = app;
    this.#say = say;
    this.run = run;
    this.#badge = makeBadge(run);
    this.#link.href = link(`runs/${encodeURIComponent(run.id)}`);
    this.#link.textContent = nameOf(run);
    this.#link.classList.toggle('command', run.job === null);
    this.element = h('tr', {},
      h('td', { className: 'state-cell' }, this.#badge),
      h('td', { className: 'job' }, this.#link, this.#detail),
      h('td', { className: 'wide wider id' }, run.id),
      h('td', { className: 'when' }, this.#started),
      this.#duration, this.#exit, this.#output,
      h('td', { className: 'act' }, this.#action));
    this.element.addEventListener('click', (event) => this.#click(event));
    this.#action.addEventListener('click', () => void this.#act());
    this.update(run);
  }

  /** @param {Run} after */
  update(after) {
    const run = latest(this.run, after);
    this.run = run;
    updateBadge(this.#badge, run);
    setText(this.#exit, (needsReason(run) ? run.reason?.replaceAll('_', ' ') : formatExit(run)) || '–');
    this.#exit.dataset.status = run.status;
    this.#exit.title = formatReason(run);
    setText(this.#detail, [run.attempt > 1 && `attempt ${run.attempt}`, run.job && formatCommand(run.spec)].filter(Boolean).join(' · '));
    setText(this.#output, formatBytes(run.log.size));
    const cancelling = run.cancel_requested_at !== null;
    const canStart = this.#app.session.may(run.job === null ? 'runs:exec' : 'runs:submit');
    setText(this.#action, run.ended_at ? 'Run again' : cancelling ? 'Cancelling…' : 'Cancel');
    this.#action.ariaLabel = `${this.#action.textContent}: ${nameOf(run)}`;
    this.#action.disabled = cancelling && !run.ended_at;
    this.#action.hidden = run.ended_at ? !canStart : !this.#app.session.may('runs:cancel');
    this.tick();
  }

  /** Times that move on by themselves. */
  tick() {
    const { run } = this;
    const at = run.started_at ?? run.created_at;
    setText(this.#started, formatAgo(Date.now() - Date.parse(at)));
    this.#started.dateTime = at;
    this.#started.title = formatTime(Date.parse(at));
    const running = run.status === 'running' && run.started_at !== null;
    const seconds = running ? (Date.now() - Date.parse(at)) / 1000 : run.duration_s;
    setText(this.#duration, seconds === null ? '–' : running ? formatElapsed(seconds) : formatDuration(seconds));
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const target = /** @type {Element} */ (event.target);
    if (target.closest('a, button') || String(getSelection()) !== '') return;
    this.#link.click();
  }

  async #act() {
    const { runs, router, session } = this.#app;
    this.#action.disabled = true;
    try {
      if (this.run.ended_at) router.go(`runs/${encodeURIComponent((await runs.retry(this.run.id)).id)}`);
      else this.update(await runs.cancelRun(this.run.id));
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) session.end();
      if (error instanceof ApiError && error.run) this.update(error.run);
      else this.update(this.run);
      this.#say(`${nameOf(this.run)}: ${explain(error)}`);
    }
  }
}

export class RunTable {
  #app;
  #say;
  /** @type {Map<string, Row>} */
  #rows = new Map();
  #body = h('tbody', {});
  element = h('table', { className: 'runs' },
    h('thead', {}, h('tr', {}, ...HEADINGS.map(([text, className]) =>
      h(text ? 'th' : 'td', { className, scope: text ? 'col' : null }, text)))),
    this.#body);

  /** @param {import('./main.js').App} app @param {(text: string) => void} say */
  constructor(app, say) {
    this.#app = app;
    this.#say = say;
  }

  get size() {
    return this.#rows.size;
  }

  /** When the oldest run that is shown was made. */
  get oldest() {
    return [...this.#rows.values()].reduce((/** @type {string | null} */ oldest, { run }) =>
      (oldest === null || run.created_at < oldest ? run.created_at : oldest), null);
  }

  /** @param {string} id */
  has(id) {
    return this.#rows.has(id);
  }

  /** Rows without content, until there is some. */
  showLoading() {
    this.#body.replaceChildren(...Array.from({ length: SKELETON_ROWS }, () =>
      h('tr', { className: 'skeleton', ariaHidden: 'true' }, ...HEADINGS.map(([, className]) =>
        h('td', { className }, h('span', {}))))));
  }

  /** These and no others. @param {Run[]} runs */
  show(runs) {
    this.#rows.clear();
    this.#body.replaceChildren();
    this.append(runs);
  }

  /** @param {Run[]} runs older than those shown */
  append(runs) {
    for (const run of runs) if (!this.#rows.has(run.id)) this.#body.append(this.#make(run).element);
  }

  /** Each in its place: newest first. @param {Run[]} runs */
  insert(runs) {
    for (const run of runs) {
      const rows = [...this.#rows.values()].sort((a, b) => (a.run.created_at < b.run.created_at ? 1 : -1));
      const after = rows.find((row) => row.run.created_at <= run.created_at);
      this.#body.insertBefore(this.#make(run).element, after?.element ?? null);
    }
  }

  /** @param {Run} run */
  update(run) {
    this.#rows.get(run.id)?.update(run);
  }

  /** @param {string} id */
  remove(id) {
    this.#rows.get(id)?.element.remove();
    this.#rows.delete(id);
  }

  tick() {
    for (const row of this.#rows.values()) row.tick();
  }

  /** @param {Run} run */
  #make(run) {
    const row = new Row(this.#app, run, this.#say);
    this.#rows.set(run.id, row);
    return row;
  }
}
