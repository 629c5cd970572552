// Signing in: the super-app's authorization code for a short-lived token, kept for this tab only.

const LEEWAY_MS = 60000;

export async function signIn(config) {
  const kept = JSON.parse(sessionStorage.getItem('token') ?? 'null');
  if (kept && Date.parse(kept.expires_at) - Date.now() > LEEWAY_MS) return kept.token;
  const { provider, code } = authorization(config);
  const response = await fetch(config.sessionUrl, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ provider, code }),
  });
  const body = await response.json();
  if (!response.ok) throw Object.assign(new Error(body.detail), { code: body.status === 401 ? 'not_signed_in' : body.code });
  sessionStorage.setItem('token', JSON.stringify(body));
  return body.token;
}

// The super-app opens the page with ?auth_code= (Alipay) or ?code= (WeChat); it is taken out of the address at once.
function authorization(config) {
  const query = new URLSearchParams(location.search);
  const alipay = query.get('auth_code');
  const wechat = query.get('code');
  if (alipay || wechat) history.replaceState(null, '', location.pathname);
  if (alipay) return { provider: 'alipay', code: alipay };
  if (wechat) return { provider: 'wechat', code: wechat };
  return { provider: config.identities[0] ?? 'alipay', code: query.get('as') ?? 'demo-resident' };
}
