"""Orders to be asked about, money that is to go back, orders to be closed: each gets its turn, whatever the others' gateways say."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from companion import paying, payment
from companion.models import Incident, PaymentOrder, Visit, VisitEvent
from companion.payment.base import GatewayUnavailable, Order, OrderPaid, Refund, Settled
from companion.payment.sandbox import SandboxPayment
from hospitals import vault
from hospitals.connectors.base import EventType
from tests.companion.bills import BILL, happened_meanwhile, payments, with_a_bill

pytestmark = pytest.mark.django_db
State = PaymentOrder.State
AskFor = Callable[[], int]


class Gateway(SandboxPayment):
    """``refuses``: what it says of these orders; ``asked``: the orders that came, in their order; ``refunds``; ``settled``: what became of one
    that it is asked about, if anything did."""

    def __init__(self) -> None:
        self.refuses, self.asked, self.refunds = dict[str, str](), list[str](), list[Refund]()
        self.settled: Callable[[Order], Settled | None] = lambda order: Settled(
            order.number, "", order.amount_fen, False
        )

    async def refund(self, order: Order, refund: Refund) -> None:
        self.refunds.append(refund)
        await self.close(order)

    async def query(self, order: Order) -> Settled | None:
        await self.close(order)
        return self.settled(order)

    async def close(self, order: Order) -> None:
        self.asked.append(order.number)
        if code := self.refuses.get(order.number):
            raise GatewayUnavailable(code=code)


@pytest.fixture()
def gateways(monkeypatch: pytest.MonkeyPatch) -> dict[str, Gateway]:
    made = {"alipay": Gateway(), "wechat": Gateway()}
    monkeypatch.setattr(payment, "backend", lambda name: made[name])
    return made


@pytest.fixture(
    params=[
        (paying.refund_due, State.REFUND_DUE),
        (paying.close_due, State.CLOSE_DUE),
        (paying.ask_about_begun, State.BEGUN),
    ],
    ids=["refund", "close", "query"],
)
def due(request: pytest.FixtureRequest, visit: Visit) -> tuple[AskFor, Callable[..., list[str]]]:
    """What asks for it, and what puts down so many orders, the longest waiting first; gives their numbers."""
    ask, state = request.param

    def orders(count: int, engine: str = "alipay") -> list[str]:
        about = {"visit": visit, "amount_fen": 2000, "engine": engine, "state": state}
        rows = [PaymentOrder.objects.create(invoice_id=f"{engine}-{n}", **about) for n in range(count)]
        for number, row in enumerate(rows):
            PaymentOrder.objects.filter(id=row.id).update(changed_at=timezone.now() - timedelta(hours=count - number))
        return [row.id.hex for row in rows]

    return ask, orders


def test_orders_that_are_asked_in_vain_do_not_keep_others_from_their_turn(
    due: Any, gateways: dict[str, Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, orders = due
    monkeypatch.setattr(paying, "IN_ONE_RUN", 2)
    poor, other, good = orders(3)
    gateways["alipay"].refuses = {poor: "refund_processing", other: "refund_processing"}
    assert [ask(), ask()] == [0, 1]
    again = [] if ask is paying.ask_about_begun else [poor]  # one is left alone for as long as it has stood
    assert gateways["alipay"].asked == [poor, other, good, *again]


def test_an_order_at_which_a_run_breaks_off_is_behind_the_others_in_the_next(
    due: Any, gateways: dict[str, Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, orders = due
    poison, good = orders(2)

    async def close(order: Order) -> None:
        if order.number == poison:
            raise ZeroDivisionError
        gateways["alipay"].asked.append(order.number)

    monkeypatch.setattr(gateways["alipay"], "close", close)
    with pytest.raises(ZeroDivisionError):
        ask()
    with suppress(ZeroDivisionError):  # behind the other, or not due again yet
        ask()
    assert gateways["alipay"].asked == [good]


def test_a_gateway_that_is_silent_is_waited_for_once_a_run_and_another_s_orders_go_on(
    due: Any, gateways: dict[str, Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, orders = due
    monkeypatch.setattr(paying, "IN_ONE_RUN", 2)
    silent, others = orders(3), orders(2, "wechat")
    gateways["alipay"].refuses = dict.fromkeys(silent, "gateway_unavailable")
    assert ask() == 2 and gateways["wechat"].asked == others
    assert ask() == 0 and gateways["alipay"].asked == silent[:2]


def test_an_engine_that_lost_its_keys_stops_nobody_else_s(due: Any) -> None:
    ask, orders = due
    orders(1, "alipay"), orders(1, "sandbox")
    assert [ask(), ask()] == [1, 0]
    assert PaymentOrder.objects.get(engine="alipay").state in (State.REFUND_DUE, State.CLOSE_DUE, State.BEGUN)


def test_money_that_the_gateway_never_told_of_goes_back_when_its_order_is_to_be_closed(
    visit: Visit, gateways: dict[str, Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def close(order: Order) -> None:
        raise OrderPaid("4200001")

    monkeypatch.setattr(gateways["alipay"], "close", close)
    about = {"visit": visit, "invoice_id": "i1", "amount_fen": 2000, "engine": "alipay", "state": State.CLOSE_DUE}
    PaymentOrder.objects.create(**about)
    assert (paying.close_due(), paying.close_due()) == (1, 0)
    assert PaymentOrder.objects.values_list("state", "trade_number").get() == ("refund_due", "4200001")


@pytest.mark.parametrize("code", ["refund_refused", "engine_unusable"])
def test_a_refund_that_no_waiting_mends_is_an_incident_once_and_tried_again(
    visit: Visit, gateways: dict[str, Gateway], code: str
) -> None:
    about = {"visit": visit, "invoice_id": "i1", "amount_fen": 2000, "engine": "alipay", "state": State.REFUND_DUE}
    row = PaymentOrder.objects.create(**about)
    gateways["alipay"].refuses = {row.id.hex: code}
    assert [paying.refund_due(), paying.refund_due()] == [0, 0]
    incident = Incident.objects.get()
    assert (incident.kind, incident.codes) == ("undelivered", [f"refund:{row.id}"])
    row.refresh_from_db()
    assert row.waits_because == "refund" and row.waits_since
    gateways["alipay"].refuses = {}
    assert paying.refund_due() == 1
    row.refresh_from_db()
    assert row.waits_since is None


def test_money_that_is_on_its_way_back_is_nobody_s_to_look_at(visit: Visit, gateways: dict[str, Gateway]) -> None:
    about = {"visit": visit, "invoice_id": "i1", "amount_fen": 2000, "engine": "alipay", "state": State.REFUND_DUE}
    row = PaymentOrder.objects.create(**about)
    gateways["alipay"].refuses = {row.id.hex: "refund_processing"}
    assert paying.refund_due() == 0 and not Incident.objects.exists()
    assert PaymentOrder.objects.get().state == State.REFUND_DUE


# --- orders of which nothing is heard ------------------------------------------------------------------------


@pytest.fixture()
def begun(visit: Visit, happens: Callable[..., None]) -> PaymentOrder:
    """She opened the pay page four minutes ago, and nothing more was heard."""
    with_a_bill(visit, happens)
    row = PaymentOrder.objects.create(visit=visit, invoice_id=BILL.id, amount_fen=BILL.self_pay_fen, engine="alipay")
    begun_before(row, minutes=4)
    return row


def begun_before(row: PaymentOrder, *, asked_min: float | None = None, **ago: float) -> None:
    at = timezone.now() - timedelta(**ago)
    asked = at if asked_min is None else timezone.now() - timedelta(minutes=asked_min)
    PaymentOrder.objects.filter(id=row.id).update(created_at=at, changed_at=asked)


def pays(order: Order) -> Settled:
    return Settled(order.number, "4200001", order.amount_fen, True, timezone.now() - timedelta(minutes=3))


def test_a_payment_whose_notification_was_lost_is_found_and_told_to_the_hospital_once(
    begun: PaymentOrder, gateways: dict[str, Gateway]
) -> None:
    gateways["alipay"].settled = pays
    assert (paying.ask_about_begun(), paying.ask_about_begun()) == (1, 0)
    assert payments(begun.visit) == [("i1", "4200001")] and gateways["alipay"].asked == [begun.id.hex]
    begun.refresh_from_db()
    assert begun.state == State.PAID and begun.paid_at and begun.paid_at < begun.changed_at, (
        "when it was paid, not found"
    )


def test_what_is_found_when_the_bill_waits_no_more_goes_back(begun: PaymentOrder, gateways: dict[str, Gateway]) -> None:
    happened_meanwhile(begun.visit, EventType.INVOICE_PAID)
    gateways["alipay"].settled = pays
    assert paying.ask_about_begun() == 1
    assert PaymentOrder.objects.values_list("state", "trade_number").get() == ("refund_due", "4200001")
    assert payments(begun.visit) == []


def test_a_notification_that_comes_while_the_gateway_is_asked_counts_once(
    begun: PaymentOrder, gateways: dict[str, Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    order, heard = Order(begun.id.hex, "", BILL.self_pay_fen, timezone.now()), paying._heard
    gateways["alipay"].settled = pays
    monkeypatch.setattr(gateways["alipay"], "verify", lambda body, headers: pays(order))

    def meanwhile(row: PaymentOrder, settled: Settled) -> bool:
        paying.on_notification("alipay", b"", {})
        return heard(row, settled)

    monkeypatch.setattr(paying, "_heard", meanwhile)
    paying.ask_about_begun()
    assert payments(begun.visit) == [("i1", "4200001")] and PaymentOrder.objects.get().state == State.PAID


def test_one_that_nobody_pays_is_asked_about_after_as_long_as_it_has_stood_and_then_closed(
    begun: PaymentOrder, gateways: dict[str, Gateway]
) -> None:
    gateways["alipay"].settled = lambda order: None
    begun_before(begun, minutes=2.5)
    assert paying.ask_about_begun() == 0 and gateways["alipay"].asked == []
    begun_before(begun, minutes=60, asked_min=29)  # at 31 minutes
    assert paying.ask_about_begun() == 0 and gateways["alipay"].asked == []
    begun_before(begun, minutes=60, asked_min=31)
    assert paying.ask_about_begun() == 0 and gateways["alipay"].asked == [begun.id.hex]
    begun_before(begun, hours=25)
    assert paying.ask_about_begun() == 1 and PaymentOrder.objects.get().state == State.CLOSE_DUE
    assert paying.close_due() == 1 and PaymentOrder.objects.get().state == State.CLOSED


def test_an_order_whose_bill_was_withdrawn_is_closed_before_anybody_pays_it(
    begun: PaymentOrder, gateways: dict[str, Gateway]
) -> None:
    gateways["alipay"].settled = lambda order: None
    happened_meanwhile(begun.visit, EventType.INVOICE_CANCELLED)
    assert paying.ask_about_begun() == 1 and PaymentOrder.objects.get().state == State.CLOSE_DUE


def test_a_gateway_that_does_not_say_leaves_the_order_open_however_old_it_is(
    begun: PaymentOrder, gateways: dict[str, Gateway]
) -> None:
    for code in ("query_refused", "gateway_unavailable"):
        begun_before(begun, hours=30)
        gateways["alipay"].refuses = {begun.id.hex: code}
        assert paying.ask_about_begun() == 0 and PaymentOrder.objects.get().state == State.BEGUN


def test_money_of_another_sum_is_a_person_s_to_look_at_and_settles_nothing(
    begun: PaymentOrder, gateways: dict[str, Gateway]
) -> None:
    gateways["alipay"].settled = lambda order: Settled(order.number, "4200001", 1, True)
    for _ in range(2):
        begun_before(begun, hours=30)
        assert paying.ask_about_begun() == 0
    assert Incident.objects.get().codes == [f"amount:{begun.id}"] and payments(begun.visit) == []
    assert PaymentOrder.objects.get().state == State.BEGUN


def test_two_runs_at_once_ask_about_an_order_once(
    begun: PaymentOrder, gateways: dict[str, Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = PaymentOrder.objects.create(visit=begun.visit, invoice_id="i2", amount_fen=1, engine="alipay")
    begun_before(other, minutes=4)
    asked_by_the_second: list[str] = []

    def heard(row: PaymentOrder, settled: Settled) -> bool:
        if not asked_by_the_second:
            asked_by_the_second.append("ran")
            paying.ask_about_begun()
        return True

    monkeypatch.setattr(paying, "_heard", heard)
    paying.ask_about_begun()
    assert sorted(gateways["alipay"].asked) == sorted([begun.id.hex, other.id.hex])


def test_what_is_said_of_a_visit_that_can_no_longer_be_read_gives_the_money_back_and_holds_nobody_up(
    begun: PaymentOrder, gateways: dict[str, Gateway]
) -> None:
    VisitEvent.objects.filter(visit=begun.visit, type=EventType.INVOICE_ISSUED.value).update(
        data=vault.Ciphertext(bytes(60))
    )
    gateways["alipay"].settled = pays
    assert paying.ask_about_begun() == 1
    assert PaymentOrder.objects.values_list("state", "trade_number").get() == ("refund_due", "4200001")
    assert paying.refund_due() == 1 and PaymentOrder.objects.get().state == State.REFUNDED


# --- when an order runs out ----------------------------------------------------------------------------------


def test_an_order_runs_out_at_its_gateway_before_we_stop_asking(begun: PaymentOrder) -> None:
    begun.refresh_from_db()
    order = paying._order(begun)
    assert order.expires_at == begun.created_at + paying.PAYABLE_FOR
    assert timedelta(0) < paying.TIME_TO_PAY < paying.PAYABLE_FOR < paying.RUNS_OUT_AFTER


def test_one_that_is_about_to_run_out_is_not_begun_again(
    begun: PaymentOrder, gateways: dict[str, Gateway], settings: Any
) -> None:
    settings.PAYMENT = "alipay"
    begun_before(begun, hours=22, minutes=29)
    assert paying.begin(begun.visit, BILL).order.number == begun.id.hex
    begun_before(begun, hours=22, minutes=31)
    assert paying.begin(begun.visit, BILL).order.number != begun.id.hex
    begun.refresh_from_db()
    assert begun.state == State.CLOSE_DUE


@pytest.mark.parametrize("code", ["never_opened", "close_refused"])
def test_one_that_its_gateway_cannot_close_is_asked_about_until_it_has_run_out(
    begun: PaymentOrder, gateways: dict[str, Gateway], code: str
) -> None:
    """Who has the address of Alipay's page can open it for as long; its notification may be lost then as well."""
    gateway, late = gateways["alipay"], Settled(begun.id.hex, "4200001", BILL.self_pay_fen, True)
    PaymentOrder.objects.update(state=State.CLOSE_DUE)
    gateway.refuses = {begun.id.hex: code}
    assert (paying.close_due(), paying.close_due()) == (1, 0) and PaymentOrder.objects.get().state == State.RUNS_OUT
    gateway.refuses, gateway.settled = {}, lambda order: None
    begun_before(begun, hours=20, asked_min=601)
    assert paying.ask_about_begun() == 0 and PaymentOrder.objects.get().state == State.RUNS_OUT
    begun_before(begun, hours=20, asked_min=601)
    gateway.settled = lambda order: late
    assert paying.ask_about_begun() == 1
    assert PaymentOrder.objects.values_list("state", "trade_number").get() == ("refund_due", "4200001")


def test_one_that_nobody_paid_until_it_ran_out_is_over(begun: PaymentOrder, gateways: dict[str, Gateway]) -> None:
    PaymentOrder.objects.update(state=State.RUNS_OUT)
    begun_before(begun, hours=25)
    gateways["alipay"].settled = lambda order: None
    assert paying.ask_about_begun() == 1 and PaymentOrder.objects.get().state == State.CLOSE_DUE
    gateways["alipay"].refuses = {begun.id.hex: "never_opened"}
    assert (paying.close_due(), paying.close_due()) == (1, 0) and PaymentOrder.objects.get().state == State.CLOSED


def test_a_late_notification_for_one_that_waits_to_run_out_gives_the_money_back(
    begun: PaymentOrder, gateways: dict[str, Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    PaymentOrder.objects.update(state=State.RUNS_OUT)
    told = Settled(begun.id.hex, "4200001", BILL.self_pay_fen, True)
    monkeypatch.setattr(gateways["alipay"], "verify", lambda body, headers: told)
    for _ in range(2):
        paying.on_notification("alipay", b"", {})
    assert PaymentOrder.objects.get().state == State.REFUND_DUE and payments(begun.visit) == []
