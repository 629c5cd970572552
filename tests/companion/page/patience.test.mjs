// What the page needs to begin is asked for again, later and later, and she is told meanwhile.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { untilHad } from '../../../static/app/patience.js';

test('it is asked for until it comes', async () => {
  const waits = [];
  let told = 0;
  let tries = 0;
  const work = async () => {
    tries += 1;
    if (tries < 7) throw new TypeError('Failed to fetch');
    return 'the face';
  };
  const had = await untilHad(work, { failed: () => { told += 1; }, later: (next, ms) => { waits.push(ms); next(); } });
  assert.equal(had, 'the face');
  assert.equal(told, 6);
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 15000, 15000]);
});

test('what comes at once waits for nothing', async () => {
  assert.equal(await untilHad(async () => 1, { failed: assert.fail, later: assert.fail }), 1);
});
