// Cards drawn from what the socket brings: what she needs stands where she sees it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { place } from './document.mjs';
import { renderCard } from '../../../static/app/cards.js';

const words = { call: '拨打', cancel: '取消预约', cancel_sure: '真的要取消吗?' };

function card(kind, data, context = {}) {
  const where = place();
  where.append(...renderCard(kind, data, { words, ...context }));
  return where;
}

test('in an emergency the call stands first, and each nearest hospital can be called', () => {
  const drawn = card('emergency', {
    title: '可能是急性心脏病发作', call: '120', do: ['坐着或半躺'],
    nearest: [{ hospital: '市一医院', distance_text: '岚州市', phone: '0990-1000001' }, { hospital: '省医院' }],
  });
  assert.equal(drawn.children[0].attributes.href, 'tel:120');
  assert.deepEqual(drawn.named('a').map((link) => link.attributes.href), ['tel:120', 'tel:0990-1000001']);
  assert.ok(drawn.textContent.includes('岚州市 0990-1000001'));
});

for (const [position, told] of [[1, '下一位就是您'], [4, '前面还有3位']]) {
  test(`at place ${position} of the line for a human she reads ${told}`, () => {
    assert.ok(card('human', { phone: '12320', hours: '8:00', queue_position: position }).textContent.includes(told));
  });
}

test('who cancels is asked about the very appointment', () => {
  const asked = [];
  const drawn = card(
    'appointment',
    { visit_id: 'v1', status: 'booked', department: '眼科', start: '2026-12-01T08:00:00+08:00', can_cancel: true },
    { confirm: (question) => asked.push(question), act: assert.fail },
  );
  drawn.named('button').find((button) => button.textContent === '取消预约').listeners.click();
  assert.deepEqual(asked, ['12月1日 周二 08:00 眼科。真的要取消吗?']);
});

test('a number is offered once the hospital has agreed to the booking', () => {
  const offered = (awaits) =>
    card('appointment', { status: 'booked', start: '2026-12-01T08:00:00+08:00', can_cancel: true, awaits }).named('button').map((button) => button.textContent);
  assert.deepEqual(offered('book'), ['取消预约']);
  assert.deepEqual(offered(null), ['取号', '取消预约']);
});

const ROOMS = [
  { code: 'here', name: '眼科诊室', polygon: [[40, 0], [60, 0], [60, 10], [40, 10]] },
  { code: 'cut', name: '3号楼', polygon: [[-60, 0], [30, 0], [30, 10], [-60, 10]] },
];

test('the name of a building that is only partly on the plan stands in the part that is', () => {
  const floor = { building: '院区', floor: '室外', geometry: { outline: [[-60, -40], [120, -40], [120, 60], [-60, 60]], rooms: ROOMS }, path: [[50, 12], [35, 12]] };
  const drawn = card('route', { floors: [floor], goal: 'here', steps: [], minutes: 1, total_m: 15, lift_only: true, covered: true, uncovered_m: 0 });
  const [left] = drawn.named('svg')[0].attributes.viewBox.split(' ').map(Number);
  const name = drawn.named('text').find((text) => text.textContent === '3号楼');
  assert.ok(left > -60, 'the plan shows the near part only');
  const half = (Number(name.attributes['font-size']) * 3) / 2;
  assert.ok(Number(name.attributes.x) - half >= left, 'the whole name is on the plan');
});
