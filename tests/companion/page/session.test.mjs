// Signing in: in a browser by the super-app's own page and back, in a mini-program with the code that it opens the page with.

import assert from 'node:assert/strict';
import { test } from 'node:test';

const CONFIG = { sessionUrl: '/s', beginUrl: '/b', demo: false, identities: ['wechat', 'alipay'] };
const AGENT = 'Mozilla/5.0 AlipayClient/10.8';
const TOKEN = { token: 't1', expires_at: '2999-01-01T00:00:00Z' };
let loads = 0;

// One load of the page: its module anew, on the tab's storage. `answers`: what each address says, or an error that fetch throws.
async function load(address, { kept = new Map(), answers = {}, agent = AGENT } = {}) {
  const url = new URL(address, 'https://health.example');
  const seen = { posts: [], left: null, kept };
  globalThis.location = { pathname: url.pathname, search: url.search, hash: url.hash, assign: (to) => { seen.left = to; } };
  globalThis.history = {
    replaceState(_s, _t, to) {
      const now = new URL(to, 'https://health.example');
      Object.assign(globalThis.location, { pathname: now.pathname, search: now.search, hash: now.hash });
    },
  };
  globalThis.sessionStorage = { getItem: (k) => kept.get(k) ?? null, setItem: (k, v) => kept.set(k, v), removeItem: (k) => kept.delete(k) };
  Object.defineProperty(globalThis, 'navigator', { value: { userAgent: agent }, configurable: true });
  globalThis.fetch = async (to, { body }) => {
    seen.posts.push([to, JSON.parse(body)]);
    const said = answers[to];
    if (said instanceof Error) throw said;
    return { ok: !said.status, json: async () => said };
  };
  loads += 1;
  const page = await import(`../../../static/app/session.js?${loads}`);
  page.arrive();
  return { ...seen, ...page, seen, here: () => location.pathname + location.search + location.hash };
}

const tick = () => new Promise((done) => { setTimeout(done, 5); });

test('in a browser she goes to the super-app and comes back to where she was', async () => {
  const out = await load('/?x=1#invite=ABCD', { answers: { '/b': { address: 'https://super.app/?state=s1', secret: 'mine' } } });
  out.signIn(CONFIG, '/?x=1#invite=ABCD');
  await tick();
  assert.deepEqual(out.seen.posts, [['/b', { provider: 'alipay' }]]);
  assert.equal(out.seen.left, 'https://super.app/?state=s1');
  assert.ok(!out.seen.left.includes('mine'));

  const back = await load('/?auth_code=c1&state=s1&app_id=7', { kept: out.kept, answers: { '/s': TOKEN } });
  assert.equal(back.here(), '/?x=1#invite=ABCD');
  assert.equal(await back.signIn(CONFIG), 't1');
  assert.deepEqual(back.seen.posts, [['/s', { provider: 'alipay', code: 'c1', state: 's1', secret: 'mine' }]]);
  assert.deepEqual([...back.kept.keys()], ['token']);
});

test('a link with a code and a state of somebody else brings no secret of hers', async () => {
  const page = await load('/?auth_code=his&state=his', { answers: { '/s': { status: 401 } } });
  await assert.rejects(page.signIn(CONFIG), { code: 'not_signed_in' });
  assert.deepEqual(page.seen.posts, [['/s', { provider: 'alipay', code: 'his' }]]);
  await assert.rejects(page.signIn(CONFIG), { code: 'not_signed_in' });
  assert.equal(page.seen.left, null);
});

test('a mini-program opens the page with its code, which leaves the address', async () => {
  const page = await load('/?code=w1', { answers: { '/s': TOKEN }, agent: 'miniProgram/wx1' });
  assert.equal(page.here(), '/');
  assert.equal(await page.signIn(CONFIG), 't1');
  assert.deepEqual(page.seen.posts, [['/s', { provider: 'wechat', code: 'w1' }]]);
});

test('a code that reached nobody is handed over again', async () => {
  const answers = { '/s': new TypeError('offline') };
  const page = await load('/?code=w1', { answers });
  await assert.rejects(page.signIn(CONFIG), TypeError);
  answers['/s'] = TOKEN;
  assert.equal(await page.signIn(CONFIG), 't1');
});

test('when a sign-in runs out in the middle she is asked, not led away', async () => {
  const kept = new Map([['token', JSON.stringify(TOKEN)]]);
  const page = await load('/', { kept });
  assert.equal(await page.signIn(CONFIG), 't1');
  kept.delete('token');
  await assert.rejects(page.signIn(CONFIG), { code: 'not_signed_in' });
  assert.equal(page.seen.left, null);
});

test('the demo signs in whom the address names', async () => {
  const page = await load('/?as=zhou', { answers: { '/s': TOKEN } });
  await page.signIn({ ...CONFIG, demo: true, identities: ['development'] });
  assert.deepEqual(page.seen.posts, [['/s', { provider: 'development', code: 'zhou' }]]);
});
