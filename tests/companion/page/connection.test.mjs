// The page's one socket: it comes back by itself, says what waited, and replaces a line that answers nothing.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Connection } from '../../../static/app/connection.js';

function line({ token = async () => 'a token', ticket } = {}) {
  const sockets = [];
  const timers = [];
  const openings = []; // timers of lines that nobody has answered yet
  const states = [];
  const frames = [];
  const connection = new Connection({
    url: 'wss://example/',
    makeSocket() {
      const socket = { sent: [], send: (text) => socket.sent.push(JSON.parse(text)), close() { socket.closed = true; } };
      sockets.push(socket);
      return socket;
    },
    token,
    ticket,
    random: () => 0.5,
    later: (work, ms) => (ms === 20000 ? openings : timers).push({ work, ms }),
    hello: () => ({ quietly: true }),
    on: { frame: (f) => frames.push(f.type), media() {}, state: (s) => states.push(s) },
  });
  const open = async () => {
    await connection.open();
    sockets.at(-1).onopen();
    sockets.at(-1).onmessage({ data: JSON.stringify({ type: 'ready', reconnect_within_ms: 6000 }) });
  };
  return { connection, sockets, timers, openings, states, frames, open };
}

test('it says hello, and is online once that is answered', async () => {
  const { sockets, states, frames, open } = line();
  await open();
  assert.deepEqual(sockets[0].sent, [{ type: 'hello', token: 'a token', quietly: true }]);
  assert.deepEqual(states, ['online']);
  assert.deepEqual(frames, ['ready']);
});

test('where it sends no Origin it shows a fresh ticket each time', async () => {
  let issued = 0;
  const { sockets, timers, open } = line({ ticket: async () => `ticket ${(issued += 1)}` });
  await open();
  sockets[0].onclose({ code: 1006 });
  await timers.pop().work();
  sockets[1].onopen();
  assert.deepEqual(sockets.map(({ sent }) => sent[0].ticket), ['ticket 1', 'ticket 2']);
});

test('what she did while the line was down is sent when it stands; playheads are not', async () => {
  const { connection, sockets, open } = line();
  connection.send({ type: 'text', id: '1', text: '头痛' });
  connection.send({ type: 'playhead' }, { keep: false });
  await open();
  assert.deepEqual(sockets[0].sent.slice(1), [{ type: 'text', id: '1', text: '头痛' }]);
});

test('after a restart it comes back within the time the server named, otherwise sooner and sooner later', async () => {
  const { sockets, timers, open } = line();
  await open();
  sockets[0].onclose({ code: 1012 });
  assert.equal(timers.pop().ms, 3000);
  await open();
  const waits = [];
  for (let n = 0; n < 6; n += 1) {
    sockets.at(-1).onclose({ code: 1006 });
    const { work, ms } = timers.pop();
    waits.push(ms);
    await work();
  }
  assert.deepEqual(waits, [400, 800, 1600, 3200, 6400, 8000]);
});

for (const [code, state] of [[4401, 'expired'], [4410, 'elsewhere'], [4411, 'elsewhere']]) {
  test(`after ${code} it does not come back by itself`, async () => {
    const { sockets, timers, states, open } = line();
    await open();
    sockets[0].onclose({ code });
    assert.equal(states.at(-1), state);
    assert.equal(timers.length, 0);
  });
}

test('a line that answers nothing is replaced', async () => {
  const { connection, sockets, timers, states, open } = line();
  await open();
  connection.check();
  assert.deepEqual(sockets[0].sent.at(-1), { type: 'ping' });
  timers.pop().work();
  assert.ok(sockets[0].closed);
  assert.equal(states.at(-1), 'offline');
  await timers.pop().work();
  assert.equal(sockets.length, 2);
  sockets[0].onclose({ code: 1006 }); // the old one ends at last: nothing more happens
  assert.equal(timers.length, 0);
});

test('a line that answers anything stays', async () => {
  const { connection, sockets, timers, states, open } = line();
  await open();
  connection.check();
  sockets[0].onmessage({ data: '{"type":"pong"}' });
  timers.pop().work();
  assert.ok(!sockets[0].closed);
  assert.deepEqual(states, ['online']);
});

test('while there is no line there is nothing to check', () => {
  const { connection, timers } = line();
  connection.check();
  assert.equal(timers.length, 0);
});

test('who is not signed in is told so; any other failure is tried again', async () => {
  for (const [code, state, tries] of [['not_signed_in', 'expired', 0], ['unavailable', 'offline', 1]]) {
    const { connection, timers, states } = line({ token: async () => { throw Object.assign(new Error(), { code }); } });
    await connection.open();
    assert.deepEqual([states, timers.length], [[state], tries]);
  }
});

test('a line that opens and never answers is replaced', async () => {
  const { connection, sockets, timers, openings, states } = line();
  await connection.open();
  openings.pop().work();
  assert.ok(sockets[0].closed);
  assert.deepEqual(states, ['offline']);
  await timers.pop().work();
  assert.equal(sockets.length, 2);
});

test('two checks close together do not take a line for dead that has answered the first', async () => {
  const { connection, sockets, timers, open } = line();
  await open();
  connection.check();
  sockets[0].onmessage({ data: '{"type":"pong"}' });
  connection.check();
  timers.shift().work();
  assert.ok(!sockets[0].closed);
});

test('what a line still delivers that was given up changes nothing', async () => {
  const { connection, sockets, timers, states, frames, open } = line();
  await open();
  connection.check();
  timers.pop().work();
  sockets[0].onmessage({ data: JSON.stringify({ type: 'ready', reconnect_within_ms: 6000 }) });
  sockets[0].onmessage({ data: JSON.stringify({ type: 'card' }) });
  assert.deepEqual(states, ['online', 'offline']);
  assert.deepEqual(frames, ['ready']);
});

test('what she said into a line that was dead is said again on the next, by the same id', async () => {
  const { connection, sockets, timers, open } = line();
  await open();
  connection.send({ type: 'text', id: '1', text: '头痛' });
  timers.pop().work(); // nothing was answered
  await open();
  assert.deepEqual(sockets[1].sent.slice(1), [{ type: 'text', id: '1', text: '头痛' }]);
});

for (const [what, then] of [
  ['the server has begun on', ({ sockets }) => sockets[0].onmessage({ data: '{"type":"turn.started","id":"1"}' })],
  ['she has stopped', ({ connection }) => connection.send({ type: 'interrupt' }, { keep: false })],
]) {
  test(`what ${what} is not said again`, async () => {
    const page = line();
    await page.open();
    page.connection.send({ type: 'action', id: '1', action: {} });
    then(page);
    page.sockets[0].onclose({ code: 1006 });
    await page.open();
    assert.equal(page.sockets[1].sent.length, 1);
  });
}
