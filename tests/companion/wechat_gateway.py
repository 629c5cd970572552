"""WeChat Pay on a local port, as far as API v3's Native orders, queries and refunds go: it verifies what comes and signs what it says.

``mood``: what the next answers are: "" as they should be, "down", "silent", "forged", "refuse", "too often", "paid already", "CLOSED" (it ran
out), "waits" (for its payer), "of another" (order), "processing" and "abnormal" (a refund on its way, and one that the bank sent back).
"""

import base64
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from companion.payment.wechat import WechatPayment
from tests.companion.test_identity import GATEWAY, OURS, pem, public_pem

NOW = 1_772_000_000
API_KEY = "0123456789abcdef0123456789abcdef"
KEY_ID = "PUB_KEY_ID_1"
MERCHANT = {"appid": "wx-app", "mchid": "1900000001"}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+08:00")
_AUTHORIZATION = re.compile(r'(\w+)="([^"]*)"')


def signed(body: bytes, key: rsa.RSAPrivateKey = GATEWAY, *, at: int = NOW, key_id: str = KEY_ID) -> dict[str, str]:
    """The headers under which the gateway says this."""
    signature = key.sign(f"{at}\nnonce\n".encode() + body + b"\n", padding.PKCS1v15(), hashes.SHA256())
    return {
        "Wechatpay-Timestamp": str(at),
        "Wechatpay-Nonce": "nonce",
        "Wechatpay-Serial": key_id,
        "Wechatpay-Signature": base64.b64encode(signature).decode(),
    }


def trade(number: str, fen: int, **changes: Any) -> dict[str, Any]:
    return {
        **MERCHANT,
        "out_trade_no": number,
        "transaction_id": "4200001",
        "trade_state": "SUCCESS",
        "amount": {"total": fen, "currency": "CNY"},
        "success_time": "2026-11-29T23:59:30+08:00",
        **changes,
    }


def notification(told: dict[str, Any], *, event: str = "TRANSACTION.SUCCESS", api_key: str = API_KEY) -> bytes:
    sealed = AESGCM(api_key.encode()).encrypt(b"0123456789ab", json.dumps(told).encode(), b"transaction")
    resource = {
        "algorithm": "AEAD_AES_256_GCM",
        "nonce": "0123456789ab",
        "associated_data": "transaction",
        "ciphertext": base64.b64encode(sealed).decode(),
    }
    return json.dumps({"id": "n1", "event_type": event, "resource": resource}).encode()


class WechatGateway:
    def __init__(self) -> None:
        self.mood = ""
        self.orders: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        self.faults: list[str] = []  # what was wrong with what came
        self._stop = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._http.shutdown()
        self._http.server_close()

    def engine(self, **options: Any) -> WechatPayment:
        return WechatPayment(
            **{
                "app_id": MERCHANT["appid"],
                "merchant_id": MERCHANT["mchid"],
                "serial": "SERIAL",
                "private_key": pem(OURS),
                "public_key": public_pem(GATEWAY),
                "public_key_id": KEY_ID,
                "api_key": API_KEY,
                "gateway_url": self.url,
                "notify_url": "https://ours.example/api/payment/wechat/",
                "now": lambda: float(NOW),
                **options,
            }
        )

    def answer(self, method: str, target: str, authorization: str, body: bytes) -> tuple[int, dict[str, Any]]:
        kind, _space, rest = authorization.partition(" ")
        who = dict(_AUTHORIZATION.findall(rest))
        line = f"{method}\n{target}\n{who['timestamp']}\n{who['nonce_str']}\n".encode() + body + b"\n"
        OURS.public_key().verify(base64.b64decode(who["signature"]), line, padding.PKCS1v15(), hashes.SHA256())
        assert (kind, who["mchid"], who["serial_no"]) == ("WECHATPAY2-SHA256-RSA2048", MERCHANT["mchid"], "SERIAL")
        path, asked = urlsplit(target).path, json.loads(body or b"{}")
        if self.mood == "refuse":
            return 403, {"code": "NO_AUTH", "message": "no"}
        if self.mood == "too often":
            return 429, {"code": "FREQUENCY_LIMITED", "message": "later"}
        if path == "/v3/pay/transactions/native":
            assert {k: asked[k] for k in MERCHANT} == MERCHANT and asked["notify_url"].startswith("https://")
            assert _MOMENT.fullmatch(asked["time_expire"])
            if self.orders.setdefault(asked["out_trade_no"], asked) != asked:
                return 400, {"code": "INVALID_REQUEST", "message": "not as it was begun"}
            if self.mood in ("paid already", "CLOSED"):
                return 403, {"code": "OUT_TRADE_NO_USED", "message": "used"}
            return 200, {"code_url": "weixin://wxpay/bizpayurl?pr=abc"}
        if path.endswith("/close"):
            assert asked == {"mchid": MERCHANT["mchid"]}
            if self.mood == "paid already":
                return 400, {"code": "ORDERPAID", "message": "paid"}
            if self.mood == "waits":
                return 400, {"code": "TRADE_ERROR"}
            known = self.orders.pop(path.split("/")[-2], None)
            return (204, {}) if known else (404, {"code": "ORDER_NOT_EXIST"})
        if path == "/v3/refund/domestic/refunds":
            before = [
                one["amount"]["refund"] for number, one in self.refunds.items() if number != asked["out_refund_no"]
            ]
            if sum(before) + asked["amount"]["refund"] > asked["amount"]["total"]:
                return 400, {"code": "INVALID_REQUEST", "message": "more than was paid"}
            self.refunds[asked["out_refund_no"]] = asked
            return 200, {"status": "PROCESSING"}
        if path.startswith("/v3/refund/domestic/refunds/"):
            known = path.rpartition("/")[2] in self.refunds
            return (
                (200, {"status": self.mood.upper() or "SUCCESS"}) if known else (404, {"code": "RESOURCE_NOT_EXISTS"})
            )
        number = path.rpartition("/")[2]
        assert target.endswith(f"?mchid={MERCHANT['mchid']}")
        if number not in self.orders:
            return 404, {"code": "ORDER_NOT_EXIST"}
        if self.mood in ("CLOSED", "waits"):  # what was not paid has neither a sum nor a number of theirs
            state = "CLOSED" if self.mood == "CLOSED" else "NOTPAY"
            return 200, {**MERCHANT, "out_trade_no": number, "trade_state": state}
        if self.mood == "of another":
            return 200, trade("0" * 32, 2000)
        return 200, trade(number, self.orders[number]["amount"]["total"])


def _handler(gateway: WechatGateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if gateway.mood == "silent":
                gateway._stop.wait(10)
                return
            try:
                status, told = gateway.answer(self.command, self.path, self.headers["Authorization"], body)
            except Exception as error:  # noqa: BLE001 - whatever it is, the test is to hear of it
                gateway.faults.append(repr(error))
                status, told = 400, {"code": "SIGN_ERROR"}
            raw = b"" if gateway.mood == "down" else json.dumps(told).encode() if told else b""
            self.send_response(502 if gateway.mood == "down" else status)
            for name, value in signed(raw, OURS if gateway.mood == "forged" else GATEWAY).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST

        def log_message(self, *args: object) -> None:
            pass

    return Handler
