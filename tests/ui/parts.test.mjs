// Whether what fits into a part of a large log fits into the terminal, and nothing is lost between parts.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { fitting, split } from '../../web/static/terminal/parts.js';
import { Random } from './random.mjs';

const bytes = (/** @type {string} */ text) => new TextEncoder().encode(text);

/** How many rows a terminal takes for text, wide characters and tabs included. @param {string} text @param {number} columns */
function rowsOf(text, columns) {
  let rows = 1;
  let column = 0;
  for (const character of text) {
    if (character === '\n') { rows++; column = 0; }
    else if (character === '\r') column = 0;
    else if (character === '\t') column = Math.min(columns - 1, (Math.floor(column / 8) + 1) * 8);
    else {
      const width = character > '\u2fff' ? 2 : 1;
      if (column + width > columns) { rows++; column = 0; }
      column += width;
    }
  }
  return column === 0 ? rows - 1 : rows;
}

test('what fits takes up no more rows than there are, and the pieces are the whole', () => {
  const random = new Random(17);
  const alphabet = ['a', 'b', ' ', '\n', '\n', '\r', '\t', 'é', '漢', '🎉', '\x1b[31m'];
  for (let round = 0; round < 300; round++) {
    const text = Array.from({ length: random.below(400) }, () => random.pick(alphabet)).join('');
    const columns = 20 + random.below(30);
    const rows = 1 + random.below(12);
    let rest = /** @type {any} */ ({ type: 'stdout', offset: 7, next: 7 + bytes(text).length, timeMs: 1, data: bytes(text) });
    let joined = '';
    while (rest.data.length > 0) {
      const found = fitting(rest.data, rows, columns);
      assert.ok(found.length > 0 && found.rows <= rows);
      const [piece, after] = split(rest, found.length);
      assert.equal(piece.next, after.offset);
      assert.equal(piece.next - piece.offset, piece.data.length);
      const shown = Buffer.from(piece.data).toString('latin1');
      if (/^[\x00-\x7f]*$/.test(shown)) assert.ok(rowsOf(shown.replaceAll('\x1b[31m', ''), columns) <= found.rows);
      joined += shown;
      rest = after;
    }
    assert.equal(joined, Buffer.from(bytes(text)).toString('latin1'));
  }
});

test('a part ends with a line, unless the line is longer than a part', () => {
  assert.deepEqual(fitting(bytes('one\ntwo\nthree\n'), 2, 20), { length: 8, rows: 2 });
  assert.deepEqual(fitting(bytes('one\ntwo'), 2, 20), { length: 7, rows: 2 });
  assert.deepEqual(fitting(bytes(`one\n${'x'.repeat(30)}\n`), 2, 20), { length: 4, rows: 1 });
  assert.deepEqual(fitting(bytes('x'.repeat(100)), 2, 20), { length: 40, rows: 2 });
  assert.deepEqual(fitting(bytes('\n'.repeat(10)), 4, 20), { length: 4, rows: 4 });
  assert.deepEqual(fitting(bytes(''), 4, 20), { length: 0, rows: 0 });
  assert.deepEqual(fitting(bytes('more'), 0, 20), { length: 0, rows: 0 });
});

test('characters of several columns fit as well', () => {
  for (const columns of [20, 21]) {
    const text = '漢'.repeat(200);
    const { length, rows } = fitting(bytes(text), 5, columns);
    assert.ok(rowsOf(text.slice(0, Math.ceil(length / 3)), columns) <= rows);
  }
});
