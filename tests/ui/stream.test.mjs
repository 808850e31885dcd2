// The stream client, against a server that the test plays.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { RunFeed } from '../../web/static/client/feed.js';
import { RunStream } from '../../web/static/client/stream.js';
import { FakeWorld, binary } from './fakeworld.mjs';

/** @param {object} [options] */
function watched(options = {}) {
  const world = new FakeWorld();
  /** @type {any} */
  const seen = { text: '', output: [], statuses: [], gaps: [], ends: [], states: [] };
  const decoder = new TextDecoder();
  const stream = new RunStream({ url: 'ws://host/runs/r/stream', token: 'secret', world, ...options }, {
    output: (output) => {
      seen.output.push(output);
      seen.text += typeof output.data === 'string' ? output.data : decoder.decode(output.data);
    },
    status: (status) => seen.statuses.push(status.seq),
    gap: (gap) => seen.gaps.push([gap.from, gap.to]),
    end: (end) => seen.ends.push(end.run.status),
    state: (state) => seen.states.push(state.name),
  });
  stream.start();
  return { world, stream, seen };
}

const out = (/** @type {number} */ offset, /** @type {string} */ data) =>
  ({ type: 'stdout', data, offset, next: offset + data.length, time: '1970-01-01T00:00:01.500000Z' });
const status = (/** @type {number} */ seq) =>
  ({ type: 'status', data: 'running', event: 'started', seq, offset: 0, time: '', text: 'started' });
const end = (/** @type {number} */ offset) => ({ type: 'end', offset, run: { status: 'succeeded' } });

test('it says who it is and what it wants, and offers the binary form', () => {
  const { world, seen } = watched();
  assert.deepEqual(world.last.protocols, ['runwire.binary', 'runwire.json']);
  assert.deepEqual(world.last.accept(), { type: 'hello', token: 'secret', from: 0, window: 524288, seq: 0 });
  assert.deepEqual(seen.states, ['connecting', 'live']);
});

test('it tells output of both forms, and closes once all was said', () => {
  const { world, seen, stream } = watched();
  world.last.accept();
  world.last.say(out(0, 'ab'));
  world.last.say(binary([1, 2, 'cd'], [2, 4, 'ef']));
  world.last.say(status(3));
  world.last.say(end(6));
  assert.equal(seen.text, 'abcdef');
  assert.deepEqual(seen.output.map((/** @type {any} */ o) => [o.type, o.offset, o.next, o.timeMs]),
    [['stdout', 0, 2, 1500], ['stdout', 2, 4, 1500], ['stderr', 4, 6, 1500]]);
  assert.deepEqual(seen.statuses, [3]);
  assert.deepEqual([seen.ends, stream.ended, world.last.closedWith], [['succeeded'], true, 1000]);
  assert.deepEqual(seen.states, ['connecting', 'live', 'ended']);
});

test('a broken connection is taken up where it broke, with nothing lost or doubled', () => {
  const { world, seen } = watched();
  world.last.accept();
  world.last.say(status(2));
  world.last.say(out(0, 'ab'));
  world.last.break(1006);
  assert.deepEqual(seen.states, ['connecting', 'live', 'waiting']);
  world.pass(250);
  const hello = world.last.accept();
  assert.deepEqual([hello.from, hello.seq], [2, 2]);
  world.last.say(status(2));
  world.last.say(out(0, 'ab'));
  world.last.say(out(2, 'cd'));
  world.last.say(end(4));
  assert.deepEqual([seen.text, seen.statuses, seen.ends], ['abcd', [2], ['succeeded']]);
});

test('a hole or an overlap is a fault: it comes back for what is missing', () => {
  for (const wrong of [out(5, 'xy'), out(1, 'xy'), { type: 'gap', from: 9, to: 12, reason: 'trimmed' }, end(9), { no: 1 }]) {
    const { world, seen } = watched();
    world.last.accept();
    world.last.say(out(0, 'ab'));
    world.last.say(wrong);
    assert.equal(world.last.closedWith, 4000, JSON.stringify(wrong));
    world.pass(250);
    assert.equal(world.last.accept().from, 2);
    world.last.say(out(2, 'c'));
    world.last.say(end(3));
    assert.deepEqual([seen.text, seen.ends], ['abc', ['succeeded']]);
  }
});

test('half a frame and an unknown kind are faults', () => {
  for (const wrong of [binary([1, 0, 'ab']).slice(0, 22), binary([1, 0, 'ab']).slice(0, 9), binary([7, 0, 'ab'])]) {
    const { world, seen } = watched();
    world.last.accept();
    world.last.say(wrong);
    assert.deepEqual([world.last.closedWith, seen.text], [4000, '']);
  }
});

test('a gap is told, and moves the place on', () => {
  const { world, seen, stream } = watched();
  world.last.accept();
  world.last.say({ type: 'gap', from: 0, to: 100, reason: 'trimmed' });
  world.last.say(out(100, 'ab'));
  assert.deepEqual([seen.gaps, seen.text, stream.offset], [[[0, 100]], 'ab', 102]);
});

test('from the end, the first message says where that is', () => {
  const { world, stream } = watched({ from: -64 });
  assert.equal(world.last.accept().from, -64);
  world.last.break(1006);
  world.pass(250);
  assert.equal(world.last.accept().from, -64);
  world.last.say(out(1000, 'ab'));
  world.last.break(1006);
  world.pass(500);
  assert.deepEqual([world.last.accept().from, stream.offset], [1002, 1002]);
});

test('with one stream only, offsets may jump but not go back', () => {
  const { world, seen } = watched({ streams: ['stderr'] });
  assert.deepEqual(world.last.accept().streams, ['stderr']);
  world.last.say(out(0, 'ab'));
  world.last.say(out(50, 'cd'));
  world.last.say(out(50, 'cd'));
  world.last.say(end(99));
  assert.deepEqual([seen.text, seen.ends], ['abcd', ['succeeded']]);
});

test('it acknowledges in steps, and in smaller ones for a small window', () => {
  const acks = (/** @type {FakeWorld} */ world) => world.last.sent.filter(({ type }) => type === 'ack').map(({ offset }) => offset);
  const large = watched();
  large.world.last.accept();
  for (const offset of [1000, 65535, 65536, 70000, 131072]) large.stream.ack(offset);
  assert.deepEqual(acks(large.world), [65536, 131072]);
  const small = watched({ window: 400 });
  small.world.last.accept();
  for (const offset of [99, 100, 150, 200]) small.stream.ack(offset);
  assert.deepEqual(acks(small.world), [100, 200]);
});

test('a token that ended is asked for, and the stream goes on at its place with the new one', () => {
  const { world, seen, stream } = watched();
  world.last.accept();
  world.last.say(out(0, 'ab'));
  world.last.say({ type: 'error', code: 'unauthenticated', message: 'the token has expired' });
  world.last.break(4401);
  world.pass(60_000);
  assert.equal(world.sockets.length, 1);
  assert.deepEqual(seen.states.at(-1), 'token');
  stream.renew('new');
  assert.deepEqual([world.sockets.length, world.last.accept()],
    [2, { type: 'hello', token: 'new', from: 2, window: 524288, seq: 0 }]);
});

test('a token is renewed while the stream goes on', () => {
  const { world, stream } = watched();
  world.last.accept();
  stream.renew('new');
  assert.deepEqual(world.last.sent.at(-1), { type: 'auth', token: 'new' });
  assert.equal(world.sockets.length, 1);
});

test('what cannot get better is not tried again', () => {
  for (const [code, name] of [[4404, 'missing'], [4400, 'failed'], [4409, 'failed'], [1009, 'failed'], [4403, 'token']]) {
    const { world, seen } = watched();
    world.last.accept();
    world.last.break(Number(code), 'why');
    world.pass(600_000);
    assert.deepEqual([seen.states.at(-1), world.sockets.length], [name, 1], String(code));
  }
});

test('it waits longer each time, up to 15 seconds, and starts over after a success', () => {
  const { world, stream } = watched();
  const waits = [];
  for (let i = 0; i < 9; i++) {
    world.last.break(1006);
    const before = world.now;
    const sockets = world.sockets.length;
    while (world.sockets.length === sockets) world.pass(10);
    waits.push(world.now - before);
  }
  assert.deepEqual(waits, [250, 500, 1000, 2000, 4000, 8000, 15000, 15000, 15000]);
  world.last.accept();
  world.last.say({ type: 'ping' });
  world.last.break(1006);
  world.pass(250);
  assert.equal(world.sockets.length, 11);
  world.last.break(1006);
  stream.hurry();
  assert.equal(world.sockets.length, 12);
});

test('over a connection that breaks before anything came it asks for less at once', () => {
  const { world } = watched();
  const windows = [];
  for (let i = 0; i < 6; i++) {
    windows.push(world.last.accept().window / 1024);
    world.last.break(1006);
    world.pass(15_000);
  }
  assert.deepEqual(windows, [512, 256, 128, 64, 64, 64]);
  assert.equal(world.last.accept().window, 65536);
  world.last.say(out(0, 'ab'));
  world.last.break(1006);
  world.pass(15_000);
  assert.equal(world.last.accept().window, 131072);
  const small = watched({ window: 4096 });
  assert.equal(small.world.last.accept().window, 4096);
  small.world.last.break(1006);
  small.world.pass(15_000);
  assert.equal(small.world.last.accept().window, 4096);
});

test('a server that restarts is asked soon and often', () => {
  const { world } = watched();
  world.last.accept();
  world.last.break(1012);
  world.pass(300);
  world.last.break(1012);
  world.pass(300);
  assert.equal(world.sockets.length, 3);
});

test('45 seconds of silence are a broken connection; pings are not', () => {
  const { world, seen } = watched();
  world.last.accept();
  world.pass(44_000);
  world.last.say({ type: 'ping' });
  world.pass(44_000);
  assert.equal(seen.states.at(-1), 'live');
  world.pass(1000);
  assert.deepEqual([seen.states.at(-1), world.last.closedWith], ['waiting', 4000]);
});

test('a closed stream tells nothing more, and goes on when started again', () => {
  const { world, seen, stream } = watched();
  world.last.accept();
  world.last.say(out(0, 'ab'));
  stream.close();
  const old = world.last;
  old.say(out(2, 'cd'));
  old.break(1000);
  world.pass(600_000);
  assert.deepEqual([seen.text, seen.states.at(-1), world.sockets.length], ['ab', 'closed', 1]);
  stream.start();
  assert.equal(world.last.accept().from, 2);
});

test('a stream closed before its connection was open is closed then', () => {
  const { world, seen, stream } = watched();
  stream.close();
  assert.equal(world.last.closedWith, undefined);
  world.last.accept();
  assert.deepEqual([world.last.closedWith, world.last.sent, seen.states], [1000, [], ['connecting', 'closed']]);
});

test('the feed of all runs goes on after the last event it saw', () => {
  const world = new FakeWorld();
  /** @type {number[]} */
  const seen = [];
  const feed = new RunFeed({ url: 'ws://host/events', token: null, world }, { event: ({ seq }) => seen.push(seq) });
  feed.start();
  assert.deepEqual(world.last.accept(), { type: 'hello' });
  world.last.say({ type: 'hello', seq: 7 });
  world.last.break(1006);
  world.pass(250);
  assert.equal(world.last.accept().since, 7);
  for (const seq of [8, 8, 9]) world.last.say({ type: 'event', seq, run: {}, event: 'started', time: '' });
  world.last.break(1006);
  world.pass(250);
  assert.deepEqual([world.last.accept().since, seen], [9, [8, 9]]);
});
