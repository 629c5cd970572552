"""Money: the gateway's word is believed only when it is signed, about our order, and right; and it counts once."""

import base64
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.utils import timezone

from companion import answered, checks, paying, payment, visits
from companion.desks.visit import VisitDesk
from companion.exceptions import CompanionError, NotNow
from companion.journey import Payment
from companion.models import PaymentOrder, Visit
from companion.payment.alipay import AlipayPayment
from companion.payment.base import BadNotification, GatewayUnavailable, Opened, Order, Refund
from hospitals import tenancy, vault
from hospitals.audit import Actor
from hospitals.connectors.base import CommandKind, EventType, Invoice
from hospitals.models import OutboxCommand
from hospitals.services.settling import CommandAnswered
from tests.companion.bills import BILL, happened_meanwhile, payments, with_a_bill
from tests.companion.test_identity import GATEWAY, OURS, gateway, pem
from tests.companion.wechat_gateway import WechatGateway, notification, trade
from tests.companion.wechat_gateway import signed as signed_by_wechat

pytestmark = pytest.mark.django_db
E, State = EventType, PaymentOrder.State
SHE = Actor("resident", str(UUID(int=7)))
_PEM = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def line(parameters: dict[str, str]) -> bytes:
    return "&".join(f"{name}={value}" for name, value in sorted(parameters.items())).encode()


def signed(parameters: dict[str, str], key: rsa.RSAPrivateKey = GATEWAY) -> bytes:
    """A notification as the gateway sends it."""
    sign = base64.b64encode(key.sign(line(parameters), padding.PKCS1v15(), hashes.SHA256())).decode()
    return urlencode({**parameters, "sign_type": "RSA2", "sign": sign}).encode()


def engine(url: str = "https://gateway.example/do") -> AlipayPayment:
    return AlipayPayment(
        app_id="app-1",
        private_key=pem(OURS),
        gateway_public_key=GATEWAY.public_key().public_bytes(*_PEM).decode(),
        gateway_url=url,
        notify_url="https://ours.example/api/payment/alipay/",
        return_url="https://ours.example",
    )


@pytest.fixture()
def billed(visit: Visit, happens: Callable[..., None], settings: Any, monkeypatch: pytest.MonkeyPatch) -> Visit:
    """Her visit has a bill, and Alipay is set up."""
    with_a_bill(visit, happens)
    settings.PAYMENT = "alipay"
    made = engine()
    monkeypatch.setattr(payment, "backend", lambda name: made)
    return visit


def begin(visit: Visit, bill: Invoice = BILL) -> Opened:
    """What she is shown of a bill that nothing happens to meanwhile."""
    begun = paying.begin(visit, bill)
    shown = paying.finish(begun, async_to_sync(paying.at_gateway)(begun), Payment(bill, "issued"), SHE)
    assert shown is not None
    return shown


def told(visit: Visit, **changes: str) -> dict[str, str]:
    order = PaymentOrder.objects.filter(visit=visit).latest("created_at")
    return {
        "app_id": "app-1",
        "out_trade_no": order.id.hex,
        "trade_no": "2026112922001",
        "total_amount": "20.00",
        "trade_status": "TRADE_SUCCESS",
        "subject": "检查费 & 验光",
        "gmt_payment": "2026-11-29 23:59:30",
        **changes,
    }


class TestTheOrder:
    def test_it_is_signed_over_the_sorted_parameters_and_says_what_is_to_be_paid(self, billed: Visit) -> None:
        opened = begin(billed)
        asked = dict(parse_qsl(urlsplit(opened.pay_at).query))
        signature = base64.b64decode(asked.pop("sign"))
        OURS.public_key().verify(signature, line(asked), padding.PKCS1v15(), hashes.SHA256())
        content = json.loads(asked["biz_content"])
        assert (content["total_amount"], content["subject"], asked["app_id"]) == ("20.00", "检查费", "app-1")
        assert asked["notify_url"] == "https://ours.example/api/payment/alipay/"
        assert payments(billed) == [], "nothing is paid yet"

    def test_the_same_bill_is_the_same_order_so_its_money_is_taken_once(self, billed: Visit) -> None:
        first, second = begin(billed), begin(billed)
        assert first.pay_at and second.pay_at and PaymentOrder.objects.count() == 1

    def test_a_bill_that_changed_is_another_order_and_the_first_is_closed_when_the_gateway_answers(
        self, billed: Visit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin(billed)
        closed: list[int] = []
        answers: list[CompanionError | None] = [GatewayUnavailable(), None]

        async def close(self: AlipayPayment, order: Order) -> None:
            closed.append(order.amount_fen)
            if (refusal := answers.pop(0)) is not None:
                raise refusal

        monkeypatch.setattr(AlipayPayment, "close", close)
        assert begin(billed, replace(BILL, self_pay_fen=1500)).pay_at and closed == []
        assert paying.close_due() == 0
        assert set(PaymentOrder.objects.values_list("amount_fen", "state")) == {(2000, "close_due"), (1500, "begun")}
        assert (paying.close_due(), paying.close_due(), closed) == (1, 0, [2000, 2000])
        assert set(PaymentOrder.objects.values_list("amount_fen", "state")) == {(2000, "closed"), (1500, "begun")}

    def test_another_gateway_is_another_order_while_nothing_is_paid(self, billed: Visit, settings: Any) -> None:
        begin(billed)
        settings.PAYMENT = "wechat"
        begin(billed)
        assert set(PaymentOrder.objects.values_list("engine", "state")) == {
            ("alipay", "close_due"),
            ("wechat", "begun"),
        }
        PaymentOrder.objects.filter(engine="wechat").update(state=State.PAID, trade_number="t-1")
        settings.PAYMENT = ""
        assert paying.begin(billed, BILL).paid, "her money is here, whoever takes it now"

    def test_what_was_paid_for_another_sum_of_the_bill_goes_back_and_is_not_told(self, billed: Visit) -> None:
        before = paying.begin(billed, BILL)
        PaymentOrder.objects.update(state=State.PAID, trade_number="t-1")
        more = replace(BILL, self_pay_fen=3000)
        assert paying.finish(replace(before, paid=True), Opened(), Payment(more, "issued"), SHE) is None
        assert not paying.begin(billed, more).paid and payments(billed) == []
        assert set(PaymentOrder.objects.values_list("amount_fen", "state")) == {(2000, "refund_due"), (3000, "begun")}

    def test_an_order_that_the_gateway_will_not_close_is_not_asked_about_for_ever(
        self, billed: Visit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def close(self: AlipayPayment, order: Order) -> None:
            raise GatewayUnavailable(code="close_refused")

        monkeypatch.setattr(AlipayPayment, "close", close)
        begin(billed)
        PaymentOrder.objects.update(state=State.CLOSE_DUE)
        assert (paying.close_due(), paying.close_due()) == (1, 0)
        assert PaymentOrder.objects.get().state == State.RUNS_OUT, "from now on it is only asked about"
        paying.on_notification("alipay", signed(told(billed)), {})
        assert PaymentOrder.objects.get().state == State.REFUND_DUE, "it had been paid"

    @pytest.mark.parametrize("name", ["alipay", ""])
    def test_a_bill_that_insurance_bears_whole_is_told_to_the_hospital_and_no_gateway_is_asked(
        self, billed: Visit, settings: Any, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        settings.PAYMENT = name
        monkeypatch.setattr(payment, "backend", lambda name: pytest.fail("no gateway takes nothing"))
        free = replace(BILL, insurance_fen=5000, self_pay_fen=0)
        for _ in range(2):
            assert begin(billed, free).trade_number
        with tenancy.scope(billed.hospital_id):
            row = OutboxCommand.objects.get(kind="pay")
            assert (row.data["amount_fen"], row.data["gateway"]) == (0, "")
            OutboxCommand.objects.update(state="refused")
        answer = CommandAnswered(row.id, billed.hospital_id, billed.id, CommandKind.PAY, "refused", "不行", row.data)
        answered.on_command_answered(answer)
        assert PaymentOrder.objects.get().state == State.CLOSED and paying.refund_due() == 0
        assert visits.journey_of(billed).payments[0].refused == "不行", "of no money it is said that it goes back"

    def test_without_an_engine_she_is_sent_to_the_window(self, billed: Visit, settings: Any) -> None:
        settings.PAYMENT = ""
        with pytest.raises(NotNow) as caught:
            begin(billed)
        assert caught.value.code == "pay_at_window" and "窗口" in caught.value.detail
        assert not PaymentOrder.objects.exists()


class TestTheGatewaysWord:
    def test_paid_once_the_hospital_gets_the_gateway_s_trade_number_however_often_it_is_told(
        self, billed: Visit, client: Any
    ) -> None:
        begin(billed)
        body = signed(told(billed))
        for _ in range(3):
            answer = client.post("/api/payment/alipay/", body, content_type="application/x-www-form-urlencoded")
            assert (answer.status_code, answer.content) == (200, b"success")
        assert payments(billed) == [("i1", "2026112922001")]
        assert [p.state for p in visits.journey_of(billed).payments] == ["sent"]
        assert PaymentOrder.objects.get().state == State.PAID

    def test_the_hospital_is_told_what_was_paid_when_by_whom_and_under_which_numbers(self, billed: Visit) -> None:
        begin(billed)
        paying.on_notification("alipay", signed(told(billed)), {})
        with tenancy.scope(billed.hospital_id):
            assert OutboxCommand.objects.get(kind="pay").data == {
                "invoice_id": "i1",
                "receipt": "2026112922001",
                "amount_fen": 2000,
                "currency": "CNY",
                "order_number": PaymentOrder.objects.get().id.hex,
                "gateway": "alipay",
                "paid_at": "2026-11-29T23:59:30+08:00",
            }

    @pytest.mark.parametrize("at", ["", "yesterday"])
    def test_a_gateway_that_tells_no_time_was_paid_just_now(self, billed: Visit, at: str) -> None:
        begin(billed)
        paying.on_notification("alipay", signed(told(billed, gmt_payment=at)), {})
        order = PaymentOrder.objects.get()
        assert order.paid_at and abs(order.paid_at - order.changed_at) < timedelta(minutes=1)

    @pytest.mark.parametrize(
        "change",
        [
            {"total_amount": "0.01"},
            {"total_amount": "20.001"},
            {"total_amount": "NaN"},
            {"total_amount": "2E+99999999"},
            {"app_id": "app-2"},
            {"out_trade_no": "0" * 32},
            {"out_trade_no": "nobody"},
        ],
    )
    def test_what_is_not_our_order_is_refused_and_nothing_is_paid(
        self, billed: Visit, client: Any, change: dict[str, str]
    ) -> None:
        begin(billed)
        answer = client.post(
            "/api/payment/alipay/", signed(told(billed, **change)), content_type="application/x-www-form-urlencoded"
        )
        assert (answer.status_code, answer.content) == (400, b"failure")
        assert payments(billed) == [] and PaymentOrder.objects.get().state == State.BEGUN

    def test_a_signature_that_is_not_the_gateway_s_or_for_something_else_is_refused(self, billed: Visit) -> None:
        begin(billed)
        good = signed(told(billed))
        doubled = good + b"&total_amount=20.00"
        for body in (
            signed(told(billed), STRANGER),
            good.replace(b"22001", b"22002"),
            doubled,
            b"",
            b"\xff",
            b"sign=x",
        ):
            with pytest.raises(BadNotification):
                paying.on_notification("alipay", body, {})
        assert payments(billed) == []

    def test_one_that_waits_for_the_buyer_settles_nothing_and_a_closed_one_takes_no_money(self, billed: Visit) -> None:
        begin(billed)
        paying.on_notification("alipay", signed(told(billed, trade_status="WAIT_BUYER_PAY")), {})
        assert PaymentOrder.objects.get().state == State.BEGUN
        paying.on_notification("alipay", signed(told(billed, trade_status="TRADE_CLOSED")), {})
        assert PaymentOrder.objects.get().state == State.CLOSED and payments(billed) == []

    @pytest.mark.parametrize("meanwhile", [E.INVOICE_PAID, E.INVOICE_CANCELLED])
    def test_money_that_comes_late_goes_back(self, billed: Visit, meanwhile: EventType) -> None:
        begin(billed)
        happened_meanwhile(billed, meanwhile)
        paying.on_notification("alipay", signed(told(billed)), {})
        assert payments(billed) == [] and PaymentOrder.objects.get().state == State.REFUND_DUE

    def test_money_for_a_sum_that_the_bill_no_longer_has_goes_back(self, billed: Visit) -> None:
        begin(billed)
        changed = asdict(replace(BILL, self_pay_fen=3000, insurance_fen=2000))
        happened_meanwhile(billed, E.INVOICE_ISSUED, changed)
        paying.on_notification("alipay", signed(told(billed)), {})
        assert payments(billed) == [] and PaymentOrder.objects.get().state == State.REFUND_DUE

    def test_money_for_a_hospital_that_took_its_keys_along_goes_back(self, billed: Visit) -> None:
        begin(billed)
        vault.erase("hospital", billed.hospital_id)
        vault.forget()
        paying.on_notification("alipay", signed(told(billed)), {})
        assert PaymentOrder.objects.get().state == State.REFUND_DUE

    @pytest.mark.parametrize("where", ["alipay", "wechat", "sandbox", "pigeon"])
    def test_a_stranger_s_word_for_an_engine_without_its_keys_is_refused(self, client: Any, where: str) -> None:
        answer = client.post(f"/api/payment/{where}/", b"{}", content_type="application/json")
        assert (answer.status_code, answer.content) == (400, b"failure")


@pytest.mark.django_db(transaction=True)
def test_a_code_to_scan_is_shown_and_what_wechat_tells_in_its_headers_is_believed(
    billed: Visit, client: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = WechatGateway()
    made = peer.engine()
    monkeypatch.setattr(payment, "backend", lambda name: made)
    settings.PAYMENT = "wechat"
    desk = VisitDesk(billed.resident_id, billed.patient_id, billed.resident_id)
    shown = async_to_sync(desk.pay)(visit_id=str(billed.id), invoice_id="i1", key="k")
    assert shown.pay_code.startswith("data:image/svg+xml;base64,") and (shown.pay_at, shown.status) == ("", "issued")
    body = notification(trade(PaymentOrder.objects.get().id.hex, 2000))
    for headers, answer in (({}, b"failure"), (signed_by_wechat(body), b"success")):
        told = client.post("/api/payment/wechat/", body, content_type="application/json", headers=headers)
        assert told.content == answer
    assert payments(billed) == [("i1", "4200001")] and PaymentOrder.objects.get().state == State.PAID
    peer.close()


class TestRefunds:
    @pytest.fixture()
    def refused(self, billed: Visit) -> Visit:
        """Paid, and the hospital will not have it."""
        begin(billed)
        paying.on_notification("alipay", signed(told(billed)), {})
        with tenancy.scope(billed.hospital_id):
            row = OutboxCommand.objects.get(kind="pay")
            OutboxCommand.objects.update(state="refused")
        answered.on_command_answered(
            CommandAnswered(row.id, billed.hospital_id, billed.id, CommandKind.PAY, "refused", "已在窗口缴过", row.data)
        )
        return billed

    def test_what_the_hospital_refuses_goes_back_and_the_bill_can_be_paid_again(
        self, refused: Visit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (part,) = visits.journey_of(refused).payments
        assert (part.state, part.refused) == ("issued", "已在窗口缴过。已付的钱会原路退回")

        def answer(asked: dict[str, str]) -> tuple[int, bytes]:
            OURS.public_key().verify(
                base64.b64decode(asked.pop("sign")), line(asked), padding.PKCS1v15(), hashes.SHA256()
            )
            content = json.loads(asked["biz_content"])
            code = "10000" if content["refund_amount"] == "20.00" else "40004"
            node = json.dumps({"code": code, "fund_change": "Y"}).encode()
            sign = base64.b64encode(GATEWAY.sign(node, padding.PKCS1v15(), hashes.SHA256())).decode()
            return 200, b'{"alipay_trade_refund_response":' + node + b',"sign":"' + sign.encode() + b'"}'

        with gateway(answer) as url:
            monkeypatch.setattr(payment, "backend", lambda name: engine(url))
            assert paying.refund_due() == 1
            assert paying.refund_due() == 0, "once"
        assert PaymentOrder.objects.get().state == State.REFUNDED
        begin(refused)
        assert PaymentOrder.objects.count() == 2

    def test_a_no_to_an_earlier_payment_gives_no_later_one_back(self, refused: Visit) -> None:
        with tenancy.scope(refused.hospital_id):
            first = OutboxCommand.objects.get(kind="pay")
        PaymentOrder.objects.update(state=State.REFUNDED)
        begin(refused)
        second = PaymentOrder.objects.get(state=State.BEGUN)
        paying.on_notification("alipay", signed(told(refused, trade_no="2")), {})
        answer = CommandAnswered(first.id, refused.hospital_id, refused.id, CommandKind.PAY, "refused", "", first.data)
        answered.on_command_answered(answer)
        assert PaymentOrder.objects.get(id=second.id).state == State.PAID

    def test_it_waits_until_the_gateway_says_in_its_own_hand_that_it_is_done(
        self, refused: Visit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        forged = b'{"alipay_trade_refund_response":{"code":"10000"},"sign":"AAAA"}'
        for answer in ((500, b""), (200, forged)):
            with gateway(lambda asked, answer=answer: answer) as url:  # type: ignore[misc]
                with pytest.raises(GatewayUnavailable):
                    async_to_sync(engine(url).refund)(Order("n", "检查费", 2000, timezone.now()), Refund("r", 2000, ""))
                monkeypatch.setattr(payment, "backend", lambda name, url=url: engine(url))
                assert paying.refund_due() == 0
        assert PaymentOrder.objects.get().state == State.REFUND_DUE


class TestSettings:
    def ids(self) -> list[str]:
        payment.backend.cache_clear()
        return [message.id for message in checks.payment_makes_sense(None)]

    def test_the_demo_pays_with_invented_money_and_production_does_not(self, settings: Any) -> None:
        assert self.ids() == []
        settings.MODE = "production"
        assert self.ids() == ["companion.E012"]
        settings.PAYMENT = ""
        assert self.ids() == ["companion.W003"]

    @pytest.mark.parametrize("name", ["alipay", "wechat", "pigeon"])
    def test_an_engine_that_does_not_start_is_named(self, settings: Any, name: str) -> None:
        settings.PAYMENT = name
        assert self.ids() == ["companion.E011"]
