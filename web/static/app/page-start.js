// @ts-check
// Starting a job: a form made of its parameters.

import { fill, h, setText } from '../dom.js';
import { formatCommand } from '../format.js';
import { ApiError } from '../runs.js';
import { makeField, makeRunForm } from './form.js';
import { makeMissingPage, makeState } from './page-missing.js';
import { link } from './router.js';
import { explain } from './words.js';

/** @typedef {import('../runs.js').Job} Job */
/** @typedef {import('../runs.js').Param} Param */

/** @param {import('./main.js').App} app @param {string} name @returns {import('./router.js').Page} */
export function makeStartPage(app, name) {
  const about = h('p', {});
  const content = h('div', {}, h('p', { className: 'muted' }, 'Loading…'));
  const element = h('div', { className: 'page narrow' },
    h('p', { className: 'crumbs' }, h('a', { href: link('jobs') }, 'Jobs')), h('h1', {}, name), about, content);
  const load = async () => {
    try {
      const job = await app.runs.job(name);
      fill(content, makeForm(app, job));
      setText(about, job.description);
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) app.session.end();
      if (error instanceof ApiError && error.status === 404) {
        element.replaceWith(makeMissingPage('There is no such job', `No job is called ${name}, or this token may not see it.`).element);
      } else {
        fill(content, makeState('The job cannot be shown', explain(error),
          h('button', { type: 'button', className: 'button', onclick: () => void load() }, 'Try again')));
      }
    }
  };
  void load();
  return { title: `Start ${name}`, element, section: 'jobs' };
}

/** @param {import('./main.js').App} app @param {Job} job */
function makeForm(app, job) {
  const inputs = Object.entries(job.params).map(([name, param]) => makeInput(name, param));
  const fields = Object.fromEntries(inputs.map(({ name, field }) => [`params.${name}`, field]));
  const last = job.last_run;
  const asLastTime = last && inputs.length > 0 && h('button', {
    type: 'button', className: 'button', onclick: () => inputs.forEach(({ name, set }) => set(last.spec.params[name])),
  }, 'As last time');
  return makeRunForm(app, {
    fields,
    content: [
      h('p', { className: 'hint' }, 'Runs ', h('code', {}, formatCommand(job)), ' in ', h('code', {}, job.cwd)),
      ...inputs.map(({ field }) => field.element),
      inputs.length === 0 && h('p', { className: 'muted' }, 'This job has no parameters.'),
    ],
    label: `Start ${job.name}`,
    extra: asLastTime || false,
    request: () => ({ job: job.name, params: Object.fromEntries(inputs.flatMap(({ name, get }) => {
      const value = get();
      return value === undefined ? [] : [[name, value]];
    })) }),
  });
}

/**
 * The control for one parameter. `get` gives undefined where nothing was filled in, so that the
 * server's default counts, or its complaint.
 * @param {string} name @param {Param} param
 */
function makeInput(name, param) {
  const id = `param-${name}`;
  const given = param.default ?? '';
  const set = (/** @type {any} */ value) => {
    if (value === undefined) return;
    if (param.type === 'bool') /** @type {HTMLInputElement} */ (control).checked = value === true;
    else control.value = String(value);
  };
  const control = makeControl(id, param);
  set(given);
  const get = () => {
    if (param.type === 'bool') return /** @type {HTMLInputElement} */ (control).checked;
    if (control.value === '' && param.type !== 'string') return undefined;
    if (control.value === '' && param.default === null) return undefined;
    const number = param.type === 'int' || param.type === 'float' ? Number(control.value) : Number.NaN;
    // What is no number goes as it is: the server says best what is wrong with it.
    return Number.isSafeInteger(number) || (param.type === 'float' && Number.isFinite(number)) ? number : control.value;
  };
  return { name, field: makeField(name, control, remarkOn(param)), get, set };
}

/** @param {string} id @param {Param} param */
function makeControl(id, param) {
  switch (param.type) {
    case 'bool': return h('input', { id, type: 'checkbox' });
    case 'choice': return h('select', { id },
      ...(param.default === null ? [h('option', { value: '' }, 'Choose…')] : []),
      ...param.choices.map((choice) => h('option', {}, choice)));
    case 'string': return h('input', { id, type: 'text', spellcheck: false, required: param.default === null });
    default: return h('input', { id, type: 'text', inputMode: param.type === 'int' ? 'numeric' : 'decimal', required: param.default === null });
  }
}

/** @param {Param} param */
function remarkOn({ description, type, min, max, pattern, default: preset }) {
  const noun = { int: 'a whole number', float: 'a number', string: '', bool: '', choice: '' }[type];
  const bounds = min !== null && max !== null ? ` from ${min} to ${max}` : min !== null ? ` of at least ${min}` : max !== null ? ` of at most ${max}` : '';
  return [
    description, noun && `${noun}${bounds}`, pattern && `must match ${pattern}`, preset === null && type !== 'bool' && 'required',
  ].filter(Boolean).join(' · ');
}
