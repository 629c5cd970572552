// Wires the page: one connection, one player, one caption, one card. All state that matters lives on the server.

import { Connection } from './connection.js';
import { announcer } from './announce.js';
import { Captions } from './captions.js';
import { renderCard } from './cards.js';
import { confirmation } from './confirm.js';
import { el } from './dom.js';
import { doorSaid, scannedDoor } from './door.js';
import { notice } from './notice.js';
import { clearScreen } from './screen.js';
import { makePlayer } from './stage.js';
import { arrive, signIn } from './session.js';

const config = JSON.parse(document.getElementById('config').textContent);
const { words } = config;
const $ = (id) => document.getElementById(id);
const known = { conversation: localStorage.getItem('conversation') };
const captions = new Captions($('caption'), $('told'));
const announce = announcer({ news: $('news'), alarm: $('alarm') });
const tell = notice({ place: $('network'), words, again: () => location.reload() });
arrive();
const back = location.pathname + location.search + location.hash;
// A link from her family ends in #invite=…: a browser keeps that to itself, and it leaves the address at once.
const invited = /^#invite=([2-9A-Z-]{12,16})$/.exec(location.hash)?.[1];
if (invited) history.replaceState(null, '', location.pathname + location.search);
let player;
let shownCard = null; // {kind, data}: a visit's own changes refresh the card that is on the screen
let speechRate = 1;
let showing = null; // {patient, visit: {id, number}}: what a page that only lost its line says it shows
const unanswered = new Set(); // turns
let asked = null; // her last turn: where the service could not answer it, she need not say it again
let door = scannedDoor({ location, history, storage: sessionStorage });

const socketUrl = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}${config.socketPath}`;
const connection = new Connection({
  url: socketUrl,
  makeSocket: (url) => new WebSocket(url),
  token: () => signIn(config, back),
  hello: () => ({ conversation: known.conversation, known_patches: player.known(), avatar: player.manifest.name, ...quietly() }),
  on: { frame, media: (data) => player.push(data), state: network },
});

const confirmed = confirmation({
  captions,
  noticed: () => !document.hidden || player.stats().sounding,
  send: (number) => connection.send({ type: 'heard', number }, { keep: false }),
});

// Nothing was asked or being said when the line went: what is on the screen stays, and nobody greets her again.
function quietly() {
  const mute = showing && !unanswered.size && document.body.dataset.avatar !== 'speaking';
  return mute ? { quietly: true, ...showing } : {};
}

// --- what she does ----------------------------------------------------------------------------------------
function ask(text) {
  const trimmed = text.trim();
  if (!trimmed) return;
  hush();
  $('asked').textContent = trimmed;
  $('asked').hidden = false;
  captions.show(words.thinking);
  options([]);
  turn({ type: 'text', text: trimmed });
}

function act(action) {
  hush();
  $('asked').hidden = true;
  turn({ type: 'action', action });
}

function turn(frame) {
  const id = [...crypto.getRandomValues(new Uint32Array(4))].join('-'); // older phones have no randomUUID
  asked = { ...frame, id };
  unanswered.add(id);
  connection.send(asked);
}

// Under the same id, so that what was done after all is not done twice.
function again() {
  hush();
  options([]);
  captions.show(words.thinking);
  unanswered.add(asked.id);
  connection.send(asked);
}

// The mouth stops in this very frame; the server is told afterwards.
function hush() {
  unanswered.clear();
  player?.resume();
  player?.interrupt();
  connection.send({ type: 'interrupt' }, { keep: false });
}

function confirm(question, yes, then, no = words.keep) {
  const dialog = $('people');
  const close = () => dialog.close();
  dialog.replaceChildren(
    el('p', { id: 'question' }, question),
    el('button', { type: 'button', class: 'action danger', onclick: () => { close(); then(); } }, yes),
    // where Enter would land: on what changes nothing
    el('button', { type: 'button', class: 'action quiet', autofocus: true, onclick: close }, no),
  );
  dialog.showModal();
}

// A real-name card is saved; null, or what is wrong with it. What waits for it (`then`) goes on.
async function save(form, given) {
  const kept = form.patient_id;
  const answer = await call(kept ? 'PATCH' : 'POST', kept ? `${kept}/` : '', kept ? { ...given, version: form.version } : given);
  if (answer.problem) return answer.problem;
  if (showing?.patient === answer.body.patient_id) $('person-name').textContent = answer.body.name;
  act(form.then ?? (kept ? { kind: 'card_saved' } : { kind: 'switch_patient', patient_id: answer.body.patient_id }));
  return null;
}

async function remove(patient) {
  const { problem } = await call('DELETE', `${patient}/`);
  if (problem) captions.show(problem.detail || words.not_saved);
  else act({ kind: 'switch_patient' });
}

async function call(method, path, body) {
  try {
    const answer = await fetch(config.peopleUrl + path, {
      method,
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${await signIn(config)}` },
      body: body && JSON.stringify(body),
    });
    if (answer.status === 401) network('expired');
    const said = answer.status === 204 ? null : await answer.json();
    return answer.ok ? { body: said } : { problem: said };
  } catch (error) {
    if (error.code === 'not_signed_in') network('expired');
    return { problem: {} };
  }
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    captions.show(words.copied);
  } catch {
    captions.show(words.not_copied);
  }
}

$('say').addEventListener('submit', (event) => {
  event.preventDefault();
  ask($('words').value);
  $('words').value = '';
});
$('stop').addEventListener('click', hush);
$('human').addEventListener('click', () => ask('转人工'));
$('repeat').addEventListener('click', () => ask('再说一遍'));
$('person').addEventListener('click', () => act({ kind: 'switch_patient' }));
$('slower').addEventListener('click', () => {
  speechRate = speechRate < 1 ? 1 : 0.8;
  $('slower').setAttribute('aria-pressed', String(speechRate < 1));
  connection.send({ type: 'setting', rate: speechRate });
});
$('unlock').addEventListener('click', () => player.resume());
// sound may begin where a mouse goes down or a finger comes up
for (const touch of ['pointerdown', 'pointerup']) document.addEventListener(touch, () => player?.resume());

// --- what comes -------------------------------------------------------------------------------------------
const ON = {
  ready(f) {
    if (f.as_before) return;
    unanswered.clear(); // a turn that was under way when the line went ends with it
    player.reset();
    player.change(f.avatar);
    known.conversation = f.conversation;
    localStorage.setItem('conversation', f.conversation);
    $('person-name').textContent = f.patient.name;
    speechRate = f.rate;
    $('slower').setAttribute('aria-pressed', String(speechRate < 1));
    const before = showing;
    showing = { patient: f.patient.id, visit: f.visit && { id: f.visit.visit, number: f.visit.number } };
    if (before && f.visit) ON.visit(f.visit);
    else if (f.resumed && f.visit?.card && !shownCard) card(f.visit.card.kind, f.visit.card.data);
    if (door) {
      act(door);
      door = doorSaid(sessionStorage);
    }
  },
  say(f) {
    captions.add(f);
    $('sources').textContent = f.sources.length ? `${words.source}:${f.sources.join('、')}` : '';
    $('sources').hidden = !f.sources.length;
  },
  told(f) { confirmed.told(f.number); },
  ask(f) { options(f.options); },
  card(f) {
    // what comes by itself does not take away a form she is filling in
    if (shownCard?.kind !== 'person_form' || unanswered.size) card(f.kind, f.data);
  },
  patient(f) {
    $('person-name').textContent = f.name;
    showing = { patient: f.patient_id, visit: null };
  },
  avatar(f) { player.change(f.avatar); },
  flush(f) { player.interrupt(f.generation); captions.drop(); },
  // the hospital moved on: numbers on the screen follow by themselves
  visit(f) {
    document.body.dataset.visitState = f.state;
    showing.visit = { id: f.visit, number: f.number };
    if (shownCard && f.card && shownCard.kind === f.card.kind) card(f.card.kind, f.card.data, { keepPlace: true });
    if (f.next) options(f.next);
  },
  adjust(f) {
    if (f.setting === 'rate') { speechRate = f.value; $('slower').setAttribute('aria-pressed', String(speechRate < 1)); }
    if (f.setting === 'volume') player.setVolume(f.value);
    if (f.setting === 'stop') player.interrupt();
  },
  error(f) {
    unanswered.clear();
    if (f.status === 401) network('expired');
    else captions.show(f.detail);
    if (f.retryable && f.turn && f.turn === asked?.id) options([{ label: words.again, again: true }]);
  },
  'turn.started'(f) { unanswered.add(f.id); },
  'turn.ended'(f) { unanswered.delete(f.id); },
};

function frame(f) {
  (ON[f.type] ?? (() => {}))(f);
}

function card(kind, data, { keepPlace = false } = {}) {
  const place = $('card');
  const touched = keepPlace ? controls(place).indexOf(document.activeElement) : -1;
  shownCard = { kind, data };
  place.className = `card ${kind}`;
  place.dataset.kind = kind;
  place.replaceChildren(...renderCard(kind, data, { act, ask, words, confirm, save, remove, copy }));
  place.hidden = !place.childNodes.length;
  announce(kind, place);
  controls(place)[touched]?.focus();
  const main = document.querySelector('main');
  main.classList.toggle('urgent', kind === 'emergency'); // however long what is said: the call stands above it
  document.querySelector('.stage').classList.toggle('small', !place.hidden);
  if (!keepPlace) main.scrollTo({ top: 0, behavior: 'smooth' });
  options([]);
}

const controls = (place) => [...place.querySelectorAll('button, a[href], input, select')];

function options(list) {
  $('options').replaceChildren(
    ...list.map((o) => el('button', { type: 'button', onclick: () => (o.again ? again() : o.action ? act(o.action) : ask(o.text || o.label)) }, o.label)),
  );
}

function network(state) {
  document.body.dataset.network = state;
  if (state === 'expired') {
    sessionStorage.removeItem('token');
    shownCard = showing = null;
    player?.interrupt();
    captions.show('');
    clearScreen($);
  }
  tell(state);
}

// --- start ------------------------------------------------------------------------------------------------
player = await makePlayer({
  canvas: $('avatar'),
  onCaption: (caption) => captions.hear(caption),
  onState(state) {
    $('stop').hidden = state !== 'speaking';
    document.body.dataset.avatar = state;
  },
  onWaiting: () => network('offline'),
  onLocked(locked) { $('unlock').hidden = !locked; },
  onPlayhead: (utterance, pts) => connection.send({ type: 'playhead', utterance, pts_ms: pts }, { keep: false }),
});
window.companion = { player, connection }; // looked at by the browser tests
connection.open();
if (invited) act({ kind: 'invitation', code: invited });
// A phone that slept or changed networks does not tell: the line is tried when she looks again, and each minute.
setInterval(() => connection.check(), 60000);
window.addEventListener('online', () => connection.check());
document.addEventListener('visibilitychange', () => {
  if (document.hidden) return;
  connection.check();
  confirmed.look();
});
if (config.demo) (await import('./demo.js')).start({ place: $('clock'), token: () => signIn(config) });
