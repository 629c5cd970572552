// The demo's hospital clock: what a real hospital does by itself, at a button's touch. Not served outside the demo.

import { el } from './dom.js';

const STEPS = [
  ['call_next', '叫下一个号'],
  ['call_mine', '叫到我'],
  ['start', '医生开始看诊'],
  ['finish', '看诊结束,开单'],
  ['complete_examination', '检查做完'],
  ['issue_report', '出报告'],
  ['dispense', '取好药'],
  ['close', '本次就诊结束'],
  ['miss', '过号'],
  ['stop_schedule', '医生停诊'],
];

export function start({ place, token }) {
  const say = el('p', { role: 'status' }, '');
  async function press(step) {
    const response = await fetch('/api/demo/advance/', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${await token()}` },
      body: JSON.stringify({ step }),
    });
    const body = await response.json();
    say.textContent = response.ok ? '好了' : body.detail;
  }
  place.hidden = false;
  place.append(
    el('strong', {}, '演示:医院的时钟'),
    el('p', {}, '报到后,号会自己往前走;也可以点这里。'),
    ...STEPS.map(([step, label]) => el('button', { type: 'button', 'data-step': step, onclick: () => press(step) }, label)),
    say,
  );
}
