// What is typed reaches the run in order and once, whatever the run and the connection do.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Keys } from '../../web/static/client/keys.js';

/** @param {boolean} [open] */
function world(open = true) {
  /** @type {string[]} */
  const sent = [];
  /** @type {any[]} */
  const refused = [];
  const state = { open };
  const keys = new Keys((text) => {
    if (state.open) sent.push(text);
    return state.open;
  }, (answer) => refused.push(answer));
  return { keys, sent, refused, state };
}

const taken = (/** @type {string} */ text) => ({ type: /** @type {const} */ ('input'), taken: text.length });

test('the first key is sent at once, those that follow together when it is answered', () => {
  const { keys, sent } = world();
  for (const key of 'abc') keys.type(key);
  assert.deepEqual(sent, ['a']);
  keys.answered(taken('a'));
  assert.deepEqual(sent, ['a', 'bc']);
  keys.answered(taken('bc'));
  keys.type('d');
  assert.deepEqual(sent, ['a', 'bc', 'd']);
});

test('much text goes in pieces, with no character cut', () => {
  const { keys, sent } = world();
  const text = `x${'🙂'.repeat(5000)}`;
  keys.type(text);
  for (let n = 0; n < sent.length; n++) keys.answered(taken(sent[n]));
  assert.equal(sent.join(''), text);
  assert.ok(sent.length > 1);
  assert.ok(sent.every((piece) => piece.length <= 4096 && piece.isWellFormed()));
});

test('what the run does not take is told, and what was typed behind it is forgotten', () => {
  const { keys, sent, refused } = world();
  keys.type('a');
  keys.type('b');
  const answer = { type: /** @type {const} */ ('input'), taken: 0, code: 'forbidden', message: 'no' };
  keys.answered(answer);
  assert.deepEqual(refused, [answer]);
  assert.deepEqual(sent, ['a']);
});

test('nothing is typed twice, or late, because a connection broke', () => {
  const { keys, sent, state } = world();
  keys.type('a');
  keys.type('b');
  keys.forget();
  state.open = false;
  keys.type('c');
  state.open = true;
  keys.type('d');
  assert.deepEqual(sent, ['a', 'd']);
});
