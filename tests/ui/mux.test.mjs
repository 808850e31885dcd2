// What a terminal is given for the output of two streams.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Mux } from '../../web/static/terminal/mux.js';
import { Random } from './random.mjs';

const RED = '\x1b[0;91m';
const PLAIN = '\x1b[0m';
const utf8 = new TextEncoder();

/** @param {[stream: string, data: string | Uint8Array][]} pieces */
function shown(...pieces) {
  const mux = new Mux();
  return pieces.map(([stream, data]) => mux.data(stream, data)).join('');
}

test('stdout is as it was written, stderr is red', () => {
  assert.equal(shown(['stdout', 'a\n'], ['stderr', 'b\n'], ['stdout', 'c\n']), `a\n${RED}b\n${PLAIN}c\n`);
});

test('the default colour of stderr is red, whichever way it is asked for', () => {
  for (const reset of ['', '0', '39', '0;39', '31;0', '38;5;9;39']) {
    assert.equal(shown(['stderr', `\x1b[32ma\x1b[${reset}mb\n`]), `\x1b[0;32ma${RED}b\n`);
  }
});

test('each stream keeps its own colours while the other one writes', () => {
  assert.equal(
    shown(['stdout', '\x1b[1;32mgreen\n'], ['stderr', 'oops\n'], ['stdout', 'still green\n']),
    `\x1b[0;32;1mgreen\n${RED}oops\n\x1b[0;32;1mstill green\n`,
  );
});

test('an escape sequence cut by the other stream does neither of them harm', () => {
  assert.equal(shown(['stdout', 'a\x1b[3'], ['stderr', 'retrying\n'], ['stdout', '2mgreen\n']),
    `a\n${RED}retrying\n\x1b[0;32mgreen\n`);
});

test('a character cut by the other stream is whole in its own', () => {
  const e = utf8.encode('é');
  assert.equal(
    shown(['stdout', utf8.encode('caf')], ['stdout', e.slice(0, 1)], ['stderr', 'x\n'], ['stdout', e.slice(1)]),
    `caf\n${RED}x\n${PLAIN}é`,
  );
});

test('bytes that are no text are shown as such, the last ones at the end', () => {
  const mux = new Mux();
  assert.equal(mux.data('stdout', new Uint8Array([0x61, 0xff, 0x62, 0xe2, 0x82])), 'a\ufffdb');
  assert.equal(mux.end(), '\ufffd');
});

test('a line that the other stream breaks into is ended once', () => {
  assert.equal(shown(['stdout', 'a'], ['stderr', 'b\n'], ['stdout', '\nc\n']), `a\n${RED}b\n${PLAIN}c\n`);
  assert.equal(shown(['stdout', 'a'], ['stderr', 'b\n'], ['stdout', '\r\nc\n']), `a\n${RED}b\n${PLAIN}c\n`);
  assert.equal(shown(['stdout', 'a'], ['stderr', 'b\n'], ['stdout', 'c\n\nd']), `a\n${RED}b\n${PLAIN}c\n\nd`);
});

test('a progress bar is not written over', () => {
  assert.equal(shown(['stderr', '\r 50%'], ['stderr', '\r100%\r'], ['stdout', 'done\n'], ['stderr', '\n']),
    `${RED}\r 50%\r100%\r${PLAIN}\ndone\n`);
});

test('our own remarks stand on lines of their own, in cyan, and cannot be faked by escapes', () => {
  const mux = new Mux();
  assert.equal(
    mux.data('stderr', 'a') + mux.remark('started\x1b[2J\nby ada') + mux.data('stderr', 'b\n'),
    `${RED}a${PLAIN}\n\x1b[0;36m▸ ${PLAIN}started [2J by ada\n${RED}b\n`,
  );
});

test('a program redraws its own lines, and no others', () => {
  assert.equal(shown(['stdout', 'one\ntwo\n\x1b[2A\x1b[KONE\n']), 'one\ntwo\n\x1b[2A\x1b[KONE\n');
  assert.equal(shown(['stderr', 'keep\n'], ['stdout', 'one\n\x1b[9A\x1b[2K!\n']),
    `${RED}keep\n${PLAIN}one\n\x1b[1A\x1b[2K!\n`);
  const mux = new Mux();
  mux.remark('started');
  assert.equal(mux.data('stdout', '\x1b[3A\x1b[5Fx'), '\rx');
});

test('who comes after a program that moved up writes below it', () => {
  assert.equal(shown(['stdout', 'a\nb\nc\n\x1b[3A'], ['stderr', 'd\n']),
    `a\nb\nc\n\x1b[3A\x1b[3B\n${RED}d\n`);
});

test('sequences that report, wipe, hide or steer do nothing, and are counted', () => {
  for (const hostile of [
    '\x1b]0;title\x07', '\x1b]2;title\x1b\\', '\x1b]52;c;aGk=\x07', '\x1b]8;;javascript:alert(1)\x1b\\',
    '\x1bP$q"p\x1b\\', '\x1b[c', '\x1b[>c', '\x1b[6n', '\x1b[5n', '\x1b[?6n', '\x1bc', '\x1b[2J', '\x1b[3J', '\x1b[1J',
    '\x1b[?1049h', '\x1b[?25l', '\x1b[!p', '\x1b[3;5r', '\x1b[H', '\x1b[10;10H', '\x1b[21t', '\x1b7', '\x1b8',
    '\x1b[s', '\x1b[u', '\x1b[5L', '\x1b[5M', '\x1b[5S', '\x1b[5T', '\x1b[999b', '\x1b(0', '\x1bM', '\x1bD', '\x07', '\x05', '\x0e',
    '\x9b2J', '\x9d0;title\x9c', '\x1b_apc\x1b\\', '\x1b^pm\x1b\\', '\x1bXsos\x1b\\', '\x00', '\x7f',
  ]) {
    const mux = new Mux();
    assert.equal(mux.data('stdout', `a${hostile}b`), 'ab', JSON.stringify(hostile));
    assert.ok(mux.hidden > 0, JSON.stringify(hostile));
  }
});

test('concealed and blinking text is plain text', () => {
  assert.equal(shown(['stdout', '\x1b[8;5mpassword\x1b[28;25m.']), 'password.');
});

test('dim text is grey, unless it has a colour', () => {
  assert.equal(shown(['stdout', '\x1b[2ma\x1b[31mb\x1b[22;39mc']), '\x1b[0;90ma\x1b[0;31mb\x1b[0mc');
  assert.equal(shown(['stderr', '\x1b[2ma']), `${RED}a`);
});

test('a string that never ends takes its line with it and no more', () => {
  assert.equal(shown(['stdout', 'a\x1b]0;title\nb\n']), 'a\nb\n');
  assert.equal(shown(['stdout', `a\x1bP${'x'.repeat(5000)}b\n`]), `a${'x'.repeat(904)}b\n`);
  assert.equal(shown(['stdout', `a\x1b[${'1;'.repeat(500)}mb\n`]).endsWith('mb\n'), true);
});

test('colours of 256 and of all are kept, in every spelling', () => {
  for (const [given, code] of [
    ['38;5;208', '38;5;208'], ['38:5:208', '38;5;208'], ['48;2;1;2;3', '48;2;1;2;3'],
    ['38:2::1:2:3', '38;2;1;2;3'], ['38:2:1:2:3', '38;2;1;2;3'], ['4:3', '4'], ['21', '4'], ['1;58;5;3;3', '1;3'],
  ]) assert.equal(shown(['stdout', `\x1b[${given}mx`]), `\x1b[0;${code}mx`, given);
  for (const broken of ['38', '38;5', '38;7', '38;2;1;2', '38;5;300', '38:5', '99']) {
    assert.equal(shown(['stdout', `\x1b[${broken}mx`]), 'x', broken);
  }
});

// --- whatever the chunks -------------------------------------------------------------------------

const FRAGMENTS = [
  'plain', 'é', '漢字', '🎉', '\n', '\r\n', '\r', '\t', '\b', ' ', '\x1b[31m', '\x1b[0m', '\x1b[m', '\x1b[1;38;5;12m',
  '\x1b[38:2::1:2:3m', '\x1b[2A', '\x1b[B', '\x1b[K', '\x1b[10G', '\x1b[3E', '\x1b[2F', '\x1b[J', '\x1b[2J', '\x1bc', '\x1b[?25l',
  '\x1b]0;t\x07', '\x1b]8;;http://x\x1b\\', '\x1b]0;never', '\x1bP', '\x1b\\', '\x1b', '\x1b[', '\x1b[1', '\x1b(', '\x1b(B', '\x9b', '\x9c', '\x07', '\x00', '\ufeff',
];

/** @param {Random} random */
function session(random) {
  const turns = [];
  for (let i = random.below(6) + 2; i > 0; i--) {
    const text = Array.from({ length: random.below(6) + 1 }, () => random.pick(FRAGMENTS)).join('');
    const bytes = [...utf8.encode(text)];
    if (random.below(4) === 0) bytes.splice(random.below(bytes.length + 1), 0, random.pick([0xff, 0xc3, 0xe2, 0x80, 0xf0]));
    turns.push([random.pick(['stdout', 'stderr']), Uint8Array.from(bytes)]);
  }
  return turns;
}

/** Text, and the sequences that may come out. */
const HARMLESS = /^(?:[^\x00-\x07\x0b-\x1f\x7f-\x9f]|\r|\x1b\[[0-9;]*m|\x1b\[[0-9]{0,4}[ABCDGKPX@J])*$/;

test('the same bytes give the same text, cut anywhere', () => {
  const random = new Random(1);
  for (let round = 0; round < 1500; round++) {
    const turns = session(random);
    const whole = shown(...turns);
    assert.match(whole, HARMLESS);
    assert.doesNotMatch(whole, /\x1b\[0*[1-9][0-9]*J/);
    for (let turn = 0; turn < turns.length; turn++) {
      const [stream, bytes] = turns[turn];
      for (let cut = 1; cut < bytes.length; cut++) {
        const parts = [[stream, bytes.slice(0, cut)], [stream, bytes.slice(cut)]];
        assert.equal(shown(...turns.slice(0, turn), ...parts, ...turns.slice(turn + 1)), whole);
      }
    }
    const single = turns.flatMap(([stream, bytes]) => [...bytes].map((byte) => [stream, Uint8Array.of(byte)]));
    assert.equal(shown(...single), whole);
  }
});

test('no stream changes what another one says', () => {
  const random = new Random(2);
  const texts = (/** @type {string} */ out) => out.replace(/\x1b\[[0-9;]*[a-zA-Z@]/g, '').replace(/[\r\n]/g, '');
  for (let round = 0; round < 500; round++) {
    const turns = session(random);
    const apart = new Map([['stdout', ''], ['stderr', '']]);
    const together = new Map([['stdout', ''], ['stderr', '']]);
    const mux = new Mux();
    for (const [stream, bytes] of turns) together.set(stream, together.get(stream) + texts(mux.data(stream, bytes)));
    for (const name of apart.keys()) apart.set(name, texts(shown(...turns.filter(([stream]) => stream === name))));
    assert.deepEqual(together, apart);
  }
});
