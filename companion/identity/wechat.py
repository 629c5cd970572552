"""WeChat: ``sns/jscode2session`` turns a mini-program's login code into its ``openid``.

The answer's ``session_key`` decrypts what the resident shares with WeChat; it is dropped here and never reaches a
client or a log. Source: WeChat mini-program documentation, 小程序登录 code2Session.
"""

import httpx

from companion.exceptions import SignInFailed
from companion.identity.base import Identity


class WechatIdentity:
    def __init__(self, *, app_id: str, app_secret: str, gateway_url: str, timeout_s: float = 5.0) -> None:
        self.app_id = app_id
        self.app_secret = app_secret
        self.gateway_url = gateway_url.rstrip("/")
        self.timeout_s = timeout_s

    async def exchange(self, code: str) -> Identity:
        query = {"appid": self.app_id, "secret": self.app_secret, "js_code": code, "grant_type": "authorization_code"}
        try:
            async with httpx.AsyncClient(timeout=self.timeout_s) as client:
                response = await client.get(f"{self.gateway_url}/sns/jscode2session", params=query)
            answer = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise SignInFailed(code="gateway_unavailable") from error
        open_id = answer.get("openid") if isinstance(answer, dict) else None
        if response.status_code != 200 or not isinstance(open_id, str) or not 1 <= len(open_id) <= 128:
            # errcode 45011: more than 100 log-ins a minute by one user; everything else: a used or wrong code
            throttled = isinstance(answer, dict) and answer.get("errcode") == 45011
            raise SignInFailed(code="sign_in_throttled" if throttled else "sign_in_failed")
        return Identity(provider="wechat", app_id=self.app_id, open_id=open_id)
