// Signing in: the super-app's authorization code for a short-lived token, kept for this tab only.

const LEEWAY_MS = 60000;
let answer = null; // what a super-app handed over with this load of the page
let tried = false; // whether this load of the page has signed in, or was answered that it cannot

// The super-app opens the page with ?auth_code= (Alipay) or ?code= (WeChat): taken out of the address at once, and what stood
// there when signing in began is put back. Call before anything reads the address.
export function arrive() {
  const query = new URLSearchParams(location.search);
  const begun = JSON.parse(sessionStorage.getItem('begun') ?? 'null');
  sessionStorage.removeItem('begun');
  const alipay = query.get('auth_code');
  const code = alipay ?? query.get('code');
  if (!code) return;
  const state = query.get('state');
  answer = { provider: alipay ? 'alipay' : 'wechat', code, ...(state && begun && { state, secret: begun.secret }) };
  history.replaceState(null, '', begun?.back ?? location.pathname);
}

// `back`: what of this page's address is to stand there again after signing in.
export async function signIn(config, back = location.pathname + location.search) {
  const kept = JSON.parse(sessionStorage.getItem('token') ?? 'null');
  if (kept && Date.parse(kept.expires_at) - Date.now() > LEEWAY_MS) {
    tried = true;
    return kept.token;
  }
  if (!answer && !config.demo) {
    // Later she is asked first: she may be in the middle of something.
    if (tried) throw Object.assign(new Error('not signed in'), { code: 'not_signed_in' });
    return begin(config, back);
  }
  const given = answer ?? { provider: config.identities[0] ?? 'alipay', code: new URLSearchParams(location.search).get('as') ?? 'demo-resident' };
  const body = await post(config.sessionUrl, given);
  sessionStorage.setItem('token', JSON.stringify(body));
  return body.token;
}

// Outside a mini-program, which opens the page with a code, she is led to the super-app's own page.
async function begin(config, back) {
  const here = /AlipayClient/i.test(navigator.userAgent) ? 'alipay' : config.identities[0];
  const { address, secret } = await post(config.beginUrl, { provider: config.identities.includes(here) ? here : config.identities[0] });
  sessionStorage.setItem('begun', JSON.stringify({ secret, back }));
  location.assign(address);
  return new Promise(() => {}); // the page is left
}

async function post(url, given) {
  const response = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(given) });
  answer = null; // a code is good once; where nobody was reached it still is
  tried = true;
  const body = await response.json();
  if (!response.ok) throw Object.assign(new Error(body.detail), { code: body.status === 401 ? 'not_signed_in' : body.code });
  return body;
}
