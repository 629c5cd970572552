"""Money that waits for a person: it goes back or stays by somebody's word, once, and she is told the truth meanwhile and afterwards."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from companion import looks, paying, payment, visits, waiting_money
from companion.exceptions import NotNow
from companion.models import PaymentOrder, Visit
from companion.payment.base import Refund
from hospitals import vault
from hospitals.audit import Actor
from hospitals.connectors.base import EventType, Reference
from hospitals.models import AuditEvent
from hospitals.services import outbox, payments
from tests.companion.bills import BILL
from tests.companion.held_money import answered, command, given_up, hears, paid_online
from tests.companion.test_payment_due import Gateway

pytestmark = [pytest.mark.django_db, pytest.mark.services]
E, State = EventType, PaymentOrder.State
STAFF = Actor("commission", "officer")
THIS_BILL = Reference(BILL.id)
WHY = "财务科答复没有收到"


@pytest.fixture()
def gateway(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    made = Gateway()
    settings.PAYMENT = "alipay"
    monkeypatch.setattr(payment, "backend", lambda name: made)
    return made


@pytest.fixture()
def paid(visit: Visit, happens: Callable[..., None], gateway: Gateway) -> PaymentOrder:
    order = paid_online(visit, happens)
    hears(visit)
    return order


@pytest.fixture()
def held(paid: PaymentOrder) -> PaymentOrder:
    return given_up(paid)


def give_back(order: PaymentOrder, **more: Any) -> None:
    waiting_money.give_back(order_id=order.id, actor=STAFF, reason=WHY, **more)


def part(order: PaymentOrder, amount_fen: int) -> None:
    waiting_money.give_back_part(order_id=order.id, amount_fen=amount_fen, actor=STAFF, reason="医院退验光费")


def state(order: PaymentOrder) -> str:
    order.refresh_from_db()
    return order.state


def bill(order: PaymentOrder) -> Any:
    return visits.journey_of(order.visit).payments[0]


class TestAHospitalThatNeverAnswered:
    def test_the_money_waits_for_a_person_and_she_is_told_where_it_is(self, held: PaymentOrder) -> None:
        assert (held.state, held.waits_because) == ("paid", "unanswered") and held.waits_since
        said = hears(held.visit)
        assert "您付的钱没有丢,工作人员会和医院核对:没有入账就原路退回" in said and "请不要重复付款" in said
        assert "等医院确认" not in said and bill(held).state == "sent", "nothing asks her to pay it again"

    def test_it_waits_also_where_what_the_command_said_can_no_longer_be_read(self, paid: PaymentOrder) -> None:
        given_up(paid, data=vault.Ciphertext(bytes(60)))
        assert paid.waits_because == "unanswered" and "检查费的缴费还没有送到医院" in hears(paid.visit)

    def test_it_goes_back_whole_by_a_person_s_word_and_she_is_told_when_it_has(
        self, held: PaymentOrder, gateway: Gateway
    ) -> None:
        hears(held.visit)
        give_back(held)
        assert state(held) == "refund_due" and held.waits_since is None
        assert "没有缴成:医院没有收到这笔缴费。已付的钱会原路退回" in hears(held.visit)
        assert (paying.refund_due(), paying.refund_due()) == (1, 0)
        assert gateway.refunds == [Refund(f"{held.id.hex}-refund", 2000, "医院没有收这笔费用")]
        assert (state(held), held.refunded_fen) == ("refunded", 2000)
        assert hears(held.visit).startswith("检查费:20元已经原路退回。") and hears(held.visit) == ""

    def test_who_gave_it_back_and_why_is_on_record_once_however_often_it_is_clicked(self, held: PaymentOrder) -> None:
        give_back(held)
        for again in (give_back, lambda order: part(order, 100)):
            with pytest.raises(NotNow):
                again(held)
        seen = AuditEvent.objects.get(action="payment.refund")
        assert (seen.actor, seen.why, seen.detail) == ("officer", WHY, "2000 fen")
        assert (seen.hospital_id, seen.subject) == (held.visit.hospital_id, held.visit.patient_id)
        assert state(held) == "refund_due" and held.refund_fen == 0
        shown = [(looks.who(one), looks.what(one), one.why) for one in looks.about_her(held.visit.resident_id)]
        assert ("卫生健康委工作人员", "把线上缴费退给您(第one医院)", WHY) in shown, "and she can read it"

    def test_the_money_of_somebody_who_was_erased_goes_back_all_the_same(self, held: PaymentOrder) -> None:
        vault.erase("resident", held.visit.resident_id)
        vault.forget()
        give_back(held)
        assert paying.refund_due() == 1 and state(held) == "refunded"

    def test_what_is_given_back_is_never_sent_to_the_hospital_again(self, held: PaymentOrder) -> None:
        give_back(held)
        row = command(held)
        assert (row.state, row.reason) == ("refused", payments.BY_HAND)
        assert not outbox.replay(held.visit.hospital_id, row.id, actor=STAFF)

    def test_a_gateway_that_fails_is_asked_again_for_the_same_refund(
        self, held: PaymentOrder, gateway: Gateway
    ) -> None:
        give_back(held)
        gateway.refuses = {held.id.hex: "gateway_unavailable"}
        assert paying.refund_due() == 0 and state(held) == "refund_due"
        assert "退回。到账" not in hears(held.visit)
        gateway.refuses = {}
        assert paying.refund_due() == 1 and state(held) == "refunded"
        assert len({refund.number for refund in gateway.refunds}) == 1

    def test_afterwards_the_bill_can_be_paid_again(self, held: PaymentOrder) -> None:
        give_back(held)
        assert not paying.begin(held.visit, BILL).paid
        assert PaymentOrder.objects.filter(state="begun").count() == 1

    def test_what_the_hospital_acknowledged_after_all_waits_for_nobody_and_does_not_go_back(
        self, held: PaymentOrder
    ) -> None:
        assert outbox.replay(held.visit.hospital_id, command(held).id, actor=STAFF)
        with pytest.raises(NotNow, match="payment_acknowledged"):
            give_back(held)
        assert command(held).state == "waiting", "it is on its way there"
        answered(held, "accepted")
        assert held.waits_since is None
        with pytest.raises(NotNow, match="payment_acknowledged"):
            give_back(held)
        assert state(held) == "paid" and not AuditEvent.objects.filter(action="payment.refund").exists()

    def test_the_rest_is_undone_where_the_order_does_not_wait(self, held: PaymentOrder) -> None:
        PaymentOrder.objects.update(waits_because="", waits_since=None)
        with pytest.raises(NotNow, match="not_waiting"):
            give_back(held)
        assert command(held).state == "given_up" and state(held) == "paid"

    def test_a_bill_that_the_hospital_calls_paid_needs_somebody_who_asked_whether_she_paid_twice(
        self, held: PaymentOrder, happens: Callable[..., None]
    ) -> None:
        happens(E.INVOICE_PAID, THIS_BILL, sequence=50)
        with pytest.raises(NotNow, match="paid_there"):
            give_back(held)
        assert command(held).state == "given_up" and state(held) == "paid"
        hears(held.visit)
        give_back(held, paid_elsewhere=True)
        assert paying.refund_due() == 1 and "20元已经原路退回" in hears(held.visit)
        assert bill(held).state == "paid"

    def test_it_stays_where_the_hospital_has_it_and_the_bill_is_paid(self, held: PaymentOrder) -> None:
        hears(held.visit)
        waiting_money.arrived(order_id=held.id, actor=STAFF, reason="财务科答复已入账")
        assert state(held) == "paid" and held.waits_since is None
        assert bill(held).state == "paid" and "医院已经入账,不用再缴" in hears(held.visit)
        assert AuditEvent.objects.get(action="payment.arrived").why == "财务科答复已入账"
        for again in (
            lambda: give_back(held),
            lambda: waiting_money.arrived(order_id=held.id, actor=STAFF, reason="x"),
        ):
            with pytest.raises(NotNow):
                again()
        row = command(held)
        assert row.state == "accepted" and not outbox.replay(held.visit.hospital_id, row.id, actor=STAFF)

    def test_a_bill_of_nothing_waits_for_nobody(self, visit: Visit, happens: Callable[..., None], gateway: Any) -> None:
        order = paid_online(visit, happens)
        PaymentOrder.objects.update(amount_fen=0)
        assert given_up(order).waits_since is None and "没有丢" not in hears(visit)


class TestAPart:
    @pytest.fixture()
    def taken(self, paid: PaymentOrder) -> PaymentOrder:
        """The hospital has answered that it has the money."""
        answered(paid, "accepted")
        return paid

    def test_parts_go_back_one_after_the_other_each_with_its_own_number(
        self, taken: PaymentOrder, gateway: Gateway
    ) -> None:
        part(taken, 500)
        with pytest.raises(NotNow, match="not_waiting"):
            part(taken, 500)
        assert paying.refund_due() == 1 and "5元已经原路退回" in hears(taken.visit)
        part(taken, 1500)
        assert paying.refund_due() == 1 and "15元已经原路退回" in hears(taken.visit)
        number = f"{taken.id.hex}-refund"
        assert [(one.number, one.amount_fen) for one in gateway.refunds] == [(number, 500), (f"{number}-2", 1500)]
        assert (state(taken), taken.refunded_fen, taken.refunds) == ("refunded", 2000, 2)

    @pytest.mark.parametrize("amount_fen", [0, -1, 1501])
    def test_no_more_than_is_left_goes_back(self, taken: PaymentOrder, amount_fen: int) -> None:
        part(taken, 500)
        paying.refund_due()
        with pytest.raises(NotNow, match="more_than_left"):
            part(taken, amount_fen)
        assert state(taken) == "refunded"

    def test_the_database_holds_that_too(self, taken: PaymentOrder) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            PaymentOrder.objects.update(refunded_fen=1500, refund_fen=501)

    def test_of_a_payment_that_the_hospital_did_not_acknowledge_no_part_goes_back(self, held: PaymentOrder) -> None:
        with pytest.raises(NotNow, match="not_acknowledged"):
            part(held, 500)

    def test_a_refund_whose_answer_was_lost_moves_money_once(self, taken: PaymentOrder, gateway: Gateway) -> None:
        part(taken, 500)
        gateway.refuses = {taken.id.hex: "gateway_unavailable"}  # it was done there all the same
        paying.refund_due()
        gateway.refuses = {}
        paying.refund_due()
        assert {(one.number, one.amount_fen) for one in gateway.refunds} == {(f"{taken.id.hex}-refund", 500)}
        assert taken.visit.payment_orders.get().refunded_fen == 500


class TestABillThatChangedAfterItWasPaid:
    @pytest.fixture()
    def taken(self, paid: PaymentOrder) -> PaymentOrder:
        answered(paid, "accepted")
        return paid

    def test_one_that_became_less_waits_for_a_person_and_she_hears_by_how_much(
        self, taken: PaymentOrder, happens: Callable[..., None]
    ) -> None:
        happens(E.INVOICE_PAID, THIS_BILL, sequence=40)
        hears(taken.visit)
        happens(E.INVOICE_ISSUED, replace(BILL, self_pay_fen=1500, insurance_fen=3500), sequence=50)
        taken.refresh_from_db()
        assert (taken.state, taken.waits_because, waiting_money.too_much_fen(taken)) == ("paid", "lowered", 500)
        assert "您多付了5元。工作人员正在和医院核对怎么退" in hears(taken.visit)
        part(taken, 500)
        assert paying.refund_due() == 1 and "5元已经原路退回" in hears(taken.visit)
        assert taken.visit.payment_orders.get().waits_since is None

    def test_one_that_was_withdrawn_is_not_told_as_one_that_needs_no_payment(
        self, taken: PaymentOrder, happens: Callable[..., None]
    ) -> None:
        happens(E.INVOICE_CANCELLED, THIS_BILL, sequence=50)
        said = hears(taken.visit)
        assert "您多付了20元" in said and "不用缴了" not in said
        waiting_money.keep(order_id=taken.id, actor=STAFF, reason="医院已在窗口退现金")
        assert state(taken) == "paid" and taken.waits_since is None
        with pytest.raises(NotNow, match="not_waiting"):
            waiting_money.keep(order_id=taken.id, actor=STAFF, reason="医院已在窗口退现金")

    @pytest.mark.parametrize("self_pay_fen", [2000, 2500])
    def test_one_that_asks_for_as_much_or_more_waits_for_nobody(
        self, taken: PaymentOrder, happens: Callable[..., None], self_pay_fen: int
    ) -> None:
        happens(E.INVOICE_ISSUED, replace(BILL, self_pay_fen=self_pay_fen), sequence=50)
        taken.refresh_from_db()
        assert taken.waits_since is None

    def test_an_older_word_that_comes_late_changes_nothing(
        self, taken: PaymentOrder, happens: Callable[..., None]
    ) -> None:
        happens(E.INVOICE_ISSUED, replace(BILL, self_pay_fen=1500), sequence=-1)
        taken.refresh_from_db()
        assert taken.waits_since is None

    def test_a_no_of_the_hospital_gives_all_of_it_back_and_it_waits_for_nobody(
        self, paid: PaymentOrder, happens: Callable[..., None]
    ) -> None:
        happens(E.INVOICE_ISSUED, replace(BILL, self_pay_fen=1500), sequence=50)
        answered(paid, "refused", "金额不符")
        assert (paid.state, paid.waits_since) == ("refund_due", None)
