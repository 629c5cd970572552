// A door's code in the address is said once and leaves no trace.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { doorSaid, scannedDoor } from '../../../static/app/door.js';

function page(search) {
  const kept = new Map();
  const shown = [];
  const storage = { getItem: (k) => kept.get(k) ?? null, setItem: (k, v) => kept.set(k, v), removeItem: (k) => kept.delete(k) };
  const location = { pathname: '/', search };
  const history = {
    replaceState(_state, _title, address) {
      shown.push(address);
      location.search = address.slice(1);
    },
  };
  return { location, history, storage, shown };
}

test('it is where she stands, and is taken out of the address', () => {
  const here = page('?door=first-hospital.E7-S');
  assert.deepEqual(scannedDoor(here), { kind: 'scan', code: 'first-hospital.E7-S' });
  assert.deepEqual(here.shown, ['/']);
});

test('what else the address says stays: signing in needs it', () => {
  const here = page('?auth_code=abc&door=first-hospital.E7-S&as=chen');
  scannedDoor(here);
  assert.deepEqual(here.shown, ['/?auth_code=abc&as=chen']);
});

test('while nothing could be said it is kept, once it was said it is gone', () => {
  const here = page('?door=first-hospital.D-1:2.b_3');
  scannedDoor(here);
  assert.deepEqual(scannedDoor(here), { kind: 'scan', code: 'first-hospital.D-1:2.b_3' });
  doorSaid(here.storage);
  assert.equal(scannedDoor(here), null);
  assert.equal(here.shown.length, 1);
});

test('what is no code is dropped', () => {
  for (const given of ['', 'nodot', 'a.b c', 'a.<script>', `a.${'x'.repeat(65)}`, '.b', '一院.门']) {
    const here = page(`?door=${encodeURIComponent(given)}`);
    assert.equal(scannedDoor(here), null, given);
    assert.deepEqual(here.shown, ['/']);
  }
});

test('an address without one is left alone', () => {
  const here = page('?as=chen');
  assert.equal(scannedDoor(here), null);
  assert.deepEqual(here.shown, []);
});
