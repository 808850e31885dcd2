// @ts-check
// One run: what it is and how it does, its output, and what can be done with it.

import { fill, h, setText } from '../dom.js';
import { formatAgo, formatBytes, formatCommand, formatCount, formatDuration, formatElapsed, formatExit, formatLimits, formatReason, formatTime, nameOf, needsReason } from '../format.js';
import { latest } from '../latest.js';
import { ApiError } from '../runs.js';
import { makeBadge, updateBadge } from './badge.js';
import { CancelControl } from './cancel.js';
import { showStatusInTab } from './favicon.js';
import { makeMissingPage } from './page-missing.js';
import { PauseControl } from './pause.js';
import { StopReceipt } from './receipt.js';
import { link } from './router.js';
import { explain } from './words.js';

/** @typedef {import('../runs.js').Run} Run */

const FORBIDDEN = 4403;

/** @param {import('./main.js').App} app @param {string} id @returns {import('./router.js').Page} */
export function makeRunPage(app, id) {
  const page = new RunPage(app, id);
  return { title: id, element: page.element, section: 'runs', close: () => page.close() };
}

class RunPage {
  #app;
  #id;
  /** @type {Run | null} */
  #run = null;
  #title = h('h1', {});
  #badge = makeBadge({ status: 'queued', cancel_requested_at: null, paused_at: null });
  #facts = h('dl', { className: 'facts' });
  #why = h('p', { className: 'why', hidden: true });
  #command = h('code', { className: 'command-line' });
  #message = h('p', { className: 'error', role: 'alert', hidden: true });
  #announce = h('p', { className: 'unseen', ariaLive: 'polite' });
  #again = h('button', { type: 'button', className: 'button', hidden: true, onclick: () => void this.#runAgain() }, 'Run again');
  #cancel;
  #pause;
  #receipt = new StopReceipt();
  #terminal;
  #tick;
  #renew = () => { this.#terminal.token = this.#app.session.token; };

  /** @param {import('./main.js').App} app @param {string} id */
  constructor(app, id) {
    this.#app = app;
    this.#id = id;
    this.#cancel = new CancelControl(app, (run) => this.#show(run));
    this.#pause = new PauseControl(app, (run) => this.#show(run), (trouble) => this.#complain(trouble));
    this.#terminal = /** @type {import('../run-terminal.js').RunTerminal} */ (document.createElement('run-terminal'));
    this.#terminal.token = app.session.token;
    this.#terminal.setAttribute('run-id', id);
    this.#badge.hidden = true;
    this.element = h('div', { className: 'page run-page' },
      h('div', { className: 'page-head' }, this.#title, this.#badge, h('span', { className: 'space' }), this.#again, this.#pause.element, this.#cancel.element),
      this.#facts, this.#command, this.#why, this.#cancel.line, this.#receipt.element, this.#message, this.#terminal, this.#announce);
    setText(this.#title, id);
    this.#listen();
    this.#tick = setInterval(() => this.#second(), 1000);
    app.session.addEventListener('token', this.#renew);
  }

  close() {
    clearInterval(this.#tick);
    this.#app.session.removeEventListener('token', this.#renew);
  }

  #listen() {
    this.#terminal.addEventListener('run', (event) => this.#show(/** @type {CustomEvent} */ (event).detail));
    this.#terminal.addEventListener('auth-required', (event) =>
      this.#app.session.end(/** @type {CustomEvent} */ (event).detail.code === FORBIDDEN ? 'forbidden' : 'ended'));
    this.#terminal.addEventListener('connection', (event) => {
      if (/** @type {CustomEvent} */ (event).detail.name === 'missing' && this.#run === null) this.#showMissing();
    });
    this.element.addEventListener('keydown', (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === 'c' && !this.#run?.ended_at && window.confirm('Cancel this run?')) void this.#cancel.ask();
      if (event.key === 'r' && !this.#again.hidden) void this.#runAgain();
    });
  }

  #showMissing() {
    const missing = makeMissingPage('There is no such run', `No run is called ${this.#id}, or this token may not see it. It may also have been deleted.`);
    document.title = `${missing.title} · Runwire`;
    this.element.replaceWith(missing.element);
  }

  /** @param {Run} after */
  #show(after) {
    const before = this.#run;
    const run = latest(before, after);
    this.#run = run;
    setText(this.#title, nameOf(run));
    this.#title.title = run.job === null ? nameOf(run) : '';
    this.#title.classList.toggle('command', run.job === null);
    this.#badge.hidden = false;
    updateBadge(this.#badge, run);
    const command = formatCommand(run.spec);
    setText(this.#command, command);
    this.#command.title = command;
    this.#command.hidden = run.job === null;
    this.#why.hidden = !needsReason(run);
    setText(this.#why, whyOf(run));
    this.#why.title = run.message;
    this.#cancel.update(run);
    this.#pause.update(run);
    this.#receipt.update(run);
    this.#again.hidden = run.ended_at === null || !this.#app.session.may(run.job === null ? 'runs:exec' : 'runs:submit');
    this.#facts.dataset.shown = 'true';
    this.#showFacts(run);
    if (before?.status !== run.status) {
      showStatusInTab({ status: run.status, name: nameOf(run) });
      if (before) setText(this.#announce, `The run is ${run.status}.`);
      else if (document.activeElement === document.body || document.activeElement?.id === 'main') this.#terminal.focus();
    }
  }

  /** @param {Run} run */
  #showFacts(run) {
    const time = (/** @type {string} */ at) =>
      h('time', { dateTime: at, title: formatTime(Date.parse(at)) }, formatAgo(Date.now() - Date.parse(at)));
    /** @type {[string, (Node | string | null | false)][]} */
    const facts = [
      ['Run', h('span', { className: 'id' }, run.id)],
      [run.started_at ? 'Started' : 'Queued', time(run.started_at ?? run.created_at)],
      [run.ended_at ? 'Took' : 'Running for', this.#elapsed(run)],
      ['Exit', formatExit(run) && h('strong', { className: run.status }, formatExit(run))],
      ['Attempt', run.attempt > 1 && String(run.attempt)],
      ['Retry of', run.retry_of && h('a', { href: link(`runs/${encodeURIComponent(run.retry_of)}`), className: 'id' }, run.retry_of)],
      ['Pid', run.pid !== null && !run.ended_at && String(run.pid)],
      ['By', run.created_by.name],
      ['In', run.job === null && run.spec.cwd],
      ['With', Object.entries(run.spec.params).filter(([, value]) => value !== '').map(([name, value]) => `${name}=${value}`).join(' ')],
      ['As', run.spec.user],
      ['Limits', formatLimits(run.spec.limits)],
      ...usageOf(run),
      ['Output', run.output_complete === false && 'incomplete: a process it left held on to it'],
      ['Output held by', run.holders.map(({ pid, command }) => `${command} (pid ${pid})`).join(', ')],
    ];
    const shown = facts.filter(([, value]) => value !== '' && value !== null && value !== false);
    fill(this.#facts, ...shown.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))));
  }

  /** @param {Run} run */
  #elapsed(run) {
    if (run.duration_s !== null) return formatDuration(run.duration_s);
    if (run.started_at === null) return '';
    return formatElapsed((Date.now() - Date.parse(run.started_at)) / 1000);
  }

  #second() {
    if (!this.#run || String(getSelection()) !== '') return;
    this.#showFacts(this.#run);
    this.#cancel.tick();
  }

  /** @param {string} text */
  #complain(text) {
    setText(this.#message, text);
    this.#message.hidden = text === '';
  }

  async #runAgain() {
    const { runs, router, session } = this.#app;
    this.#again.disabled = true;
    this.#complain('');
    try {
      router.go(`runs/${encodeURIComponent((await runs.retry(this.#id)).id)}`);
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) session.end();
      this.#complain(`Not started. ${explain(error)}`);
    } finally {
      this.#again.disabled = false;
    }
  }
}

/**
 * What it used; where one points at a figure, by what it was measured.
 * @param {Run} run
 * @returns {[string, (Node | string | null | false)][]}
 */
function usageOf(run) {
  const { usage } = run;
  if (usage === null) return [];
  const told = (/** @type {string} */ text, /** @type {string} */ title) => h('span', { title }, text);
  const cpu = `${formatDuration(usage.user_s)} in the program, ${formatDuration(usage.system_s)} in the system`;
  return [
    ['CPU', told(formatDuration(usage.user_s + usage.system_s),
      `${cpu}: ${usage.cpu_by === 'cgroup' ? 'all its processes' : 'its first process and those it waited for'}`)],
    ['Memory', usage.peak_memory !== null && told(formatBytes(usage.peak_memory),
      `at most, ${usage.memory_by === 'cgroup' ? 'all its processes together' : 'the largest of its processes'}`)],
    ['Processes', usage.peak_processes !== null && told(formatCount(usage.peak_processes), 'at most at once, threads too')],
    ['Wrote', formatBytes(run.log.size)],
  ];
}

/** Why a run failed, as a sentence. @param {Run} run */
function whyOf(run) {
  const text = run.message || formatReason(run);
  return text && `${text[0].toUpperCase()}${text.slice(1)}${text.endsWith('.') ? '' : '.'}`;
}
