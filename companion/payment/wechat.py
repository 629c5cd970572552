"""WeChat Pay, API v3, Native: an order becomes a code that any WeChat scans, hers or her family's; the signed notification; refunds.

Requests carry WECHATPAY2-SHA256-RSA2048; answers and notifications are verified with WeChat Pay's public key before
anything in them is believed, and a notification's resource is opened by AES-256-GCM under the merchant's APIv3 key. No open id
is needed, which this service does not keep. Source: WeChat Pay merchant documentation (API v3): Native下单, 支付成功回调通知,
商户订单号查询订单, 关闭订单, 退款申请, 查询单笔退款, 签名认证.
"""

import base64
import json
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import httpx
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from companion.identity.alipay import GATEWAY_ZONE, rsa_keys
from companion.payment.base import (
    BadNotification,
    GatewayUnavailable,
    Opened,
    Order,
    OrderPaid,
    OrderSpent,
    Refund,
    Settled,
)
from companion.payment.http import client

TITLE_MAX = 60
API_KEY_BYTES = 32
FRESH_S = 300
# The last: known there, begun with another title or end than this time, which it does not change.
_NUMBER_USED = frozenset({"OUT_TRADE_NO_USED", "ORDERPAID", "ORDER_CLOSED", "INVALID_REQUEST"})
_NEVER_OPENED = frozenset({"ORDER_NOT_EXIST", "ORDERNOTEXIST"})
_CLOSED_ALREADY = _NEVER_OPENED | {"ORDER_CLOSED"}
_OVER = frozenset({"CLOSED", "REVOKED", "REFUND"})  # nothing is paid any more, or what was has gone back
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidSignature, InvalidTag)


class WechatPayment:
    """``public_key``, ``public_key_id``: WeChat Pay's; ``serial``: of the merchant's own certificate, whose key is ``private_key``."""

    def __init__(
        self,
        *,
        app_id: str,
        merchant_id: str,
        serial: str,
        private_key: str,
        public_key: str,
        public_key_id: str,
        api_key: str,
        gateway_url: str,
        notify_url: str,
        timeout_s: float = 5.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Raises ``ValueError`` for what are no keys."""
        if len(api_key.encode()) != API_KEY_BYTES or not (app_id and merchant_id and serial and public_key_id):
            raise ValueError("WeChat Pay needs its ids and an APIv3 key of 32 bytes")
        self.app_id, self.merchant_id, self.serial, self.public_key_id = app_id, merchant_id, serial, public_key_id
        self.gateway_url, self.notify_url = gateway_url.rstrip("/"), notify_url
        self.timeout_s, self.now = timeout_s, now
        self._private, self._public = rsa_keys(private_key, public_key)
        self._cipher = AESGCM(api_key.encode())

    async def begin(self, order: Order) -> Opened:
        """The same number again is the same order. One that turns out to be paid, its notification lost, is told as that."""
        asked = {
            "appid": self.app_id,
            "mchid": self.merchant_id,
            "description": order.title[:TITLE_MAX],
            "out_trade_no": order.number,
            "time_expire": order.expires_at.astimezone(GATEWAY_ZONE).isoformat(timespec="seconds"),
            "notify_url": self.notify_url,
            "amount": {"total": order.amount_fen, "currency": "CNY"},
        }
        status, told = await self._ask("POST", "/v3/pay/transactions/native", asked)
        if status == 200 and str(told.get("code_url", "")).startswith("weixin://"):
            return Opened(scan=str(told["code_url"]))
        if told.get("code") in _NUMBER_USED:
            settled = await self.query(order)
            if settled is None or not settled.paid:
                raise OrderSpent
            if settled.amount_fen == order.amount_fen:
                return Opened(trade_number=settled.trade_number, paid_at=settled.paid_at)
        raise GatewayUnavailable(code="order_refused")

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Settled | None:
        try:
            self._check(body, headers)
            told = json.loads(body)
            if told["event_type"] != "TRANSACTION.SUCCESS":
                return None  # refunds are asked about by whoever gave them
            sealed = told["resource"]
            opened = self._cipher.decrypt(
                sealed["nonce"].encode(), base64.b64decode(sealed["ciphertext"]), sealed["associated_data"].encode()
            )
            return self._settled(json.loads(opened))
        except _MALFORMED as error:
            raise BadNotification from error

    async def refund(self, order: Order, refund: Refund) -> None:
        asked = {
            "out_trade_no": order.number,
            "out_refund_no": refund.number,
            "reason": refund.reason[:TITLE_MAX],
            "amount": {"refund": refund.amount_fen, "total": order.amount_fen, "currency": "CNY"},
        }
        refunds = "/v3/refund/domestic/refunds"
        status, told = await self._ask("POST", refunds, asked)
        if status != 200 or told.get("status") != "SUCCESS":  # asked before, it may have come to an end meanwhile
            status, told = await self._ask("GET", f"{refunds}/{asked['out_refund_no']}")
        became = told.get("status") if status == 200 else ""
        if became != "SUCCESS":  # a bank may still send back what is on its way to it
            raise GatewayUnavailable(code="refund_processing" if became == "PROCESSING" else "refund_refused")

    async def close(self, order: Order) -> None:
        status, told = await self._ask(
            "POST", f"/v3/pay/transactions/out-trade-no/{order.number}/close", {"mchid": self.merchant_id}
        )
        if status < 300 or told.get("code") in _CLOSED_ALREADY:
            return
        settled = await self.query(order)
        if settled is not None and settled.paid:
            raise OrderPaid(settled.trade_number)
        raise GatewayUnavailable(code="close_refused")

    async def query(self, order: Order) -> Settled | None:
        path = f"/v3/pay/transactions/out-trade-no/{order.number}?mchid={self.merchant_id}"
        status, told = await self._ask("GET", path)
        if told.get("code") in _NEVER_OPENED:
            return None
        if status != 200:
            raise GatewayUnavailable(code="query_refused")
        try:
            if told["out_trade_no"] != order.number:
                raise ValueError("another order")
            settled = self._settled(told)
            if settled is None and told["trade_state"] in _OVER:
                return Settled(order.number, "", order.amount_fen, paid=False)
            return settled
        except _MALFORMED as error:
            raise GatewayUnavailable from error

    def _settled(self, trade: dict[str, Any]) -> Settled | None:
        """None for one that is not paid, which need not name a sum.

        Raises ``ValueError`` for another merchant's or another app's trade, or one in other money.
        """
        if (trade["appid"], trade["mchid"]) != (self.app_id, self.merchant_id):
            raise ValueError("another merchant's")
        if trade["trade_state"] != "SUCCESS":
            return None
        amount = trade["amount"]
        if amount.get("currency", "CNY") != "CNY" or type(amount["total"]) is not int:
            raise ValueError("other money")
        paid_at = _moment(trade.get("success_time"))
        return Settled(str(trade["out_trade_no"]), str(trade["transaction_id"]), amount["total"], True, paid_at)

    async def _ask(self, method: str, path: str, content: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """(status, answer). A good answer bears the gateway's signature, or ``GatewayUnavailable`` is raised; a refusal need not."""
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":")) if content else ""
        moment, nonce = str(int(self.now())), secrets.token_hex(16)
        line = f"{method}\n{path}\n{moment}\n{nonce}\n{body}\n".encode()
        signature = base64.b64encode(self._private.sign(line, padding.PKCS1v15(), hashes.SHA256())).decode()
        who = {"mchid": self.merchant_id, "nonce_str": nonce, "signature": signature, "timestamp": moment}
        parts = ",".join(f'{name}="{value}"' for name, value in (who | {"serial_no": self.serial}).items())
        headers = {
            "authorization": f"WECHATPAY2-SHA256-RSA2048 {parts}",
            "accept": "application/json",
            "content-type": "application/json",
            "wechatpay-serial": self.public_key_id,
        }
        try:
            async with client(self.timeout_s) as asking:
                answer = await asking.request(method, self.gateway_url + path, content=body.encode(), headers=headers)
            if answer.status_code >= 500 or answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
                raise GatewayUnavailable
            if answer.status_code < 300:
                self._check(answer.content, answer.headers)
            told = json.loads(answer.content or b"{}")
            return answer.status_code, {**told}
        except (httpx.HTTPError, *_MALFORMED) as error:
            raise GatewayUnavailable from error

    def _check(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Raises ``ValueError``, ``KeyError``, ``InvalidSignature`` for what is not WeChat Pay's, or is not of just now."""
        moment, nonce = headers["Wechatpay-Timestamp"], headers["Wechatpay-Nonce"]
        if abs(self.now() - int(moment)) > FRESH_S or headers["Wechatpay-Serial"] != self.public_key_id:
            raise ValueError("old, or under another key")
        line = f"{moment}\n{nonce}\n".encode() + body + b"\n"
        signature = base64.b64decode(headers["Wechatpay-Signature"], validate=True)
        self._public.verify(signature, line, padding.PKCS1v15(), hashes.SHA256())


def _moment(told: Any) -> datetime | None:
    """ "2026-11-29T10:00:00+08:00". None for what is no time with its zone: it was paid all the same."""
    try:
        found = datetime.fromisoformat(str(told))
    except ValueError:
        return None
    return found if found.tzinfo else None
