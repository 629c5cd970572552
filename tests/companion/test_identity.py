"""Signing in through a super-app: the real exchange against a local gateway that speaks its protocol, and misbehaves."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from companion.exceptions import SignInFailed
from companion.identity.alipay import AlipayIdentity, raw_node
from companion.identity.wechat import WechatIdentity

OURS = rsa.generate_private_key(public_exponent=65537, key_size=2048)
GATEWAY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
Answer = Callable[[dict[str, str]], tuple[int, bytes]]


@contextmanager
def gateway(answer: Answer) -> Iterator[str]:
    """A super-app's gateway on a local port: ``answer`` gets the request's parameters, gives status and body."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.reply(dict(parse_qsl(body)))

        def do_GET(self) -> None:
            self.reply(dict(parse_qsl(urlsplit(self.path).query)))

        def reply(self, parameters: dict[str, str]) -> None:
            status, body = answer(parameters)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def public_pem(key: rsa.RSAPrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def alipay(url: str) -> AlipayIdentity:
    return AlipayIdentity(
        app_id="2026000000000001", private_key=pem(OURS), gateway_public_key=public_pem(GATEWAY), gateway_url=url
    )


def signed_answer(node: bytes, key: rsa.RSAPrivateKey = GATEWAY) -> bytes:
    signature = base64.b64encode(key.sign(node, padding.PKCS1v15(), hashes.SHA256()))
    return b'{"alipay_system_oauth_token_response":' + node + b',"sign":"' + signature + b'"}'


async def test_alipay_code_becomes_an_open_id_and_our_request_is_signed() -> None:
    asked: list[dict[str, str]] = []

    def answer(parameters: dict[str, str]) -> tuple[int, bytes]:
        asked.append(parameters)
        # the odd spacing must survive: the signature is over these very bytes
        return 200, signed_answer(b'{ "open_id" : "abc{}123",  "expires_in":  1296000 }')

    with gateway(answer) as url:
        who = await alipay(url).exchange("code-1")
    assert (who.provider, who.app_id, who.open_id) == ("alipay", "2026000000000001", "abc{}123")
    sent = asked[0]
    signature = base64.b64decode(sent.pop("sign"))
    text = "&".join(f"{key}={value}" for key, value in sorted(sent.items()))
    OURS.public_key().verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize(
    "body",
    [
        signed_answer(b'{"open_id":"abc"}', key=OURS),  # signed by somebody else
        signed_answer(b'{"open_id":"abc"}').replace(b"abc", b"abd"),  # changed on the way
        signed_answer(b'{"user_id":"2088"}'),  # no open id
        signed_answer(b'{"open_id":7}'),
        b'{"error_response":{"code":"40002"},"sign":"AAAA"}',  # a used code
        b"<html>gateway</html>",
        b"",
    ],
)
async def test_alipay_answers_that_cannot_be_trusted_sign_nobody_in(body: bytes) -> None:
    with gateway(lambda _: (200, body)) as url, pytest.raises(SignInFailed):
        await alipay(url).exchange("code-1")


async def test_a_gateway_that_is_away_is_told_apart_from_a_wrong_code() -> None:
    with gateway(lambda _: (503, b"")) as url, pytest.raises(SignInFailed) as caught:
        await alipay(url).exchange("code-1")
    assert caught.value.code == "gateway_unavailable"


async def test_wechat_code_becomes_an_open_id_and_the_session_key_is_dropped() -> None:
    body = json.dumps({"openid": "o-1", "session_key": "secret"}).encode()
    with gateway(lambda _: (200, body)) as url:
        who = await WechatIdentity(app_id="wx1", app_secret="s", gateway_url=url).exchange("code-1")
    assert who.open_id == "o-1"
    assert "secret" not in repr(who)


@pytest.mark.parametrize(
    ("body", "code"),
    [({"errcode": 40029}, "sign_in_failed"), ({"errcode": 45011}, "sign_in_throttled"), ([], "sign_in_failed")],
)
async def test_wechat_refusals_are_typed(body: object, code: str) -> None:
    with gateway(lambda _: (200, json.dumps(body).encode())) as url, pytest.raises(SignInFailed) as caught:
        await WechatIdentity(app_id="wx1", app_secret="s", gateway_url=url).exchange("code-1")
    assert caught.value.code == code


def test_a_signed_node_is_cut_out_of_the_raw_bytes() -> None:
    assert raw_node(rb'{"a":{"b":"\"}"},"sign":"x"}', b'"a":') == rb'{"b":"\"}"}'
    with pytest.raises(ValueError):
        raw_node(b'{"a":{"b":1', b'"a":')
