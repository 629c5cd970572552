// Cards about people: whom she acts for and who acts for her, the real-name form, invitations, sign-ins, the waiting list.
// What is typed into the form goes to the server by one request and nowhere else: not into the talk, an address or storage.

import { actions, button, note, row } from './parts.js';
import { el, when } from './dom.js';

const DOCUMENTS = {
  id_card: '居民身份证', passport: '护照', hk_macau_taiwan_permit: '港澳台居民通行证或居住证', foreign_resident_permit: '外国人永久居留身份证',
};
const SEXES = { '': '不填', male: '男', female: '女' };
const MINORS = ['child', 'grandchild', 'other'];

const day = (iso) => `${iso.slice(0, 4)}年${when(iso).replace(/ .*/, '')}`;

// One line of the form: a label above a large field, what is wrong below it.
function field(name, label, control, hint = '') {
  control.id = `field-${name}`;
  control.name = name;
  control.setAttribute('aria-describedby', `wrong-${name}`);
  return el(
    'div',
    { class: 'field', 'data-field': name },
    el('label', { for: control.id }, label),
    control,
    hint ? note(hint) : null,
    el('p', { class: 'wrong', id: `wrong-${name}`, role: 'alert' }),
  );
}

const input = (props) => el('input', { type: 'text', autocomplete: 'off', autocorrect: 'off', spellcheck: 'false', ...props });
const choice = (options, chosen) =>
  el('select', { autocomplete: 'off' }, Object.entries(options).map(([value, label]) => el('option', { value, selected: value === chosen }, label)));

function personForm(card, { save, words }) {
  const minor = MINORS.includes(card.relation) && !card.patient_id;
  const named = card.complete ? card.name : '';
  const name = input({ maxlength: 50, placeholder: named });
  const kind = choice(DOCUMENTS, card.document);
  const number = input({ maxlength: 30, inputmode: 'numeric', placeholder: card.id_number, class: 'long-number' });
  const lastX = button('末位是X', () => { number.value += 'X'; number.focus(); }, 'quiet small');
  const born = input({ maxlength: 10, inputmode: 'numeric', placeholder: '19610115' });
  const sex = choice(SEXES, '');
  const phone = input({ maxlength: 20, inputmode: 'numeric', placeholder: card.phone });
  const guardian = el('input', { type: 'checkbox', id: 'field-guardian', name: 'guardian' });
  const others = el('div', {}, field('birth_date', '出生日期', born, '八位数字,例如 19610115'), field('sex', '性别', sex));
  const whole = el('p', { class: 'wrong', role: 'alert' });
  const send = el('button', { type: 'submit', class: 'action' }, words.save);

  const fit = () => {
    const idCard = kind.value === 'id_card';
    others.hidden = idCard;
    lastX.hidden = !idCard;
    number.setAttribute('inputmode', idCard ? 'numeric' : 'text');
  };
  kind.addEventListener('change', fit);
  fit();

  const form = el(
    'form',
    { class: 'person-form', novalidate: true, autocomplete: 'off' },
    el('h2', {}, minor ? '孩子的信息' : '实名信息'),
    card.held_until ? note(`号给您留到 ${when(card.held_until).split(' ').pop()},填好就接着约。`) : null,
    card.complete ? note('不用改的可以空着。') : note('请照证件填写。'),
    field('name', '姓名', name),
    field('document', '证件', kind),
    field('id_number', '证件号码', number),
    lastX,
    others,
    field('phone', minor ? '家长手机号' : '手机号', phone),
    minor
      ? el('div', { class: 'field', 'data-field': 'guardian' },
          el('label', { class: 'check', for: 'field-guardian' }, guardian, '我是孩子的父母或监护人'),
          el('p', { class: 'wrong', id: 'wrong-guardian', role: 'alert' }))
      : null,
    whole,
    actions(send),
  );

  const values = () => {
    const given = { document: kind.value };
    for (const [key, control] of [['name', name], ['id_number', number], ['phone', phone]]) if (control.value.trim()) given[key] = control.value;
    if (kind.value !== 'id_card') {
      const digits = born.value.replace(/\D/g, '');
      if (digits.length === 8) given.birth_date = `${digits.slice(0, 4)}-${digits.slice(4, 6)}-${digits.slice(6)}`;
      if (sex.value) given.sex = sex.value;
    }
    if (minor) Object.assign(given, { relation: card.relation, guardian: guardian.checked });
    return given;
  };
  const tell = (errors = [], detail = '') => {
    for (const place of form.querySelectorAll('.wrong')) place.textContent = '';
    for (const control of form.elements) control.removeAttribute('aria-invalid');
    for (const { pointer, detail: words_ } of errors) {
      const control = form.elements[pointer.slice(1)];
      if (!control) detail = detail || words_;
      else {
        control.setAttribute('aria-invalid', 'true');
        form.querySelector(`#wrong-${pointer.slice(1)}`).textContent = words_;
      }
    }
    whole.textContent = errors.length && !detail ? '' : detail;
    form.querySelector('[aria-invalid]')?.focus();
  };

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (send.disabled) return;
    send.disabled = true;
    send.textContent = words.saving;
    const problem = await save(card, values());
    send.disabled = false;
    send.textContent = words.save;
    if (problem) tell(problem.errors, problem.errors?.length ? '' : problem.detail || words.not_saved);
    else form.reset();
  });
  return form;
}

export const PEOPLE_CARDS = {
  people({ people, agents = [] }, { act, confirm, remove, words }) {
    const end = (one, question) => () => confirm(question, '结束', () => act({ kind: 'withdraw_consent', consent_id: one.consent_id, sure: true }), words.no_change);
    return [
      el('h2', {}, '为谁办理?'),
      people.map((p) => [
        button(`${p.name}(${p.relation})${p.current ? ' ✓' : ''}`, () => act({ kind: 'switch_patient', patient_id: p.patient_id }), p.current ? '' : 'quiet'),
        p.consent_id ? button(`不再替${p.name}办`, end(p, `以后您不再替${p.name}办了,对吗?`), 'quiet small') : null,
        p.mine && p.relation !== '本人' ? button(`移除${p.name}`, () => confirm(`真的要移除${p.name}吗?`, '移除', () => remove(p.patient_id), words.no_change), 'quiet small') : null,
      ]),
      actions(button('添加家人', () => act({ kind: 'add_person' })), button('我有邀请码', () => act({ kind: 'invitation' }), 'quiet')),
      agents.length ? el('h2', {}, '谁能替我办') : null,
      agents.map((a) => [
        row(`${a.name}(${a.relation})`, a.holds ? `到${day(a.until)}` : '已到期'),
        actions(
          button('撤回', end(a, `以后不让${a.name}替您办了,对吗?`), 'quiet small'),
          button('续一年', () => act({ kind: 'renew_consent', consent_id: a.consent_id }), 'quiet small'),
        ),
      ]),
      actions(
        button('我的实名信息', () => act({ kind: 'person_form', relation: 'self' }), 'quiet'),
        button('谁看过我的信息', () => act({ kind: 'who_looked' }), 'quiet'),
        button('我在哪些手机上登录了', () => act({ kind: 'sign_ins' }), 'quiet'),
      ),
    ];
  },

  person_form: personForm,

  invitation({ code, relation, expires_at: until }, { copy }) {
    const link = `${location.origin}${location.pathname}#invite=${code}`;
    return [
      el('h2', {}, `给${relation}的邀请`),
      el('p', { class: 'invite-code', 'aria-label': code.split('').join(' ') }, code),
      note(`${when(until)} 前有效,只能用一次。请只发给${relation}本人。`),
      actions(button('复制邀请链接', () => copy(link)), button('只复制邀请码', () => copy(code), 'quiet')),
      el('ol', {}, ['把链接或邀请码发给家人', '家人在自己的手机上打开健康伴行', '看清楚是谁、要办什么,点「同意」'].map((step) => el('li', {}, step))),
    ];
  },

  consent({ code, name, relation, consent_until: until }, { act }) {
    return [
      el('h2', {}, '要不要让家人替您办?'),
      row('谁请求', `${name}(您的${relation})`),
      row('办什么', '挂号、取号、缴费、看报告和用药'),
      row('多久', `到${day(until)},随时可以撤回`),
      note('不认识这个人,请点「不同意」。'),
      actions(button('同意', () => act({ kind: 'accept_invitation', code })), button('不同意', () => act({ kind: 'decline_invitation', code }), 'quiet')),
    ];
  },

  sign_ins({ sign_ins: all }, { act }) {
    return [
      el('h2', {}, '我在哪里登录了'),
      all.map((s) => [
        row(`${s.app}${s.current ? '(就是这里)' : ''}`, when(s.since)),
        s.current ? null : actions(button('退出这一处', () => act({ kind: 'end_sign_in', session: s.session }), 'quiet small')),
      ]),
      all.some((s) => !s.current) ? actions(button('别处全部退出', () => act({ kind: 'end_other_sign_ins' }))) : null,
    ];
  },

  waiting({ waiting }, { act }) {
    return [
      el('h2', {}, '候补'),
      waiting.length ? null : note('现在没有在候补。'),
      waiting.map((w) => [
        row('医院', w.hospital),
        row('科室', [w.department, w.practitioner].filter(Boolean).join(' ')),
        row('日期', w.first_day === w.last_day ? w.first_day : `${w.first_day} 到 ${w.last_day}`),
        row('排在', w.offered ? '有号了,正给您留着' : `第${w.place}位`),
        actions(button('不候补了', () => act({ kind: 'leave_line', entry_id: w.entry_id }), 'quiet small')),
      ]),
    ];
  },
};
