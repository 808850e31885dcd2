// @ts-check
// Forms that make runs: fields with their remarks and errors, and one way to send them.

import { fill, h, setText } from '../dom.js';
import { ApiError } from '../runs.js';
import { explain } from './words.js';

/**
 * A labelled control with a place for its error.
 * @typedef {{element: HTMLElement, control: HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement,
 *   complain: (text: string) => void}} Field
 */

/**
 * @param {string} label
 * @param {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} control with an id
 * @param {string} [remark]
 * @returns {Field}
 */
export function makeField(label, control, remark = '') {
  const hint = h('p', { id: `${control.id}-hint`, className: 'hint' }, remark);
  const error = h('p', { id: `${control.id}-error`, className: 'error' });
  control.setAttribute('aria-describedby', `${hint.id} ${error.id}`);
  const box = control.type === 'checkbox';
  const name = h('label', { htmlFor: control.id, className: box ? 'check' : '' }, box && control, label);
  return {
    element: h('div', { className: 'field' }, name, !box && control, hint, error),
    control,
    complain: (text) => {
      setText(error, text);
      control.ariaInvalid = text ? 'true' : null;
      if (text) control.focus();
    },
  };
}

/**
 * A form whose answer is a new run, which is then shown.
 * @param {import('./main.js').App} app
 * @param {object} options
 * @param {Record<string, Field>} options.fields by the name of the request's field
 * @param {(Node | false)[]} options.content
 * @param {string} options.label of the button
 * @param {Node | false} [options.extra] beside the button
 * @param {() => import('../runs.js').NewRun} options.request
 */
export function makeRunForm(app, { fields, content, label, extra = false, request }) {
  const button = h('button', { type: 'submit', className: 'button primary', title: 'Ctrl+Enter' }, label);
  const trouble = h('p', { className: 'error', role: 'alert' });
  const form = h('form', { className: 'card run-form', noValidate: true }, ...content, trouble,
    h('div', { className: 'form-foot' }, button, extra, h('span', { className: 'muted hotkey' }, 'Ctrl+Enter')));
  form.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    fill(trouble);
    for (const field of Object.values(fields)) field.complain('');
    try {
      const run = await app.runs.create(request());
      app.router.go(`runs/${encodeURIComponent(run.id)}`);
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) app.session.end();
      const field = error instanceof ApiError && error.field ? fields[error.field] : undefined;
      if (field) field.complain(explain(error));
      else setText(trouble, explain(error));
      button.disabled = false;
    }
  });
  return form;
}
