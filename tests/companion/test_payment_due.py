"""Money that is to go back and orders that are to be closed: each gets its turn, whatever the others' gateways say."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from companion import paying, payment
from companion.models import Incident, PaymentOrder, Visit
from companion.payment.base import GatewayUnavailable, Order, OrderPaid
from companion.payment.sandbox import SandboxPayment

pytestmark = pytest.mark.django_db
State = PaymentOrder.State
AskFor = Callable[[], int]


class Gateway(SandboxPayment):
    """``refuses``: what it says of these orders; ``asked``: the orders that came, in their order."""

    def __init__(self) -> None:
        self.refuses, self.asked = dict[str, str](), list[str]()

    async def refund(self, order: Order, reason: str) -> None:
        await self.close(order)

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
    params=[(paying.refund_due, State.REFUND_DUE), (paying.close_due, State.CLOSE_DUE)], ids=["refund", "close"]
)
def due(request: pytest.FixtureRequest, visit: Visit) -> tuple[AskFor, Callable[..., list[str]]]:
    """What asks for it, and what puts down so many orders, the longest waiting first; gives their numbers."""
    ask, state = request.param

    def orders(count: int, engine: str = "alipay") -> list[str]:
        about = {"visit": visit, "invoice_id": "i1", "amount_fen": 2000, "engine": engine, "state": state}
        rows = [PaymentOrder.objects.create(**about) for _ in range(count)]
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
    assert gateways["alipay"].asked == [poor, other, good, poor]


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
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
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
    assert PaymentOrder.objects.get(engine="alipay").state in (State.REFUND_DUE, State.CLOSE_DUE)


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
    gateways["alipay"].refuses = {}
    assert paying.refund_due() == 1


def test_money_that_is_on_its_way_back_is_nobody_s_to_look_at(visit: Visit, gateways: dict[str, Gateway]) -> None:
    about = {"visit": visit, "invoice_id": "i1", "amount_fen": 2000, "engine": "alipay", "state": State.REFUND_DUE}
    row = PaymentOrder.objects.create(**about)
    gateways["alipay"].refuses = {row.id.hex: "refund_processing"}
    assert paying.refund_due() == 0 and not Incident.objects.exists()
    assert PaymentOrder.objects.get().state == State.REFUND_DUE
