"""Master keys behind a server of Vault's transit engine (HashiCorp Vault, OpenBao): POST /v1/transit/encrypt/NAME and decrypt.

The context goes as associated data, and as the context of a derived key where the key is one. The server is the operator's own,
so that it may stand in a private network; TLS is left out on this machine only. Whatever it answers is hostile until parsed.
"""

import base64
import binascii
import json
import re
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from hospitals.addresses import Policy
from hospitals.ciphers import NONCE_BYTES, TAG_BYTES
from hospitals.exceptions import AddressRefused, CiphertextInvalid, ConnectorError, KeyServiceUnavailable
from hospitals.keys.base import checked_size
from hospitals.outgoing import Answer, Outgoing

TOTAL_S, READ_S = 6.0, 2.0  # somebody waits for it
MAX_BYTES = 64 * 1024
RETRIED = frozenset({412, 429, 500, 502, 503, 504})  # 412: a standby that has not caught up yet
OPENS_AFTER, FIRST_REST_S, LONGEST_REST_S = 5, 2.0, 60.0
_PREFIX = "transit:"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_MOUNT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_TOKEN = re.compile(r"[!-~]{1,8192}")
_CIPHERTEXT = re.compile(r"vault:v([1-9][0-9]{0,8}):([A-Za-z0-9+/]{1,512}={0,2})")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_ALTERED = ("message authentication failed", "invalid ciphertext: unable to decrypt")


class _Rest:
    """After repeated failures the server is left alone for a while, ever longer; then one call at a time tries."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._failures, self._until = 0, 0.0

    def check(self) -> None:
        """Raises ``KeyServiceUnavailable`` (rests)."""
        with self._lock:
            if self._failures < OPENS_AFTER:
                return
            if self._clock() < self._until:
                raise KeyServiceUnavailable("密钥服务器连续没有应答,稍后会再试。")
            self._until = self._clock() + FIRST_REST_S  # this call tries, the others wait for what it finds

    def succeeded(self) -> None:
        with self._lock:
            self._failures = 0

    def failed(self) -> None:
        with self._lock:
            self._failures += 1
            rest_s = FIRST_REST_S * 2 ** min(max(self._failures - OPENS_AFTER, 0), 8)
            self._until = self._clock() + min(LONGEST_REST_S, rest_s)


class TransitKeyService:
    """``url`` of the server; ``token_file``: read anew when the server refuses its token; ``key``: the transit key's name;
    ``mount``: where the engine is; ``ca_file``: PEM, where the server's certificate is not publicly trusted.
    """

    def __init__(
        self,
        url: str,
        token_file: str,
        key: str = "health-companion",
        mount: str = "transit",
        namespace: str = "",
        ca_file: str = "",
        derived: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not (_NAME.fullmatch(key) and _MOUNT.fullmatch(mount)) or (namespace and not _MOUNT.fullmatch(namespace)):
            raise KeyServiceUnavailable("密钥服务器的 key、mount 或 namespace 写得不对。")
        policy = _policy(url)
        try:
            verify = ssl.create_default_context(cafile=ca_file or None)
        except (OSError, ssl.SSLError) as error:
            raise KeyServiceUnavailable("读不到密钥服务器的 CA 证书。") from error
        self._url, self._key, self._mount = url.rstrip("/"), key, mount
        self._namespace, self._derived, self._token_file = namespace, derived, Path(token_file)
        self._token = ""
        self._rest = _Rest(clock)
        self._outgoing = Outgoing(
            policy,
            total_s=TOTAL_S,
            read_s=READ_S,
            max_bytes=MAX_BYTES,
            verify=verify,
            sleep=sleep,
            retried=RETRIED,
        )

    # --- what a key service does --------------------------------------------------------------------------------

    @property
    def current(self) -> str:
        """Told by what it wraps with, so that the token needs no more than to encrypt and to decrypt."""
        return self.wrap(bytes(32), context=b"current")[0]

    def knows(self, master_id: str) -> bool:
        return master_id.startswith(f"{_PREFIX}{self._key}:v")

    def wrap(self, data_key: bytes, *, context: bytes) -> tuple[str, bytes]:
        told = self._ask("encrypt", {"plaintext": _b64(data_key)}, context)
        ciphertext = told.get("ciphertext")
        version = self._version(ciphertext)
        if version is None:
            raise KeyServiceUnavailable("密钥服务器的答复看不懂。")
        return f"{_PREFIX}{self._key}:v{version}", str(ciphertext).encode("ascii")

    def unwrap(self, master_id: str, wrapped: bytes, *, context: bytes) -> bytes:
        if not self.knows(master_id):
            raise KeyServiceUnavailable("这把主密钥不在这台密钥服务器上。")
        ciphertext = wrapped.decode("ascii", "replace")
        if master_id != f"{_PREFIX}{self._key}:v{self._version(ciphertext)}":
            raise CiphertextInvalid
        plain = self._ask("decrypt", {"ciphertext": ciphertext}, context).get("plaintext")
        try:
            return checked_size(base64.b64decode(str(plain), validate=True))
        except (
            binascii.Error,
            ValueError,
            CiphertextInvalid,
        ) as error:  # the server opened it, and says something else
            raise KeyServiceUnavailable("密钥服务器的答复看不懂。") from error

    @staticmethod
    def _version(ciphertext: Any) -> str | None:
        """The key's version, where this is written as the engine writes it and in no other way."""
        found = _CIPHERTEXT.fullmatch(ciphertext) if isinstance(ciphertext, str) else None
        try:
            body = base64.b64decode(found[2], validate=True) if found else b""
        except binascii.Error:
            return None
        whole = len(body) > NONCE_BYTES + TAG_BYTES  # of every kind of key that takes associated data
        return found[1] if found and whole and _b64(body) == found[2] else None

    # --- the server ---------------------------------------------------------------------------------------------

    def _ask(self, deed: str, body: dict[str, str], context: bytes) -> dict[str, Any]:
        """The answer's ``data``. Raises ``KeyServiceUnavailable``, ``CiphertextInvalid``."""
        body["associated_data"] = _b64(context)
        if self._derived:
            body["context"] = _b64(context)
        self._rest.check()
        return self._parsed(self._sent(deed, json.dumps(body).encode()))

    def _sent(self, deed: str, content: bytes) -> Answer:
        """What it answers to this token, or to the one that stands in the file by now."""
        used = self._token or self._read_token()
        answer = self._send(deed, content, used)
        if answer.status == 403 and (fresh := self._read_token()) != used:
            answer = self._send(deed, content, fresh)
        return answer

    def _send(self, deed: str, content: bytes, token: str) -> Answer:
        headers = {"x-vault-token": token, "x-vault-request": "true", "content-type": "application/json"}
        if self._namespace:
            headers["x-vault-namespace"] = self._namespace
        url = f"{self._url}/v1/{self._mount}/{deed}/{self._key}"
        try:  # to wrap twice leaves nothing behind at the server
            answer = self._outgoing.send("POST", url, headers=headers, content=content, repeatable=True)
        except ConnectorError as error:
            self._rest.failed()
            raise KeyServiceUnavailable("密钥服务器没有应答,请稍后再试。") from error
        if answer.status in RETRIED:
            self._rest.failed()
        else:  # also where it refuses one key: the others are not to wait for that
            self._rest.succeeded()
        return answer

    def _read_token(self) -> str:
        try:
            token = self._token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise KeyServiceUnavailable("读不到密钥服务器的令牌文件。") from error
        if not _TOKEN.fullmatch(token):
            raise KeyServiceUnavailable("密钥服务器的令牌文件里不是一个令牌。")
        self._token = token
        return token

    @staticmethod
    def _parsed(answer: Answer) -> dict[str, Any]:
        try:
            told = json.loads(answer.body)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            told = {}
        if answer.status == 200 and isinstance(told.get("data"), dict):
            data: dict[str, Any] = told["data"]
            return data
        said = str(told.get("errors", ""))
        # Only what is surely the ciphertext's fault is final; a policy or a key that is not there may be mended.
        if answer.status == 400 and any(words in said for words in _ALTERED):
            raise CiphertextInvalid
        if answer.status == 403:
            raise KeyServiceUnavailable("密钥服务器不接受我们的令牌。")
        raise KeyServiceUnavailable("密钥服务器没有办成,请稍后再试。")


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _policy(url: str) -> Policy:
    """Any network, since the operator named the server; without TLS this machine only. Raises ``KeyServiceUnavailable``."""
    try:
        host = httpx.URL(url).host
        if httpx.URL(url).scheme == "http":
            policy = Policy.of(("127.0.0.0/8", "::1/128"), _LOOPBACK)
        else:
            policy = Policy.of(("0.0.0.0/0", "::/0"), _LOOPBACK if host in _LOOPBACK else ())
        checked = policy.check_url(url)
    except (AddressRefused, httpx.InvalidURL, ValueError) as error:
        raise KeyServiceUnavailable("密钥服务器的地址写得不对:要 https,只有本机可以是 http。") from error
    if checked.query or checked.fragment:
        raise KeyServiceUnavailable("密钥服务器的地址写得不对:不要带参数。")
    return policy
