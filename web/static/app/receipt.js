// @ts-check
// What a stop did: who asked, each signal with what came of it, and how long it took.

import { fill, h, setText } from '../dom.js';
import { formatDuration, signalName } from '../format.js';

/** @typedef {import('../runs.js').Run} Run */
/** @typedef {NonNullable<Run['stop']>} Receipt */

/** @type {Record<string, string>} */
const CAUSES = {
  cancel: 'Cancelled', timeout: 'Stopped at its time limit', shutdown: 'Stopped as the server was',
  no_output_timeout: 'Stopped as it wrote nothing', output_limit: 'Stopped as its log was full',
};

export class StopReceipt {
  #summary = h('summary', {});
  #steps = h('ol', {});
  element = h('details', { className: 'receipt', hidden: true }, this.#summary, this.#steps);
  #shown = '';

  /** @param {Run} run */
  update(run) {
    this.element.hidden = run.stop === null;
    const text = JSON.stringify(run.stop);
    if (run.stop === null || text === this.#shown) return;
    this.#shown = text;
    setText(this.#summary, summaryOf(run.stop));
    fill(this.#steps, ...linesOf(run.stop).map((line) => h('li', {}, line)));
  }
}

/** @param {Receipt} stop */
function summaryOf(stop) {
  const who = stop.requested_by.kind === 'system' ? '' : ` by ${stop.requested_by.name}`;
  const signals = stop.steps.map(({ signal }) => signalName(signal)).join(', ');
  const took = stop.took_s === null ? '' : `, ${formatDuration(stop.took_s)}`;
  return `${CAUSES[stop.cause] ?? 'Stopped'}${who}${signals && `: ${signals}`}${took}`;
}

/** @param {Receipt} stop */
function linesOf(stop) {
  const lines = stop.steps.map((step) => {
    const whom = step.pids.length ? ` (pids ${step.pids.join(' ')})` : '';
    const left = step.left.length ? `pids ${step.left.join(' ')} were left` : 'nobody was left';
    const after = step.took_s === null ? '' : `; ${formatDuration(step.took_s)} later ${left}`;
    return `${timeOf(step.at)} ${signalName(step.signal)} to ${step.target}${whom}: ${step.result}${after}`;
  });
  const asked = [`${timeOf(stop.requested_at)} asked for by ${stop.requested_by.name}`];
  if (stop.forced_at && stop.forced_by) asked.push(`${timeOf(stop.forced_at)} to be killed at once, by ${stop.forced_by.name}`);
  const survived = stop.survivors.length ? [`not even that ended pids ${stop.survivors.join(' ')}`] : [];
  return [...asked, ...lines, ...survived];
}

/** @param {string} at */
function timeOf(at) {
  const time = new Date(at);
  return `${time.toLocaleTimeString(undefined, { hour12: false })}.${String(time.getMilliseconds()).padStart(3, '0')}`;
}
