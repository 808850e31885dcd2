// @ts-check
// All jobs: what they are, how their last run went, and the way to start one.

import { fill, h } from '../dom.js';
import { formatAgo, formatCommand } from '../format.js';
import { ApiError } from '../runs.js';
import { makeBadge } from './badge.js';
import { makeState } from './page-missing.js';
import { link } from './router.js';
import { explain } from './words.js';

/** @typedef {import('../runs.js').Job} Job */

/** @param {import('./main.js').App} app @returns {import('./router.js').Page} */
export function makeJobsPage(app) {
  const list = h('div', {}, h('p', { className: 'muted' }, 'Loading…'));
  const element = h('div', { className: 'page' },
    h('div', { className: 'page-head' }, h('h1', {}, 'Jobs'), h('span', { className: 'space' }),
      app.session.may('runs:exec') && h('a', { className: 'button', href: link('new') }, 'Run a command')),
    list);
  const load = async () => {
    try {
      const { jobs } = await app.runs.jobs();
      fill(list, jobs.length === 0 ? noJobs() : h('ul', { className: 'jobs' }, ...jobs.map((job) => jobCard(app, job))));
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) app.session.end();
      fill(list, makeState('The jobs cannot be shown', explain(error),
        h('button', { type: 'button', className: 'button', onclick: () => void load() }, 'Try again')));
    }
  };
  app.session.addEventListener('token', load);
  void load();
  return { title: 'Jobs', element, section: 'jobs', close: () => app.session.removeEventListener('token', load) };
}

/** @param {import('./main.js').App} app @param {Job} job */
function jobCard(app, job) {
  const last = job.last_run;
  const path = `jobs/${encodeURIComponent(job.name)}`;
  return h('li', { className: 'card job-card' },
    h('div', { className: 'job-text' },
      h('h2', {}, h('a', { href: link(path) }, job.name)),
      h('p', {}, job.description),
      h('code', { className: 'muted' }, formatCommand(job))),
    h('div', { className: 'job-side' },
      last
        ? h('p', { className: 'muted' }, h('a', { className: 'last', href: link(`runs/${encodeURIComponent(last.id)}`) },
          makeBadge(last), ` ${formatAgo(Date.now() - Date.parse(last.created_at))}`))
        : h('p', { className: 'muted' }, 'never ran'),
      h('a', { href: link(`?job=${encodeURIComponent(job.name)}`) }, 'All its runs'),
      app.session.may('runs:submit') && h('a', { className: 'button primary', href: link(path), ariaLabel: `Start ${job.name}` }, 'Start')));
}

function noJobs() {
  return makeState('No jobs yet', 'Jobs are described in jobs.toml, and there when the server starts:',
    h('pre', { className: 'code', tabIndex: 0 }, '[jobs.report]\ndescription = "Disk use by directory"\nshell = "du -h --max-depth=1 /var | sort -h"'));
}
