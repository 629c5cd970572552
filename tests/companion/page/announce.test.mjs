// Who has the screen read out hears a card's headings when it comes, then what changed in it, and nothing twice.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { place } from './document.mjs';
import { announcer } from '../../../static/app/announce.js';
import { renderCard } from '../../../static/app/cards.js';

const words = { call: '拨打', stale: '这个数字是一分钟以前的' };
const QUEUE = { ticket: '71', ahead: 4, now_serving: '66', status: 'waiting', place: '7号楼1楼', room: '眼科', wait_low_min: 20, wait_high_min: 30 };

function page() {
  const news = place();
  const alarm = place();
  const announce = announcer({ news, alarm });
  const show = (kind, data) => {
    news.textContent = '';
    const card = place();
    card.append(...renderCard(kind, data, { words }));
    announce(kind, card);
    return news.textContent;
  };
  return { show, alarm };
}

test('a card that comes is told by its heading', () => {
  assert.equal(page().show('queue', QUEUE), '候诊 候诊中');
});

test('afterwards only what changed is told', () => {
  const { show } = page();
  show('queue', QUEUE);
  assert.equal(show('queue', { ...QUEUE, ahead: 3, now_serving: '67', as_of: 'later' }), '正在叫67号。前面还有3位');
  assert.equal(show('queue', { ...QUEUE, ahead: 3, now_serving: '67', wait_low_min: 15 }), '', 'nothing that she would act on');
  assert.equal(show('queue', { ...QUEUE, ahead: 3, now_serving: '67', stale: true }), words.stale);
  assert.equal(show('queue', { ...QUEUE, ahead: 0, now_serving: '71', status: 'called' }), '轮到您了,请进诊室 请就诊。正在叫71号。前面还有0位');
});

test('a bill that is paid and a step that is done are told', () => {
  const { show } = page();
  const bill = { id: 'i1', title: '检查费', lines: [], total_fen: 5000, insurance_fen: 3000, self_pay_fen: 2000 };
  show('invoice', { invoices: [{ ...bill, status: 'sent' }] });
  assert.equal(show('invoice', { invoices: [{ ...bill, status: 'paid' }] }), '检查费 已缴费');
  const steps = (text) => ({ steps: [{ name: '预约', state: 'done' }, { name: '检查费', text, state: 'now' }] });
  show('journey', steps('检查费:待缴费'));
  assert.equal(show('journey', steps('检查费:已缴费')), '检查费:已缴费');
});

test('an emergency is told at once, whole, and is over with the next card', () => {
  const { show, alarm } = page();
  const emergency = { title: '可能是急性心脏病发作', call: '120', do: ['坐着'] };
  assert.equal(show('emergency', emergency), '', 'and not a second time where she is silent');
  assert.equal(alarm.textContent, '请马上拨打 120。可能是急性心脏病发作');
  show('emergency', emergency);
  assert.equal(alarm.textContent, '请马上拨打 120。可能是急性心脏病发作');
  show('queue', QUEUE);
  assert.equal(alarm.textContent, '');
});
