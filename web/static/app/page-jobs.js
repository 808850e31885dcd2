// @ts-check
// All jobs: what they are, how their last run went, and the way to start one.

import { fill, h, setText } from '../dom.js';
import { formatAgo, formatCommand } from '../format.js';
import { latest } from '../latest.js';
import { ApiError } from '../runs.js';
import { makeBadge } from './badge.js';
import { watchRuns } from './live.js';
import { makeState } from './page-missing.js';
import { link } from './router.js';
import { explain } from './words.js';

/** @typedef {import('../runs.js').Job} Job */
/** @typedef {import('../runs.js').Run} Run */

const TICK_MS = 1000;

/** @param {import('./main.js').App} app @returns {import('./router.js').Page} */
export function makeJobsPage(app) {
  const list = h('div', {}, h('p', { className: 'muted' }, 'Loading…'));
  /** By job, as they are shown. @type {Map<string, LastRun>} */
  const lastRuns = new Map();
  const element = h('div', { className: 'page' },
    h('div', { className: 'page-head' }, h('h1', {}, 'Jobs'), h('span', { className: 'space' }),
      app.session.may('runs:exec') && h('a', { className: 'button', href: link('new') }, 'Run a command')),
    list);
  const show = (/** @type {Job[]} */ jobs) => {
    lastRuns.clear();
    for (const { name } of jobs) lastRuns.set(name, new LastRun());
    fill(list, jobs.length === 0 ? noJobs() : h('ul', { className: 'jobs' }, ...jobs.map((job) => jobCard(app, job, lastRuns.get(job.name)))));
  };
  let loaded = '';
  const load = async () => {
    try {
      const { jobs } = await app.runs.jobs();
      const names = JSON.stringify(jobs.map(({ name }) => name));
      if (names !== loaded) show(jobs);
      loaded = names;
      for (const { name, last_run } of jobs) if (last_run) lastRuns.get(name)?.show(last_run);
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) app.session.end();
      if (loaded) return; // It is told again as soon as the server is back.
      fill(list, makeState('The jobs cannot be shown', explain(error),
        h('button', { type: 'button', className: 'button', onclick: () => void load() }, 'Try again')));
    }
  };
  const renew = () => { loaded = ''; void load(); };
  app.session.addEventListener('token', renew);
  const tick = setInterval(() => lastRuns.forEach((last) => last.tick()), TICK_MS);
  const unwatch = watchRuns(app, {
    run: (run) => lastRuns.get(run.job ?? '')?.show(run),
    poll: () => void load(),
    state: () => {},
  });
  void load();
  const close = () => {
    app.session.removeEventListener('token', renew);
    clearInterval(tick);
    unwatch();
  };
  return { title: 'Jobs', element, section: 'jobs', close };
}

/** How a job's last run does. */
class LastRun {
  element = h('p', { className: 'muted' }, 'never ran');
  #time = h('span', {});
  /** @type {Run | null} */
  #run = null;

  /** @param {Run} run shown if it is not older than the one that is */
  show(run) {
    if (this.#run && run.created_at < this.#run.created_at) return;
    const now = latest(this.#run, run);
    this.#run = now;
    fill(this.element, h('a', { className: 'last', href: link(`runs/${encodeURIComponent(now.id)}`) }, makeBadge(now), this.#time));
    this.tick();
  }

  tick() {
    if (this.#run) setText(this.#time, formatAgo(Date.now() - Date.parse(this.#run.created_at)));
  }
}

/** @param {import('./main.js').App} app @param {Job} job @param {LastRun | undefined} last */
function jobCard(app, job, last) {
  const path = `jobs/${encodeURIComponent(job.name)}`;
  return h('li', { className: 'card job-card' },
    h('div', { className: 'job-text' },
      h('h2', {}, h('a', { href: link(path) }, job.name)),
      h('p', {}, job.description),
      h('code', { className: 'muted' }, formatCommand(job))),
    h('div', { className: 'job-side' },
      last?.element ?? null,
      h('a', { href: link(`?job=${encodeURIComponent(job.name)}`) }, 'All its runs'),
      app.session.may('runs:submit') && h('a', { className: 'button primary', href: link(path), ariaLabel: `Start ${job.name}` }, 'Start')));
}

function noJobs() {
  return makeState('No jobs yet', 'Jobs are described in jobs.toml, and there when the server starts:',
    h('pre', { className: 'code', tabIndex: 0 }, '[jobs.report]\ndescription = "Disk use by directory"\nshell = "du -h --max-depth=1 /var | sort -h"'));
}
