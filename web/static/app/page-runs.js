// @ts-check
// All runs, newest first, as they change. The filters are in the address.

import { fill, h, setText } from '../dom.js';
import { plural } from '../format.js';
import { ApiError } from '../runs.js';
import { watchRuns } from './live.js';
import { makeState } from './page-missing.js';
import { link } from './router.js';
import { RunTable } from './run-table.js';
import { explain } from './words.js';

/** @typedef {import('../runs.js').Run} Run */
/** @typedef {{status: string | null, q: string, job: string | null, tag: string | null}} Filter */

const STATUSES = /** @type {const} */ (['queued', 'running', 'succeeded', 'failed', 'cancelled']);
const PAGE = 50;
const TYPING_MS = 250;
/** Nearer to the top than this, new rows do not move what somebody reads. */
const AT_TOP_PX = 100;

/** @param {import('./main.js').App} app @param {URLSearchParams} query @returns {import('./router.js').Page} */
export function makeRunsPage(app, query) {
  const page = new RunsPage(app, query);
  return { title: 'Runs', element: page.element, section: 'runs', close: () => page.close() };
}

class RunsPage {
  #app;
  #table;
  /** @type {Filter} */
  #filter;
  /** Runs that came while somebody was reading further down. @type {Run[]} */
  #fresh = [];
  /** @type {string | null} */
  #next = null;
  #loads = 0;
  #loaded = false;
  #unwatch;
  #tick;
  #notice = h('p', { className: 'notice', role: 'status', hidden: true });
  #news = h('button', { type: 'button', className: 'button news', hidden: true, onclick: () => this.#showFresh() });
  #more = h('button', { type: 'button', className: 'button', hidden: true, onclick: () => void this.#load(true) }, 'Older runs');
  #state = h('div', {});
  #chips = h('nav', { className: 'chips', ariaLabel: 'Status' });
  #search = h('input', { type: 'search', placeholder: 'Job, id or command', ariaLabel: 'Search runs' });
  #extra = h('span', { className: 'chips' });
  #key = (/** @type {KeyboardEvent} */ event) => {
    const typing = event.target instanceof Element && event.target.closest('input, dialog') !== null;
    if (event.key !== '/' || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.#search.focus();
  };

  /** @param {import('./main.js').App} app @param {URLSearchParams} query */
  constructor(app, query) {
    this.#app = app;
    this.#filter = { status: query.get('status'), q: query.get('q') ?? '', job: query.get('job'), tag: query.get('tag') };
    this.#table = new RunTable(app, (text) => this.#say(text));
    this.#search.value = this.#filter.q;
    this.element = h('div', { className: 'page' },
      h('div', { className: 'page-head' }, h('h1', {}, 'Runs'), h('span', { className: 'actions' },
        app.session.may('runs:exec') && h('a', { className: 'button', href: link('new') }, 'Run a command'),
        app.session.may('runs:submit') && h('a', { className: 'button primary', href: link('jobs') }, 'Start a job'))),
      h('div', { className: 'filters' }, this.#chips, this.#extra, this.#search),
      this.#notice, this.#news, this.#table.element, this.#state,
      h('p', { className: 'more' }, this.#more));
    this.#showFilter();
    this.#listen();
    this.#tick = setInterval(() => this.#table.tick(), 1000);
    this.#unwatch = watchRuns(app, {
      run: (run) => this.#heard(run),
      poll: () => void this.#refresh(),
      state: (now) => this.#say(now === 'lost' ? 'The connection to the server is lost. Trying again…' : ''),
    });
    this.#table.showLoading();
    void this.#load(false);
  }

  close() {
    clearInterval(this.#tick);
    this.#unwatch();
    document.removeEventListener('keydown', this.#key);
  }

  #listen() {
    let typing = 0;
    this.#search.addEventListener('input', () => {
      clearTimeout(typing);
      typing = setTimeout(() => this.#setFilter({ q: this.#search.value.trim() }), TYPING_MS);
    });
    document.addEventListener('keydown', this.#key);
  }

  /** @param {Partial<Filter>} change */
  #setFilter(change) {
    this.#filter = { ...this.#filter, ...change };
    this.#app.router.note(`?${this.#words()}`.replace(/^\?$/, ''));
    this.#showFilter();
    void this.#load(false);
  }

  #words() {
    const words = new URLSearchParams();
    for (const [name, value] of Object.entries(this.#filter)) if (value) words.set(name, value);
    return words;
  }

  #showFilter() {
    const chip = (/** @type {string | null} */ status) => h('button', {
      type: 'button', className: 'chip', dataset: { status: status ?? 'all' },
      ariaPressed: String(this.#filter.status === status), onclick: () => this.#setFilter({ status }),
    }, status ? status[0].toUpperCase() + status.slice(1) : 'All');
    fill(this.#chips, chip(null), ...STATUSES.map(chip));
    fill(this.#extra, ...(/** @type {const} */ (['job', 'tag'])).filter((name) => this.#filter[name]).map((name) =>
      h('button', { type: 'button', className: 'chip', ariaPressed: 'true', ariaLabel: `Do not filter by ${name} ${this.#filter[name]}`,
        onclick: () => this.#setFilter({ [name]: null }) }, `${name}: ${this.#filter[name]} ×`)));
  }

  /** @param {string} [before] @param {number} [limit] */
  #ask(before, limit = PAGE) {
    const { status, q, job, tag } = this.#filter;
    return this.#app.runs.list({
      status: status ? [/** @type {any} */ (status)] : [], q, job: job ?? '', tag: tag ?? '', limit, before,
    });
  }

  /** @param {boolean} older append the page after what is shown, instead of starting over */
  async #load(older) {
    const load = ++this.#loads;
    this.#more.disabled = true;
    try {
      const { runs, next } = await this.#ask(older ? this.#next ?? undefined : undefined);
      if (load !== this.#loads) return;
      this.#next = next;
      this.#loaded = true;
      if (older) this.#table.append(runs);
      else {
        this.#table.show(runs);
        this.#fresh = [];
        this.#showNews();
      }
      this.#showState();
    } catch (error) {
      if (load === this.#loads) this.#failed(error);
    } finally {
      this.#more.disabled = false;
      this.#more.hidden = this.#next === null;
    }
  }

  /** See what became of the newest runs, without a feed. */
  async #refresh() {
    if (!this.#loaded) return this.#load(false);
    try {
      const { runs } = await this.#ask();
      this.#say('');
      for (const run of runs.reverse()) this.#heard(run);
      this.#showState();
    } catch (error) {
      this.#failed(error);
    }
  }

  /** @param {Run} run */
  #heard(run) {
    const fits = this.#fits(run);
    if (this.#table.has(run.id)) {
      if (fits) this.#table.update(run);
      else this.#table.remove(run.id);
    } else if (fits && this.#isNew(run)) {
      this.#fresh = [...this.#fresh.filter((other) => other.id !== run.id), run];
      if (window.scrollY < AT_TOP_PX) this.#showFresh();
      else this.#showNews();
    }
    this.#showState();
  }

  /** Whether a run belongs above the oldest one that is shown. @param {Run} run */
  #isNew(run) {
    return this.#next === null || this.#table.oldest === null || run.created_at >= this.#table.oldest;
  }

  /** @param {Run} run */
  #fits(run) {
    const { status, q, job, tag } = this.#filter;
    const text = [run.id, run.job ?? '', run.spec.shell ?? run.spec.command.join(' ')].join('\n').toLowerCase();
    return (!status || run.status === status) && (!job || run.job === job)
      && (!tag || run.tags.includes(tag)) && (!q || text.includes(q.toLowerCase()));
  }

  #showFresh() {
    this.#table.insert(this.#fresh);
    this.#fresh = [];
    this.#showNews();
  }

  #showNews() {
    this.#news.hidden = this.#fresh.length === 0;
    setText(this.#news, `↑ ${plural(this.#fresh.length, 'new run')}`);
    if (!this.#news.hidden) this.#news.onclick = () => { this.#showFresh(); window.scrollTo(0, 0); };
  }

  #showState() {
    const empty = this.#table.size === 0;
    this.#table.element.hidden = empty;
    if (!empty) fill(this.#state);
    else if (this.#words().size > 0) {
      fill(this.#state, makeState('No run matches', 'Other runs may: look without the filter.',
        h('button', { type: 'button', className: 'button', onclick: () => this.#clearFilter() }, 'Show all runs')));
    } else fill(this.#state, firstSteps());
  }

  #clearFilter() {
    this.#search.value = '';
    this.#setFilter({ status: null, q: '', job: null, tag: null });
  }

  /** @param {unknown} error */
  #failed(error) {
    if (error instanceof ApiError && error.status === 401) this.#app.session.end();
    if (!this.#loaded) {
      this.#table.element.hidden = true;
      fill(this.#state, makeState('The runs cannot be shown', explain(error),
        h('button', { type: 'button', className: 'button', onclick: () => void this.#load(false) }, 'Try again')));
    } else this.#say(explain(error));
  }

  /** @param {string} text */
  #say(text) {
    setText(this.#notice, text);
    this.#notice.hidden = text === '';
  }
}

/** What to do on a server that has never run anything. */
function firstSteps() {
  const address = new URL('../../../../', import.meta.url).href.replace(/\/$/, '');
  return makeState('No runs yet', 'Start a job or run a command above, or from a terminal:',
    h('pre', { className: 'code', tabIndex: 0 }, 'runwire run -- echo hello'),
    h('p', { className: 'muted' }, 'Or over HTTP, from anywhere:'),
    h('pre', { className: 'code', tabIndex: 0 },
      `curl ${address}/runs -H "Authorization: Bearer $TOKEN" \\\n  -H "Content-Type: application/json" -d '{"shell": "echo hello"}'`));
}
