"""Alipay: ``alipay.trade.wap.pay`` as a signed order string, its asynchronous notification, ``alipay.trade.refund``
and its query, ``alipay.trade.close``, ``alipay.trade.query``.

Signed RSA2 (SHA256withRSA) over the sorted parameters. A notification is verified over all its parameters as they came but
``sign`` and ``sign_type``, and must be for this app. Source: Alipay Open Platform, 手机网站支付, 异步通知说明, 统一收单交易退款接口,
统一收单交易退款查询, 统一收单交易关闭接口, 统一收单交易查询. Its times are Beijing's and name no zone.
"""

import base64
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from urllib.parse import parse_qsl, urlencode

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from companion.identity.alipay import GATEWAY_ZONE, gateway_now, raw_node, rsa_keys
from companion.payment.base import (
    BadNotification,
    GatewayUnavailable,
    NeverOpened,
    Opened,
    Order,
    OrderPaid,
    Refund,
    Settled,
)
from companion.payment.http import client
from hospitals.connectors.money import fen, yuan

_DONE, _NEVER_OPENED = "10000", "ACQ.TRADE_NOT_EXIST"
_PAID, _CLOSED = frozenset({"TRADE_SUCCESS", "TRADE_FINISHED"}), "TRADE_CLOSED"
TITLE_MAX = 60
_TIME = "%Y-%m-%d %H:%M:%S"


class AlipayPayment:
    """``notify_url``: where the gateway tells (api/payment/alipay/); ``return_url``: where the page comes back to."""

    def __init__(
        self,
        *,
        app_id: str,
        private_key: str,
        gateway_public_key: str,
        gateway_url: str,
        notify_url: str,
        return_url: str,
        timeout_s: float = 5.0,
        now: Callable[[], datetime] = gateway_now,
    ) -> None:
        self.app_id, self.gateway_url, self.timeout_s, self.now = app_id, gateway_url, timeout_s, now
        self.notify_url, self.return_url = notify_url, return_url
        self._private, self._public = rsa_keys(private_key, gateway_public_key)

    async def begin(self, order: Order) -> Opened:
        """The order string is the whole of it: nothing is asked of the gateway before she opens it."""
        content = {
            "out_trade_no": order.number,
            "total_amount": yuan(order.amount_fen),
            "subject": order.title[:TITLE_MAX],
            "product_code": "QUICK_WAP_WAY",
            "time_expire": order.expires_at.astimezone(GATEWAY_ZONE).strftime(_TIME),
        }
        more = {"notify_url": self.notify_url, "return_url": self.return_url}
        return Opened(pay_at=f"{self.gateway_url}?{urlencode(self._signed('alipay.trade.wap.pay', content, more))}")

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Settled | None:
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True)
            told = dict(pairs)
            if len(told) != len(pairs) or told["sign_type"] != "RSA2":
                raise ValueError("repeated or unsigned")
            signed = {name: value for name, value in told.items() if name not in ("sign", "sign_type")}
            signature = base64.b64decode(told["sign"], validate=True)
            self._public.verify(signature, _line(signed), padding.PKCS1v15(), hashes.SHA256())
            if told["app_id"] != self.app_id:
                raise ValueError("another app's")
            status = told["trade_status"]
            if status not in _PAID and status != _CLOSED or told.get("refund_fee"):
                return None  # it waits for the buyer; or it repeats what we ourselves gave back
            paid_at = _moment(told.get("gmt_payment"))
            return Settled(told["out_trade_no"], told["trade_no"], fen(told["total_amount"]), status in _PAID, paid_at)
        except (ValueError, KeyError, InvalidSignature) as error:
            raise BadNotification from error

    async def refund(self, order: Order, refund: Refund) -> None:
        content = {
            "out_trade_no": order.number,
            "refund_amount": yuan(refund.amount_fen),
            "refund_reason": refund.reason[:TITLE_MAX],
            "out_request_no": refund.number,
        }
        told = await self._ask("alipay.trade.refund", content)
        if told["code"] != _DONE:
            raise GatewayUnavailable(code="refund_refused")
        if told.get("fund_change") == "Y":
            return
        about = {name: content[name] for name in ("out_trade_no", "out_request_no")}  # asked before, or not done yet
        if (await self._ask("alipay.trade.fastpay.refund.query", about)).get("refund_status") != "REFUND_SUCCESS":
            raise GatewayUnavailable(code="refund_processing")

    async def query(self, order: Order) -> Settled | None:
        told = await self._ask("alipay.trade.query", {"out_trade_no": order.number})
        if told.get("sub_code") == _NEVER_OPENED:
            return None
        if told["code"] != _DONE:
            raise GatewayUnavailable(code="query_refused")
        try:
            if told["out_trade_no"] != order.number:
                raise ValueError("another order")
            status = told["trade_status"]
            if status == _CLOSED:
                return Settled(order.number, told["trade_no"], order.amount_fen, paid=False)
            if status not in _PAID:
                return None
            paid_at = _moment(told.get("send_pay_date"))
            return Settled(order.number, told["trade_no"], fen(told["total_amount"]), True, paid_at)
        except (ValueError, KeyError, TypeError) as error:
            raise GatewayUnavailable from error

    async def close(self, order: Order) -> None:
        told = await self._ask("alipay.trade.close", {"out_trade_no": order.number})
        if told["code"] == _DONE:
            return
        if told.get("sub_code") == _NEVER_OPENED:
            raise NeverOpened
        settled = await self.query(order)
        if settled is not None and settled.paid:
            raise OrderPaid(settled.trade_number)
        raise GatewayUnavailable(code="close_refused")

    async def _ask(self, method: str, content: dict[str, str]) -> dict[str, str]:
        """The answer's node, in the gateway's own hand. Raises ``GatewayUnavailable``."""
        node = f'"{method.replace(".", "_")}_response":'.encode()
        try:
            async with client(self.timeout_s) as asking:
                answer = await asking.post(self.gateway_url, data=self._signed(method, content, {}))
            signed = raw_node(answer.content, node)
            signature = base64.b64decode(json.loads(answer.content)["sign"])
            self._public.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
            told = json.loads(signed)
            return {**told, "code": str(told["code"])}
        except (httpx.HTTPError, ValueError, KeyError, TypeError, InvalidSignature) as error:
            raise GatewayUnavailable from error

    def _signed(self, method: str, content: dict[str, str], more: dict[str, str]) -> dict[str, str]:
        parameters = {
            "app_id": self.app_id,
            "method": method,
            "format": "JSON",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": self.now().strftime(_TIME),
            "version": "1.0",
            "biz_content": json.dumps(content, ensure_ascii=False, separators=(",", ":")),
            **more,
        }
        signature = self._private.sign(_line(parameters), padding.PKCS1v15(), hashes.SHA256())
        return {**parameters, "sign": base64.b64encode(signature).decode()}


def _moment(told: str | None) -> datetime | None:
    """ "2026-11-29 10:00:00", by the gateway's clock. None for what is no time: it was paid all the same."""
    try:
        return datetime.strptime(told or "", _TIME).replace(tzinfo=GATEWAY_ZONE)
    except ValueError:
        return None


def _line(parameters: dict[str, str]) -> bytes:
    return "&".join(f"{name}={value}" for name, value in sorted(parameters.items())).encode()
