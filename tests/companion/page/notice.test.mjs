// What is said about the line stands for as long as it is so, and where it ends there is a way back.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { place } from './document.mjs';
import { notice } from '../../../static/app/notice.js';

const words = { back: '连上了', offline: '网络断了', elsewhere: '在另一个窗口', expired: '登录已过期', sign_in_again: '重新进入' };

function told() {
  const where = Object.assign(place(), { hidden: true });
  const timers = [];
  let entered = 0;
  const tell = notice({ place: where, words, again: () => { entered += 1; }, later: (work) => timers.push(work) });
  return { where, timers, tell, entered: () => entered };
}

test('a line that stands from the beginning is not spoken of', () => {
  const { where, timers, tell } = told();
  tell('online');
  assert.ok(where.hidden);
  assert.equal(timers.length, 0);
});

test('that it is back is said for a moment', () => {
  const { where, timers, tell } = told();
  tell('offline');
  assert.equal(where.textContent, '网络断了');
  tell('online');
  assert.deepEqual([where.hidden, where.textContent], [false, '连上了']);
  timers.pop()();
  assert.ok(where.hidden);
});

for (const state of ['offline', 'expired', 'elsewhere']) {
  test(`${state} within that moment stays to be read`, () => {
    const { where, timers, tell } = told();
    tell('offline');
    tell('online');
    tell(state);
    timers.pop()();
    assert.ok(!where.hidden);
    assert.ok(where.textContent.startsWith(words[state]));
  });
}

for (const state of ['expired', 'elsewhere']) {
  test(`where it is ${state} a button enters anew`, () => {
    const { where, tell, entered } = told();
    tell(state);
    const [again] = where.named('button');
    assert.equal(again.textContent, '重新进入');
    again.listeners.click();
    assert.equal(entered(), 1);
  });
}
