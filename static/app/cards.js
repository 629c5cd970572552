// One function a card: data from the socket in, an element out. `act` sends an action, `ask` says words for her.

import { el, when, yuan } from './dom.js';
import { drawFloor } from './floorplan.js';
import { actions, button, list, note, row } from './parts.js';
import { PEOPLE_CARDS } from './people.js';

const STATUS = {
  booked: '已预约', reminded: '已预约', arrived: '已到院', cancelling: '等医院确认取消', checked_in: '已取号', waiting: '候诊中', called: '请就诊',
  missed: '已过号', in_consultation: '就诊中', consulted: '看诊结束', closed: '已完成', follow_up: '待复诊',
  refused: '未约成', stopped: '已停诊', cancelled: '已取消', no_show: '未到',
};
const URGENCY = {
  ambulance: ['马上打120', 'danger'], emergency: ['马上去急诊', 'danger'], within_24h: ['24小时内就诊', 'warn'],
  outpatient: ['这几天看门诊', ''], self_care: ['先在家观察', ''],
};
const MARKS = { high: '↑ 偏高', low: '↓ 偏低', normal: '正常', abnormal: '异常', critical: '请找医生' };

const RENDER = {
  departments({ departments, urgency, deadline, action, watch = [], not_asked: notAsked = [] }, { ask }) {
    const [label, kind] = URGENCY[urgency] ?? ['', ''];
    return [
      el('h2', {}, '建议科室 ', label ? el('span', { class: `badge ${kind}` }, label) : ''),
      departments.map((d) => el('div', { class: 'row' }, el('strong', {}, d.name), el('span', { class: 'note' }, d.reason))),
      note([deadline, action].filter(Boolean).join(' ')),
      watch.length ? el('p', { class: 'note' }, `出现这些情况要马上就医:${watch.join('、')}`) : null,
      notAsked.length ? note(`还没有问到:${notAsked.join('、')}`) : null,
      actions(button(`挂${departments[0]?.name ?? ''}的号`, () => ask(`挂${departments[0]?.name ?? ''}`))),
    ];
  },

  slots({ offers, department, day }, { act, words }) {
    return [
      el('h2', {}, `${department} 可以约的号`, day ? el('span', { class: 'badge' }, day) : ''),
      offers.length ? null : note('暂时没有合适的号,可以换个时间或医院。'),
      offers.map((o) =>
        el(
          'button',
          { type: 'button', class: 'offer', 'data-slot': o.slot_id, onclick: () => act({ kind: 'book', slot_id: o.slot_id }) },
          el('strong', {}, o.hospital, ' ', el('span', { class: 'badge' }, o.hospital_level)),
          el('span', { class: 'when' }, when(o.start)),
          el('div', {}, [o.practitioner, o.title].filter(Boolean).join(' ')),
          el('div', { class: 'note' }, [yuan(o.fee_fen), `${words.free} ${o.free}`, o.distance_text].filter(Boolean).join(' · ')),
        ),
      ),
    ];
  },

  appointment(a, { act, words, confirm }) {
    return [
      el('h2', {}, '预约单 ', el('span', { class: 'badge' }, a.awaits === 'book' ? '等医院确认' : STATUS[a.status] ?? a.status)),
      a.awaits === 'book' ? note('已提交给医院,号给您留着。医院确认了会马上告诉您。') : null,
      a.awaits === 'cancel' ? note('已提交取消,医院确认后号源退回。') : null,
      row('就诊人', a.patient),
      row('医院', a.hospital),
      row('科室', a.department),
      row('医生', a.practitioner),
      row('时间', when(a.start)),
      row('地点', a.place),
      a.can_cancel
        ? actions(
            a.awaits ? null : button('取号', () => act({ kind: 'check_in', visit_id: a.visit_id })),
            button(words.cancel, () => confirm(`${when(a.start)} ${a.department}。${words.cancel_sure}`, words.cancel, () => act({ kind: 'cancel', visit_id: a.visit_id })), 'quiet'),
          )
        : null,
    ];
  },

  queue(q, { ask, words }) {
    const called = q.status === 'called';
    const wait = q.wait_low_min === null || q.wait_low_min === undefined ? '' : `大约还要等 ${q.wait_low_min} 到 ${q.wait_high_min} 分钟`;
    return [
      el('h2', {}, called ? '轮到您了,请进诊室 ' : '候诊 ', el('span', { class: called ? 'badge warn' : 'badge' }, STATUS[q.status] ?? '')),
      el(
        'div',
        { class: 'big-number' },
        el('div', { class: called ? 'called' : '', 'data-told': `您是${q.ticket}号` }, el('strong', { id: 'queue-ticket' }, q.ticket), el('span', {}, '您的号')),
        el('div', { 'data-told': q.now_serving ? `正在叫${q.now_serving}号` : '还没有叫号' }, el('strong', { id: 'queue-now' }, q.now_serving || '—'), el('span', {}, '正在叫')),
        el('div', { 'data-told': `前面还有${q.ahead}位` }, el('strong', { id: 'queue-ahead' }, String(q.ahead)), el('span', {}, '前面还有')),
      ),
      row('地点', `${q.place}${q.room}`),
      note(called ? '' : wait),
      q.stale ? el('p', { class: 'badge warn', 'data-told': true }, words.stale) : null,
      actions(button('怎么走', () => ask('怎么走'), 'quiet')),
    ];
  },

  route(r, { act, words }) {
    const last = r.floors.length - 1;
    const again = (how) => act({ kind: 'route', start: r.start, goal: r.goal, lift_only: r.lift_only, covered: r.covered, ...how });
    const manner = [r.lift_only ? words.lift_only : '', r.covered ? (r.uncovered_m < 1 ? '全程不淋雨' : `露天${Math.round(r.uncovered_m)}米`) : ''];
    return [
      el('h2', {}, `去${r.goal_name || '目的地'} `, el('span', { class: 'badge' }, `约${r.minutes}分钟 ${Math.round(r.total_m)}米`)),
      note(manner.filter(Boolean).join(' · ')),
      r.floors.map((floor, i) => drawFloor(floor, { goal: r.goal, first: i === 0, last: i === last })),
      note(r.notice),
      el('ol', { class: 'steps' }, r.steps.map((step) => el('li', {}, step.text ?? step))),
      actions(
        r.lift_only ? null : button(words.lift_only, () => again({ lift_only: true }), 'quiet'),
        r.covered || !r.uncovered_m ? null : button(words.covered, () => again({ covered: true }), 'quiet'),
        r.lift_only || r.covered ? button(words.all_ways, () => again({ lift_only: false, covered: false }), 'quiet') : null,
      ),
    ];
  },

  invoice({ invoices }, { act, words }) {
    return invoices.map((bill) => [
      el('h2', {}, bill.title, ' ', el('span', { class: 'badge' }, { issued: '待缴费', sent: '确认中', paid: '已缴费', cancelled: '已撤销' }[bill.status] ?? '')),
      bill.lines.map((line) => row(line.name, yuan(line.amount_fen))),
      row('合计', yuan(bill.total_fen)),
      row('医保支付', yuan(bill.insurance_fen)),
      el('div', { class: 'row money' }, el('span', {}, '您自付'), el('strong', {}, yuan(bill.self_pay_fen))),
      bill.status === 'issued' && bill.refused ? note(`上次没有缴成:${bill.refused}`) : null,
      bill.status === 'issued' && /^https:\/\//.test(bill.pay_at ?? '')
        ? actions(el('a', { class: 'action', href: bill.pay_at, rel: 'noopener noreferrer' }, '去付款 ', yuan(bill.self_pay_fen)))
        : bill.status === 'issued' && /^data:image\/svg\+xml;base64,/.test(bill.pay_code ?? '')
        ? el('img', { class: 'scan', src: bill.pay_code, alt: `微信扫码付款 ${yuan(bill.self_pay_fen)}` })
        : bill.status === 'issued'
        ? actions(button(`${words.pay} ${yuan(bill.self_pay_fen)}`, () => act({ kind: 'pay', invoice_id: bill.id })))
        : null,
    ]);
  },

  examination({ examinations }, { act }) {
    return examinations.map((e) => [
      el('h2', {}, e.name, ' ', el('span', { class: 'badge' }, { ordered: '待检查', completed: '已做完', reported: '报告已出', cancelled: '已取消' }[e.status] ?? '')),
      row('地点', `${e.place}${e.room}`),
      note(e.preparation),
      e.fasting ? el('p', { class: 'badge warn' }, '检查前要空腹') : null,
      e.status === 'ordered' ? actions(button('怎么走', () => act({ kind: 'route', goal: e.room_code }), 'quiet')) : null,
    ]);
  },

  report({ reports }) {
    return reports.map((r) => [
      el('h2', {}, r.name),
      note(r.issued_at ? when(r.issued_at) : ''),
      r.lines.map((line) =>
        el(
          'div',
          { class: `report-line ${line.mark}` },
          el('div', { class: 'row' }, el('strong', {}, line.name), el('span', { class: 'value' }, `${line.value} ${line.unit ?? ''} `, el('span', { class: 'mark' }, MARKS[line.mark] ?? line.mark ?? ''))),
          note([line.range ? `参考 ${line.range}` : '', line.explanation].filter(Boolean).join('。')),
          line.source ? note(`依据:${line.source}`) : null,
        ),
      ),
      r.conclusion ? el('p', {}, el('strong', {}, '医院结论:'), r.conclusion) : null,
      note('讲解只帮您看懂,诊断以医生为准。'),
    ]);
  },

  medicine({ medicines, pickup_place: pickup }, { ask }) {
    return [
      el('h2', {}, '药怎么用'),
      pickup ? row('取药', pickup) : null,
      medicines.map((m) => [
        el('h3', {}, m.name),
        el('p', {}, el('strong', {}, '医生写的用法:'), [m.dosage, m.days ? `用${m.days}天` : ''].filter(Boolean).join(',')),
        list(m.cautions),
        m.source ? note(`依据:${m.source}`) : null,
      ]),
      pickup ? actions(button('药房怎么走', () => ask('药房怎么走'), 'quiet')) : null,
    ];
  },

  follow_up({ due_on: due, department, instruction }) {
    return [el('h2', {}, '复诊提醒'), row('日期', due), row('科室', department), note(instruction), note('到时候我会提醒您。')];
  },

  emergency({ title, call, do: what = [], do_not: avoid = [], nearest = [] }, { words }) {
    return [
      // the call stands first: on a small screen with large letters nothing may push it out of sight
      el('a', { class: 'action danger', href: `tel:${call}`, role: 'button', 'data-told': `请马上${words.call} ${call}` }, `${words.call} ${call}`),
      el('h2', {}, title),
      what.length ? [el('h3', {}, '现在这样做'), list(what)] : null,
      avoid.length ? [el('h3', {}, '不要这样做'), list(avoid)] : null,
      nearest.length ? [el('h3', {}, '最近的急诊'), nearest.map((n) => row(n.hospital, n.distance_text ? `${n.distance_text} ` : '', n.phone ? el('a', { class: 'phone', href: `tel:${n.phone}` }, n.phone) : ''))] : null,
    ];
  },

  answer({ title, passages }, { words }) {
    return [
      el('h2', {}, title),
      passages.map((p) => [p.title ? el('h3', {}, p.title) : null, el('p', {}, p.text), note(`${words.source}:${p.source}`)]),
    ];
  },

  ...PEOPLE_CARDS,

  looks({ looks, more }) {
    return [
      el('h2', {}, '谁看过我的信息'),
      looks.map((l) => el('div', { class: l.by === 'resident' ? 'row' : 'row other' },
        el('span', {}, when(l.at)), el('span', { class: 'value' }, `${l.who} ${l.what}`, l.why ? note(l.why) : null))),
      more ? note('只列出最近的记录。') : null,
    ];
  },

  human({ phone, hours, queue_position: position }, { words }) {
    return [
      el('h2', {}, '人工服务'),
      position ? note(position > 1 ? `已为您排队,前面还有${position - 1}位。` : '已为您排队,下一位就是您。') : null,
      row('服务时间', hours),
      phone ? el('a', { class: 'action', href: `tel:${phone}`, role: 'button' }, `${words.call} ${phone}`) : null,
    ];
  },

  journey({ steps }) {
    return [el('h2', {}, '就诊进度'), el('ul', { class: 'journey' }, steps.map((s) => el('li', { class: s.state, 'data-told': Boolean(s.text) || s.state === 'now' }, s.text || s.name)))];
  },
};

export function renderCard(kind, data, context) {
  const render = RENDER[kind];
  return render ? [render(data, context)].flat(Infinity).filter(Boolean) : [];
}
