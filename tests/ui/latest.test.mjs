// Which of two views of a run counts.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { latest } from '../../web/static/latest.js';

const run = (/** @type {object} */ more) =>
  ({ id: 'r', status: 'running', ended_at: null, cancel_requested_at: null, stop: null, log: { size: 0 }, ...more });
const stages = [
  run({ status: 'queued' }),
  run({}),
  run({ log: { size: 5 } }),
  run({ cancel_requested_at: 't', stop: { steps: [] } }),
  run({ cancel_requested_at: 't', stop: { steps: [1] }, log: { size: 9 } }),
  run({ status: 'cancelled', cancel_requested_at: 't', ended_at: 't', stop: { steps: [1] }, log: { size: 9 } }),
];

test('what comes late does not take back what was known', () => {
  for (const [i, older] of stages.entries()) {
    for (const newer of stages.slice(i + 1)) {
      assert.equal(latest(older, newer), newer);
      assert.equal(latest(newer, older), newer);
    }
  }
});

test('of two that tell the same, the one that came last counts', () => {
  const [a, b] = [run({}), run({})];
  assert.equal(latest(a, b), b);
  assert.equal(latest(null, a), a);
  assert.equal(latest(stages[5], run({ id: 'other' })).id, 'other');
});
