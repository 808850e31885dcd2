// What is known of each line, and the words around the terminal.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { formatBytes, formatCommand, formatCount, formatDuration, formatElapsed, formatExit, formatLimits, plural } from '../../web/static/format.js';
import { LineTable } from '../../web/static/terminal/lines.js';
import { noticeOf } from '../../web/static/terminal/notices.js';

test('lines have numbers, remarks between them have none', () => {
  const table = new LineTable();
  table.begin(0, 'remark', 1);
  table.begin(1, 'stdout', 2);
  table.begin(4, 'stderr', 3);
  table.begin(5, 'remark', 4);
  table.begin(6, 'stdout', 5);
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6, 7].map((line) => table.at(line)?.number), [null, 1, 2, 3, 4, null, 5, 6]);
  assert.deepEqual([0, 3, 4, 5, 6].map((line) => table.at(line)?.kind), ['remark', 'stdout', 'stderr', 'remark', 'stdout']);
  assert.deepEqual([0, 1, 4, 5, 6].map((line) => table.count(line)), [0, 1, 4, 4, 5]);
});

test('before the first line nothing is known', () => {
  const table = new LineTable();
  assert.deepEqual([table.at(0), table.count(0)], [null, 0]);
  table.begin(3, 'stdout', 1);
  assert.equal(table.at(2), null);
});

test('a line on which something else came first is what came last', () => {
  const table = new LineTable();
  table.begin(0, 'stdout', 1);
  table.begin(0, 'stderr', 2);
  assert.deepEqual(table.at(0), { number: 1, kind: 'stderr', timeMs: 2 });
});

test('old lines are forgotten, numbers go on', () => {
  const table = new LineTable();
  for (let line = 0; line < 100_000; line++) table.begin(line, 'stdout', line);
  assert.equal(table.at(10), null);
  assert.deepEqual(table.at(99_999), { number: 100_000, kind: 'stdout', timeMs: 99_999 });
});

test('sizes, durations and counts read well', () => {
  assert.deepEqual([0, 1023, 1024, 1_048_000, 1_048_575, 5_000_000, 200 * 2 ** 20, 3 * 2 ** 40].map(formatBytes),
    ['0 B', '1023 B', '1.0 KiB', '1023 KiB', '1.0 MiB', '4.8 MiB', '200 MiB', '3.0 TiB']);
  assert.deepEqual([0, 0.04, 9.9, 9.96, 59.9, 61, 3599, 3600, 90_061, -1].map(formatDuration),
    ['0 ms', '40 ms', '9.9 s', '10 s', '59 s', '1:01', '59:59', '1:00:00', '1 d 1 h', '0 ms']);
  assert.deepEqual([-1, 0.9, 3.2, 61].map(formatElapsed), ['0 s', '0 s', '3 s', '1:01']);
  assert.deepEqual([formatCount(1234567), plural(1, 'line'), plural(2, 'line')], ['1,234,567', '1 line', '2 lines']);
});

test('a command reads as one would type it', () => {
  assert.equal(formatCommand({ command: ['echo', 'a b', "it's", '{x}', ''], shell: null }), "echo 'a b' 'it'\\''s' {x} ''");
  assert.equal(formatCommand({ command: ['printf', '%s\n', "it's\t"], shell: null }), "printf $'%s\\n' $'it\\'s\\t'");
  assert.equal(formatCommand({ command: ['/bin/sh', '-c', 'a | b'], shell: 'a | b' }), 'a | b');
});

test('an exit is a code or a signal by its name', () => {
  const exit = (/** @type {any} */ more) => formatExit(/** @type {any} */ ({ exit_code: null, signal: null, ...more }));
  assert.deepEqual([exit({}), exit({ exit_code: 0 }), exit({ signal: 'KILL' }), exit({ signal: 'SIGTERM' })], ['', '0', 'SIGKILL', 'SIGTERM']);
});

test('each state of the connection has its words', () => {
  const words = (/** @type {any} */ state, facts = {}) => noticeOf(state, { offset: 8812, online: true, ended: false, ...facts });
  const waiting = { name: 'waiting', retryMs: 1400, code: 1006, failures: 1 };
  assert.equal(words(waiting).notice, 'Connection lost at byte 8,812, trying again in 1.4 s. Nothing will be lost.');
  assert.match(words({ ...waiting, code: 1012 }).notice, /^The server is restarting/);
  assert.match(words({ ...waiting, failures: 9 }).notice, /^The server does not answer/);
  assert.match(words(waiting, { online: false }).notice, /^You are offline/);
  assert.match(words({ name: 'token', code: 4401, message: '' }).notice, /not valid any more/);
  assert.match(words({ name: 'token', code: 4403, message: '' }).notice, /may not watch/);
  assert.match(words({ name: 'missing', code: 4404, message: '' }).notice, /no such run/);
  assert.match(words({ name: 'failed', code: 4409, message: 'why' }).notice, /why\. Reload the page/);
  assert.deepEqual(['connecting', 'live', 'ended', 'closed'].map((name) => words({ name }).word), ['Connecting', 'Live', 'Complete', 'Paused']);
  assert.equal(words({ name: 'live' }, { ended: true }).word, 'Loading');
});

test('limits are told with their names', () => {
  assert.equal(formatLimits({}), '');
  assert.equal(formatLimits({ memory: 2 ** 31, cpu: 1.5, nofile: 4096, cpu_time_s: 90 }),
    'memory 2.0 GiB, cpu 1.5, nofile 4,096, cpu_time 1:30');
});
