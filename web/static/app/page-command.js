// @ts-check
// Running a command that is no job.

import { h } from '../dom.js';
import { makeField, makeRunForm } from './form.js';
import { makeState } from './page-missing.js';
import { link } from './router.js';

/** @param {import('./main.js').App} app @returns {import('./router.js').Page} */
export function makeCommandPage(app) {
  const element = h('div', { className: 'page narrow' },
    h('p', { className: 'crumbs' }, h('a', { href: link('') }, 'Runs')), h('h1', {}, 'Run a command'),
    app.session.may('runs:exec')
      ? makeForm(app)
      : makeState('This token may not run commands', 'It lacks the scope runs:exec. It may be able to start jobs.',
        h('a', { className: 'button', href: link('jobs') }, 'Jobs')));
  return { title: 'Run a command', element, section: 'runs' };
}

/** @param {import('./main.js').App} app */
function makeForm(app) {
  const line = h('textarea', { id: 'line', rows: 3, spellcheck: false, autocapitalize: 'off', className: 'mono', placeholder: 'df -h; uptime' });
  const way = h('select', { id: 'way' },
    h('option', { value: 'shell' }, 'a line for the shell'),
    h('option', { value: 'command' }, 'a program, then one argument a line'));
  const terminal = h('input', { id: 'terminal', type: 'checkbox' });
  const cwd = h('input', { id: 'cwd', type: 'text', spellcheck: false, className: 'mono' });
  const timeout = h('input', { id: 'timeout', type: 'text', placeholder: '10m', className: 'mono' });
  const tags = h('input', { id: 'tags', type: 'text', spellcheck: false });
  const lineField = makeField('Command', line);
  const fields = {
    shell: lineField, command: lineField,
    output: makeField('On a terminal', terminal, 'For programs that one types into, or that are silent elsewhere.'),
    cwd: makeField('Directory', cwd, 'Where the server’s jobs.toml is, if left empty.'),
    timeout: makeField('Time limit', timeout, 'Such as 90s, 10m or 2h. None if left empty.'),
    tags: makeField('Tags', tags, 'Words, with spaces between them.'),
  };
  const wayField = makeField('Run it as', way, 'A shell expands variables and globs and knows pipes; a program gets its arguments as they are.');
  queueMicrotask(() => line.focus());
  return makeRunForm(app, {
    fields,
    content: [
      lineField.element, wayField.element, fields.output.element,
      h('details', {}, h('summary', {}, 'More'), fields.cwd.element, fields.timeout.element, fields.tags.element),
    ],
    label: 'Run',
    request: () => ({
      ...(way.value === 'shell' ? { shell: line.value.trim() } : { command: line.value.replace(/\n+$/, '').split('\n') }),
      ...(terminal.checked && { output: 'pty' }),
      ...(cwd.value.trim() && { cwd: cwd.value.trim() }),
      ...(timeout.value.trim() && { timeout: timeout.value.trim() }),
      ...(tags.value.trim() && { tags: tags.value.trim().split(/\s+/) }),
    }),
  });
}
