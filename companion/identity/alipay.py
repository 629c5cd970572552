"""Alipay: ``alipay.system.oauth.token`` turns an ``auth_code`` into the app's ``open_id``.

The request is signed RSA2 (SHA256withRSA) over the sorted parameters; the answer's signature is verified over the raw
bytes of its response node, before anything in it is believed. Alipay moves from ``user_id`` to a per-app
``open_id``: only the latter is used. From a browser she is led to the gateway's own page first, which asks nothing
(``auth_base``) and takes a state of 100 letters and digits at most, and no PKCE. Sources: Alipay Open Platform, 系统工具 换取授权访问令牌;
网页应用 获取会员信息.
"""

import base64
import json
from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from companion.exceptions import SignInFailed
from companion.identity.base import Identity

NODE = b'"alipay_system_oauth_token_response":'
GATEWAY_ZONE = ZoneInfo("Asia/Shanghai")


def gateway_now() -> datetime:
    return datetime.now(GATEWAY_ZONE)


def rsa_keys(private_key: str, gateway_public_key: str) -> tuple[rsa.RSAPrivateKey, rsa.RSAPublicKey]:
    """The application's own key and the gateway's, from PEM. Raises ``ValueError``."""
    private = serialization.load_pem_private_key(private_key.encode(), password=None)
    public = serialization.load_pem_public_key(gateway_public_key.encode())
    if not isinstance(private, rsa.RSAPrivateKey) or not isinstance(public, rsa.RSAPublicKey):
        raise ValueError("Alipay keys must be RSA keys in PEM")
    return private, public


class AlipayIdentity:
    def __init__(
        self,
        *,
        app_id: str,
        private_key: str,
        gateway_public_key: str,
        gateway_url: str,
        authorization_url: str = "https://openauth.alipay.com/oauth2/publicAppAuthorize.htm",
        timeout_s: float = 5.0,
        now: Callable[[], datetime] = gateway_now,
    ) -> None:
        self.app_id = app_id
        self.gateway_url = gateway_url
        self.authorization_url = authorization_url
        self.timeout_s = timeout_s
        self.now = now
        self._private, self._public = rsa_keys(private_key, gateway_public_key)

    def authorization_address(self, *, back: str, state: str) -> str:
        asked = {"app_id": self.app_id, "scope": "auth_base", "redirect_uri": back, "state": state}
        return f"{self.authorization_url}?{urlencode(asked)}"

    async def exchange(self, code: str) -> Identity:
        parameters = {
            "app_id": self.app_id,
            "method": "alipay.system.oauth.token",
            "format": "JSON",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": self.now().strftime("%Y-%m-%d %H:%M:%S"),
            "version": "1.0",
            "grant_type": "authorization_code",
            "code": code,
        }
        text = "&".join(f"{key}={value}" for key, value in sorted(parameters.items()))
        signature = self._private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        parameters["sign"] = base64.b64encode(signature).decode()
        try:
            async with httpx.AsyncClient(timeout=self.timeout_s) as client:
                response = await client.post(self.gateway_url, data=parameters)
        except httpx.HTTPError as error:
            raise SignInFailed(code="gateway_unavailable") from error
        if response.status_code != 200:
            raise SignInFailed(code="gateway_unavailable")
        return self._read(response.content)

    def _read(self, body: bytes) -> Identity:
        try:
            whole = json.loads(body)
            signed = raw_node(body, NODE)
            self._public.verify(base64.b64decode(whole["sign"]), signed, padding.PKCS1v15(), hashes.SHA256())
            answer = json.loads(signed)
            open_id = answer["open_id"]
        except (ValueError, KeyError, TypeError, InvalidSignature) as error:
            raise SignInFailed from error
        if not isinstance(open_id, str) or not 1 <= len(open_id) <= 128:
            raise SignInFailed
        return Identity(provider="alipay", app_id=self.app_id, open_id=open_id)


def raw_node(body: bytes, name: bytes) -> bytes:
    """The bytes of one JSON object as they were sent: a re-serialised copy would not match the signature.

    >>> raw_node(b'{"a":{"b":"}"},"sign":"x"}', b'"a":')
    b'{"b":"}"}'
    """
    start = body.index(name) + len(name)
    depth, in_string, escaped = 0, False, False
    for offset, byte in enumerate(body[start:]):
        char = chr(byte)
        if in_string:
            escaped, in_string = (False, True) if escaped else (char == "\\", char != '"')
        elif char == '"':
            in_string = True
        elif char in "{}":
            depth += 1 if char == "{" else -1
            if depth == 0:
                return body[start : start + offset + 1]
    raise ValueError("unterminated node")
