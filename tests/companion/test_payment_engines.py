"""What every payment engine promises, at a gateway of its own kind: an order taken once, its word only when signed, money back."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from companion.payment.alipay import AlipayPayment
from companion.payment.base import (
    BadNotification,
    GatewayUnavailable,
    NeverOpened,
    Opened,
    Order,
    OrderPaid,
    OrderSpent,
    PaymentBackend,
    Refund,
    Settled,
)
from tests.companion import wechat_gateway
from tests.companion.test_identity import GATEWAY, OURS, gateway, pem, public_pem
from tests.companion.wechat_gateway import WechatGateway, notification, trade

PAID_AT = datetime(2026, 11, 29, 23, 59, 30, tzinfo=timezone(timedelta(hours=8)))
EXPIRES = datetime(2026, 11, 30, 15, 30, 59, tzinfo=UTC)
ORDER = Order("0" * 31 + "1", "检查费", 2000, EXPIRES)
WHOLE, PART, REST = (Refund(f"{ORDER.number}-{n}", fen, "医院退费") for n, fen in ((1, 2000), (2, 500), (3, 1500)))
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
Told = tuple[bytes, dict[str, str]]


@dataclass
class Side:
    """``begun``: what it was last told of an order; ``tells``: the gateway's notification that an order was paid, by this key and with these amounts and apps; ``mood``: how it
    answers from now on; ``given_back``: fen, once for each refund that it knows."""

    engine: PaymentBackend
    tells: Callable[..., Told]
    mood: Callable[[str], None]
    given_back: Callable[[], list[int]]
    begun: Callable[[], dict[str, Any]]


def alipay() -> Iterator[Side]:
    mood, refunds = [""], dict[str, int]()

    def line(parameters: dict[str, str]) -> bytes:
        return "&".join(f"{name}={value}" for name, value in sorted(parameters.items())).encode()

    def sign(key: rsa.RSAPrivateKey, what: bytes) -> str:
        return base64.b64encode(key.sign(what, padding.PKCS1v15(), hashes.SHA256())).decode()

    def answer(asked: dict[str, str]) -> tuple[int, bytes]:
        content = json.loads(asked["biz_content"])
        if mood[0] in ("down", "silent"):
            return 502, b""
        told = {
            "code": "40004",
            "sub_code": "ACQ.SYSTEM_ERROR" if mood[0] else "ACQ.TRADE_NOT_EXIST",
        }  # nobody opened it
        if asked["method"] == "alipay.trade.refund" and mood[0] != "refuse":
            moves = content["out_request_no"] not in refunds and mood[0] != "processing"
            asked_fen = round(float(content["refund_amount"]) * 100)
            others = sum(fen for number, fen in refunds.items() if number != content["out_request_no"])
            if others + asked_fen <= ORDER.amount_fen:
                refunds[content["out_request_no"]] = asked_fen
                told = {"code": "10000", "fund_change": "Y" if moves else "N"}
        if asked["method"] == "alipay.trade.fastpay.refund.query":
            done = content["out_request_no"] in refunds and mood[0] != "processing"
            told = {"code": "10000"} | ({"refund_status": "REFUND_SUCCESS"} if done else {})
        if asked["method"] == "alipay.trade.query" and mood[0] in ("paid already", "CLOSED", "waits", "of another"):
            status = {"CLOSED": "TRADE_CLOSED", "waits": "WAIT_BUYER_PAY"}.get(mood[0], "TRADE_SUCCESS")
            number = ORDER.number if mood[0] != "of another" else "0" * 32
            told = {"code": "10000", "trade_status": status, "trade_no": "4200001", "out_trade_no": number}
            told |= {"total_amount": "20.00", "send_pay_date": "2026-11-29 23:59:30"}
        node = json.dumps(told).encode()
        by = sign(OURS if mood[0] == "forged" else GATEWAY, node)
        return 200, b'{"%s_response":' % asked["method"].replace(
            ".", "_"
        ).encode() + node + b',"sign":"' + by.encode() + b'"}'

    def tells(*, fen: int = 2000, key: rsa.RSAPrivateKey = GATEWAY, app: str = "app-1", paid: bool = True) -> Told:
        parameters = {
            "app_id": app,
            "out_trade_no": ORDER.number,
            "trade_no": "4200001",
            "total_amount": f"{fen / 100:.2f}",
            "trade_status": "TRADE_SUCCESS" if paid else "WAIT_BUYER_PAY",
            "gmt_payment": "2026-11-29 23:59:30",
        }
        return urlencode({**parameters, "sign_type": "RSA2", "sign": sign(key, line(parameters))}).encode(), {}

    with gateway(answer) as url:
        engine = AlipayPayment(
            app_id="app-1",
            private_key=pem(OURS),
            gateway_public_key=public_pem(GATEWAY),
            gateway_url=url,
            notify_url="https://ours.example/api/payment/alipay/",
            return_url="https://ours.example",
        )
        opened: list[str] = []
        begin = engine.begin

        async def begun(order: Order) -> Opened:
            opened.append((made := await begin(order)).pay_at)
            return made

        engine.begin = begun  # type: ignore[method-assign]
        yield Side(
            engine,
            tells,
            lambda how: mood.__setitem__(0, how),
            lambda: list(refunds.values()),
            lambda: json.loads(dict(parse_qsl(urlsplit(opened[-1]).query))["biz_content"]),
        )


def wechat() -> Iterator[Side]:
    peer = WechatGateway()

    def tells(*, fen: int = 2000, key: rsa.RSAPrivateKey = GATEWAY, app: str = "wx-app", paid: bool = True) -> Told:
        told = trade(ORDER.number, fen, appid=app, trade_state="SUCCESS" if paid else "NOTPAY")
        body = notification(told)
        return body, wechat_gateway.signed(body, key)

    given_back = lambda: [refund["amount"]["refund"] for refund in peer.refunds.values()]  # noqa: E731
    begun = lambda: peer.orders[ORDER.number]  # noqa: E731
    yield Side(peer.engine(timeout_s=0.5), tells, lambda how: setattr(peer, "mood", how), given_back, begun)
    assert not peer.faults
    peer.close()


@pytest.fixture(params=[alipay, wechat], ids=lambda side: side.__name__)
def side(request: pytest.FixtureRequest) -> Iterator[Side]:
    yield from request.param()


async def test_an_order_gives_her_a_way_to_pay_and_takes_no_money(side: Side) -> None:
    opened = await side.engine.begin(ORDER)
    assert bool(opened.pay_at) != bool(opened.scan) and not opened.trade_number
    assert await side.engine.begin(ORDER)


def test_the_gateway_s_word_is_read_to_the_fen(side: Side) -> None:
    assert side.engine.verify(*side.tells(fen=1999)) == Settled(ORDER.number, "4200001", 1999, True, PAID_AT)


def test_what_settles_nothing_is_no_news(side: Side) -> None:
    assert side.engine.verify(*side.tells(paid=False)) is None


@pytest.mark.parametrize("wrong", [{"key": STRANGER}, {"app": "another"}])
def test_another_s_word_and_one_about_another_app_are_refused(side: Side, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadNotification):
        side.engine.verify(*side.tells(**wrong))


def test_a_notification_in_which_anything_was_changed_is_refused(side: Side) -> None:
    body, headers = side.tells()
    for place in range(0, len(body), 7):
        changed = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        with pytest.raises(BadNotification):
            side.engine.verify(changed, headers)
    for odd in (b"", b"\xff", b"{}", b"[" * 5000):
        with pytest.raises(BadNotification):
            side.engine.verify(odd, headers)


async def test_one_that_nobody_opened_there_is_closed_or_told_to_be_open_still(side: Side) -> None:
    """A page at Alipay can be opened as long as somebody has its address; a code of WeChat's is nobody's who has not seen it."""
    await side.engine.begin(ORDER)
    for _ in range(2):
        with pytest.raises(NeverOpened) if isinstance(side.engine, AlipayPayment) else nullcontext():
            await side.engine.close(ORDER)


async def test_an_order_ends_at_its_gateway_at_the_minute_that_was_meant_in_beijing(side: Side) -> None:
    opened = await side.engine.begin(ORDER)
    told = "2026-11-30 23:30:59" if opened.pay_at else "2026-11-30T23:30:59+08:00"
    assert side.begun()["time_expire"] == told


@pytest.mark.parametrize(
    ("mood", "code"),
    [("down", "gateway_unavailable"), ("forged", "gateway_unavailable"), ("refuse", "query_refused")],
)
async def test_a_close_that_was_not_done_is_told(side: Side, mood: str, code: str) -> None:
    await side.engine.begin(ORDER)
    side.mood(mood)
    with pytest.raises(GatewayUnavailable, match=code):
        await side.engine.close(ORDER)


async def test_one_that_cannot_be_closed_because_it_is_paid_is_told_as_that(side: Side) -> None:
    await side.engine.begin(ORDER)
    side.mood("paid already")
    with pytest.raises(OrderPaid) as paid:
        await side.engine.close(ORDER)
    assert paid.value.trade_number == "4200001"


async def test_one_that_is_neither_paid_nor_to_be_closed_is_told_as_that(side: Side) -> None:
    await side.engine.begin(ORDER)
    side.mood("waits")
    with pytest.raises(GatewayUnavailable, match="close_refused"):
        await side.engine.close(ORDER)


async def test_an_order_that_is_asked_about_is_told_as_its_notification_would(side: Side) -> None:
    await side.engine.begin(ORDER)
    side.mood("paid already")
    assert await side.engine.query(ORDER) == Settled(ORDER.number, "4200001", 2000, True, PAID_AT)
    side.mood("CLOSED")
    closed = await side.engine.query(ORDER)
    assert closed is not None and (closed.number, closed.paid) == (ORDER.number, False)
    side.mood("waits")
    assert await side.engine.query(ORDER) is None


async def test_one_that_never_came_to_the_gateway_may_still_come(side: Side) -> None:
    assert await side.engine.query(ORDER) is None


@pytest.mark.parametrize(
    ("mood", "code"),
    [
        ("down", "gateway_unavailable"),
        ("silent", "gateway_unavailable"),
        ("forged", "gateway_unavailable"),
        ("of another", "gateway_unavailable"),
        ("refuse", "query_refused"),
    ],
)
async def test_what_the_gateway_does_not_say_of_this_order_is_not_taken_for_nothing(
    side: Side, mood: str, code: str
) -> None:
    await side.engine.begin(ORDER)
    side.mood(mood)
    with pytest.raises(GatewayUnavailable, match=code):
        await side.engine.query(ORDER)


async def test_money_goes_back_whole_and_once(side: Side) -> None:
    await side.engine.begin(ORDER)
    await side.engine.refund(ORDER, WHOLE)
    await side.engine.refund(ORDER, WHOLE)
    assert side.given_back() == [2000]


async def test_parts_go_back_each_once_and_no_more_than_was_paid(side: Side) -> None:
    await side.engine.begin(ORDER)
    for part in (PART, PART, REST, REST):
        await side.engine.refund(ORDER, part)
    with pytest.raises(GatewayUnavailable, match="refund_refused"):
        await side.engine.refund(ORDER, Refund(f"{ORDER.number}-4", 1, "医院退费"))
    assert side.given_back() == [500, 1500]


async def test_a_refund_that_has_not_arrived_is_not_done_and_is_the_same_one_when_it_has(side: Side) -> None:
    await side.engine.begin(ORDER)
    side.mood("processing")
    with pytest.raises(GatewayUnavailable, match="refund_processing"):
        await side.engine.refund(ORDER, WHOLE)
    side.mood("")
    await side.engine.refund(ORDER, WHOLE)
    assert side.given_back() == [2000]


@pytest.mark.parametrize("mood", ["down", "silent", "forged"])
async def test_without_the_gateway_s_own_word_a_refund_is_not_done(side: Side, mood: str) -> None:
    side.mood(mood)
    with pytest.raises(GatewayUnavailable) as error:
        await side.engine.refund(ORDER, WHOLE)
    assert error.value.code == "gateway_unavailable" and error.value.retryable


async def test_a_refund_that_is_refused_is_told_apart(side: Side) -> None:
    side.mood("refuse")
    with pytest.raises(GatewayUnavailable, match="refund_refused"):
        await side.engine.refund(ORDER, WHOLE)
    assert side.given_back() == []


# --- WeChat Pay's own ------------------------------------------------------------------------------------------


@pytest.fixture
def peer() -> Iterator[WechatGateway]:
    made = WechatGateway()
    yield made
    made.close()


@pytest.mark.parametrize("mood", ["down", "silent", "forged", "refuse"])
async def test_no_code_is_shown_that_the_gateway_did_not_sign(peer: WechatGateway, mood: str) -> None:
    peer.mood = mood
    with pytest.raises(GatewayUnavailable):
        await peer.engine(timeout_s=0.5).begin(ORDER)


async def test_an_order_that_is_paid_already_is_asked_about_and_not_paid_twice(peer: WechatGateway) -> None:
    peer.mood = "paid already"
    assert await peer.engine().begin(ORDER) == Opened(trade_number="4200001", paid_at=PAID_AT)
    assert not peer.faults


@pytest.mark.parametrize(
    "headers",
    [
        {"at": wechat_gateway.NOW - 301},
        {"at": wechat_gateway.NOW + 301},
        {"key_id": "PUB_KEY_ID_2"},
    ],
)
def test_an_old_word_or_one_under_another_key_is_refused(peer: WechatGateway, headers: dict[str, Any]) -> None:
    body = notification(trade(ORDER.number, 2000))
    with pytest.raises(BadNotification):
        peer.engine().verify(body, wechat_gateway.signed(body, **headers))


@pytest.mark.parametrize(
    "told",
    [
        notification(trade(ORDER.number, 2000), api_key="f" * 32),
        notification(trade(ORDER.number, 2000, mchid="1900000002")),
        notification(trade(ORDER.number, 2000, amount={"total": 2000, "currency": "USD"})),
        notification(trade(ORDER.number, 2000, amount={"total": "2000"})),
    ],
)
def test_a_signed_word_that_is_not_about_our_money_is_refused(peer: WechatGateway, told: bytes) -> None:
    with pytest.raises(BadNotification):
        peer.engine().verify(told, wechat_gateway.signed(told))


def test_news_of_a_refund_settles_no_order(peer: WechatGateway) -> None:
    body = notification({"refund_status": "SUCCESS"}, event="REFUND.SUCCESS")
    assert peer.engine().verify(body, wechat_gateway.signed(body)) is None


@pytest.mark.parametrize("wrong", [{"api_key": "short"}, {"serial": ""}, {"private_key": "no key"}])
def test_an_engine_without_its_keys_does_not_start(peer: WechatGateway, wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        peer.engine(**wrong)


async def test_a_refund_that_the_bank_sent_back_is_refused(peer: WechatGateway) -> None:
    peer.mood = "abnormal"
    with pytest.raises(GatewayUnavailable, match="refund_refused"):
        await peer.engine().refund(ORDER, WHOLE)
    assert not peer.faults


async def test_an_order_that_ran_out_there_is_spent(peer: WechatGateway) -> None:
    peer.mood = "CLOSED"
    with pytest.raises(OrderSpent):
        await peer.engine().begin(ORDER)


async def test_an_order_begun_there_with_another_title_or_end_gets_another_number(peer: WechatGateway) -> None:
    await peer.engine().begin(ORDER)
    peer.mood = "waits"
    with pytest.raises(OrderSpent):
        await peer.engine().begin(replace(ORDER, title="检查费(更正)"))


async def test_a_gateway_that_is_asked_too_often_has_refused_nothing(peer: WechatGateway) -> None:
    peer.mood = "too often"
    with pytest.raises(GatewayUnavailable) as error:
        await peer.engine().refund(ORDER, WHOLE)
    assert error.value.code == "gateway_unavailable"
