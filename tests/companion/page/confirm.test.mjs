// What was said unasked is confirmed when she could see or hear it, and not while the phone lies dark and mute.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { confirmation } from '../../../static/app/confirm.js';

function page({ noticed = true } = {}) {
  const sent = [];
  const waiting = [];
  const state = { noticed };
  const captions = { whenShown: (then) => waiting.push(then) };
  const confirmed = confirmation({ captions, noticed: () => state.noticed, send: (number) => sent.push(number) });
  return { confirmed, sent, state, show: () => waiting.splice(0).forEach((then) => then()) };
}

test('it is confirmed once it stands on the screen', () => {
  const { confirmed, sent, show } = page();
  confirmed.told(7);
  assert.deepEqual(sent, []);
  show();
  assert.deepEqual(sent, [7]);
  confirmed.look();
  assert.deepEqual(sent, [7], 'once');
});

test('what a dark and mute phone showed is confirmed when she looks', () => {
  const { confirmed, sent, state, show } = page({ noticed: false });
  confirmed.told(7);
  confirmed.told(8);
  show();
  assert.deepEqual(sent, []);
  state.noticed = true;
  confirmed.look();
  assert.deepEqual(sent, [7, 8]);
});
