// What is shown of a run on a terminal: all that it does to its screen, and nothing beyond.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PtyFilter } from '../../web/static/terminal/pty-filter.js';
import { Random } from './random.mjs';

const utf8 = new TextEncoder();

/** @param {...string} pieces */
function shown(...pieces) {
  const filter = new PtyFilter();
  const text = pieces.map((piece) => filter.data(piece)).join('') + filter.end();
  return { text, hidden: filter.hidden };
}

const PASSES = [
  'plain text, ünïcödé 🙂\r\n\t\b', '\x07', '\x0e\x0f',
  '\x1b[1;38;2;1;2;3mred\x1b[m', '\x1b[4:3m',
  '\x1b[5;10H', '\x1b[H', '\x1b[2J', '\x1b[K', '\x1b[3;20r', '\x1b[10d', '\x1b[2L', '\x1b[3P', '\x1b[s\x1b[u',
  '\x1b[?1049h', '\x1b[?25l', '\x1b[?1;2004h', '\x1b[?7l', '\x1b[4h',
  '\x1b7\x1b8', '\x1bM', '\x1b=', '\x1b(0lqk\x1b(B', '\x1b[!p', '\x1b[2 q',
];
const HIDDEN = [
  '\x1b[6n', '\x1b[5n', '\x1b[c', '\x1b[>c', '\x1b[?6n', '\x1b[?1$p', '\x1b[18t', '\x1b[x', // answers
  '\x1b[?1000h', '\x1b[?1006h', '\x1b[?1004h', '\x1b[?25;1000h', // the mouse, the focus
  '\x1b]0;title\x07', '\x1b]52;c;QQ==\x1b\\', '\x1b]8;;https://other.example\x07', '\x1bP$qm\x1b\\', '\x1b_apc\x1b\\',
  '\x1b[3J', '\x1b[99999b', '\x1b#8', '\x05', '\x7f', '\x9b', '\x85', '\x00',
];

test('what a program does to its screen passes as it is', () => {
  for (const text of PASSES) assert.deepEqual(shown(text), { text, hidden: 0 }, JSON.stringify(text));
});

test('what asks, reaches beyond or wipes is dropped and counted', () => {
  for (const text of HIDDEN) assert.deepEqual(shown(`a${text}b`), { text: 'ab', hidden: 1 }, JSON.stringify(text));
});

test('a reset does not wipe what has scrolled away', () => {
  assert.deepEqual(shown('a\x1bcb'), { text: 'a\x1b[!p\x1b[H\x1b[2Jb', hidden: 0 });
});

test('a string that is not ended takes no more than its line', () => {
  assert.deepEqual(shown('a\x1b]0;title\nb'), { text: 'a\nb', hidden: 1 });
  assert.deepEqual(shown('a\x1bPtext\x1b[1mb'), { text: 'a\x1b[1mb', hidden: 1 });
});

test('what goes on for too long is no sequence', () => {
  const long = '1;'.repeat(3000);
  assert.equal(shown(`\x1b[${long}`).text, `[${long}`);
  assert.ok(shown(`\x1b]${long}`, long).text.endsWith(long));
});

test('what is begun and not ended is dropped with the end', () => {
  for (const begun of ['\x1b', '\x1b[', '\x1b[1;2', '\x1b(', '\x1b]0;x']) {
    assert.deepEqual(shown(`a${begun}`), { text: 'a', hidden: 1 }, JSON.stringify(begun));
  }
});

test('how it was cut makes no difference', () => {
  const random = new Random(7);
  const words = [...PASSES, ...HIDDEN, '\x1bc', 'x', '\n', '\x1b]0;cut\n'];
  for (let round = 0; round < 500; round++) {
    const bytes = utf8.encode(Array.from({ length: 12 }, () => random.pick(words)).join(''));
    const whole = new PtyFilter();
    const wanted = whole.data(bytes) + whole.end();
    const cut = new PtyFilter();
    let got = '';
    for (let at = 0; at < bytes.length;) {
      const next = at + 1 + random.below(5);
      got += cut.data(bytes.subarray(at, next));
      at = next;
    }
    assert.equal(got + cut.end(), wanted);
    assert.equal(cut.hidden, whole.hidden);
  }
});
