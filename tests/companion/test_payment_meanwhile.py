"""While a gateway is asked nothing of ours is held, and whatever happens meanwhile the money ends where it belongs."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from companion import payment, visits
from companion.background import in_thread
from companion.desks.visit import VisitDesk
from companion.exceptions import NotNow
from companion.journey import OwnEvent, Travel
from companion.models import PaymentOrder, Visit, VisitPrompt
from companion.payment.base import GatewayUnavailable, Opened, Order, OrderSpent, PaymentBackend
from companion.payment.sandbox import SandboxPayment
from companion.ports.encounter import InvoiceView
from hospitals.connectors.base import EventType
from tests.companion.bills import BILL, happened_meanwhile, payments, with_a_bill
from tests.companion.wechat_gateway import WechatGateway

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.services]
State = PaymentOrder.State
SCAN, PAID = Opened(scan="weixin://wxpay/1"), Opened(trade_number="4200001")
DATABASE_THREADS = 4


class Gateway(SandboxPayment):
    """Answers when it may, as ``answer`` says; ``asked``: the orders' numbers as they come."""

    def __init__(self) -> None:
        self.answer, self.asked = SCAN, list[str]()
        self.reached, self.may_answer = asyncio.Event(), asyncio.Event()

    async def begin(self, order: Order) -> Opened:
        self.asked.append(order.number)
        self.reached.set()
        await self.may_answer.wait()
        return self.answer


@pytest.fixture()
def gateway(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    made = Gateway()
    settings.PAYMENT = "wechat"
    monkeypatch.setattr(payment, "backend", lambda name: made)
    monkeypatch.setattr(payment, "_places", {})
    return made


@pytest.fixture()
def billed(visit: Visit, happens: Callable[..., None]) -> Visit:
    with_a_bill(visit, happens)
    return visit


def page(visit: Visit) -> "asyncio.Task[InvoiceView]":
    """One of her pages pays the bill."""
    desk = VisitDesk(visit.resident_id, visit.patient_id, visit.resident_id)
    return asyncio.ensure_future(desk.pay(visit_id=str(visit.id), invoice_id=BILL.id, key="k"))


async def orders() -> list[tuple[str, str]]:
    return await in_thread(
        lambda: list(PaymentOrder.objects.order_by("created_at").values_list("state", "trade_number"))
    )


async def test_a_gateway_that_hangs_holds_neither_the_visit_nor_a_database_thread(
    billed: Visit, gateway: Gateway
) -> None:
    pays = page(billed)
    await gateway.reached.wait()
    all_of_them = threading.Barrier(DATABASE_THREADS)
    await asyncio.gather(*(in_thread(all_of_them.wait, 10) for _ in range(DATABASE_THREADS)))
    await in_thread(visits.own_event, billed.id, OwnEvent.TRAVEL_TOLD, Travel(20), key="meanwhile")  # locks the visit
    assert not pays.done()
    gateway.may_answer.set()
    assert (await pays).pay_code.startswith("data:image/svg+xml;base64,")
    assert await orders() == [("begun", "")]


async def test_two_pages_that_pay_a_bill_at_once_have_one_order_and_one_payment(
    billed: Visit, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = asyncio.Barrier(2)

    async def begin(order: Order) -> Opened:
        gateway.asked.append(order.number)
        await both.wait()
        return PAID

    monkeypatch.setattr(gateway, "begin", begin)
    shown = await asyncio.gather(page(billed), page(billed))
    assert len(gateway.asked) == 2 and len(set(gateway.asked)) == 1
    assert [one.status for one in shown] == ["sent", "sent"]
    assert await orders() == [("paid", "4200001")]
    assert await in_thread(payments, billed) == [("i1", "4200001")]


async def test_an_order_that_its_gateway_let_run_out_is_closed_and_the_bill_gets_another(
    billed: Visit, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def begin(order: Order) -> Opened:
        gateway.asked.append(order.number)
        if len(gateway.asked) == 1:
            raise OrderSpent
        return SCAN

    monkeypatch.setattr(gateway, "begin", begin)
    assert (await page(billed)).pay_code.startswith("data:image/svg+xml;base64,")
    assert len(set(gateway.asked)) == 2
    assert await orders() == [("close_due", ""), ("begun", "")]


async def test_a_gateway_that_spends_every_order_is_asked_twice_and_no_more(
    billed: Visit, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def begin(order: Order) -> Opened:
        gateway.asked.append(order.number)
        raise OrderSpent

    monkeypatch.setattr(gateway, "begin", begin)
    with pytest.raises(OrderSpent):
        await page(billed)
    assert len(gateway.asked) == 2


@pytest.mark.parametrize(("answer", "order"), [(SCAN, ("close_due", "")), (PAID, ("refund_due", "4200001"))])
async def test_a_bill_that_is_withdrawn_meanwhile_is_not_paid(
    billed: Visit, gateway: Gateway, answer: Opened, order: tuple[str, str]
) -> None:
    gateway.answer = answer
    pays = page(billed)
    await gateway.reached.wait()
    await in_thread(happened_meanwhile, billed, EventType.INVOICE_CANCELLED)
    gateway.may_answer.set()
    with pytest.raises(NotNow, match="not_now") as refusal:
        await pays
    assert "撤销" in refusal.value.detail
    assert await orders() == [order] and await in_thread(payments, billed) == []


async def test_one_that_is_paid_at_the_window_meanwhile_is_shown_as_paid_and_without_a_code(
    billed: Visit, gateway: Gateway
) -> None:
    pays = page(billed)
    await gateway.reached.wait()
    await in_thread(happened_meanwhile, billed, EventType.INVOICE_PAID)
    gateway.may_answer.set()
    shown = await pays
    assert (shown.status, shown.pay_code) == ("paid", "") and await orders() == [("close_due", "")]


async def test_a_bill_whose_sum_changed_meanwhile_is_to_be_looked_at_again(billed: Visit, gateway: Gateway) -> None:
    pays = page(billed)
    await gateway.reached.wait()
    changed = asdict(replace(BILL, self_pay_fen=1500, insurance_fen=3500))
    await in_thread(happened_meanwhile, billed, EventType.INVOICE_ISSUED, changed)
    gateway.may_answer.set()
    with pytest.raises(NotNow, match="bill_changed"):
        await pays
    assert (await page(billed)).pay_code
    assert await orders() == [("close_due", ""), ("begun", "")] and len(set(gateway.asked)) == 2


async def test_an_order_closed_before_its_gateway_heard_of_it_is_closed_again(billed: Visit, gateway: Gateway) -> None:
    pays = page(billed)
    await gateway.reached.wait()
    await in_thread(lambda: PaymentOrder.objects.update(state=State.CLOSED))
    gateway.may_answer.set()
    with pytest.raises(NotNow, match="bill_changed"):
        await pays
    assert await orders() == [("close_due", "")]


async def test_what_the_gateway_tells_meanwhile_counts_once(billed: Visit, gateway: Gateway) -> None:
    """Its notification was quicker than its answer; a bill that the hospital still waits for is told again."""
    pays = page(billed)
    await gateway.reached.wait()
    await in_thread(lambda: PaymentOrder.objects.update(state=State.PAID, trade_number="4200001"))
    gateway.may_answer.set()
    shown = await pays
    assert (shown.status, shown.pay_code) == ("sent", "")
    assert await in_thread(payments, billed) == [("i1", "4200001")]


async def test_a_gateway_has_so_long_in_all_and_the_order_is_the_same_afterwards(
    billed: Visit, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as short:
        short.setattr(payment, "WITHIN_S", 0.0)
        with pytest.raises(GatewayUnavailable, match="gateway_unavailable"):
            await page(billed)
    gateway.may_answer.set()
    assert (await page(billed)).pay_code
    assert await orders() == [("begun", "")] and len(set(gateway.asked)) == 1


async def test_the_whole_time_is_bounded_where_no_phase_is(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = WechatGateway()
    silent.mood = "silent"
    monkeypatch.setattr(payment, "backend", lambda name: silent.engine(timeout_s=60.0))
    monkeypatch.setattr(payment, "WITHIN_S", 0.2)
    with pytest.raises(GatewayUnavailable):
        await payment.ask("wechat", lambda engine: engine.begin(Order("1", "检查费", 2000, timezone.now())))
    silent.close()


async def test_beyond_so_many_calls_the_next_is_refused_at_once_and_an_end_of_any_kind_makes_room(
    billed: Visit, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payment, "AT_ONCE", 1)
    first = page(billed)
    await gateway.reached.wait()
    with pytest.raises(GatewayUnavailable, match="gateway_crowded"):
        await page(billed)
    assert not first.done() and len(gateway.asked) == 1
    first.cancel()  # she left the page
    with pytest.raises(asyncio.CancelledError):
        await first
    gateway.may_answer.set()
    assert (await page(billed)).pay_code and await orders() == [("begun", "")]


def test_two_threads_whose_calls_are_the_first_share_the_places(monkeypatch: pytest.MonkeyPatch) -> None:
    both, counted, real = threading.Barrier(2, timeout=10), threading.Event(), threading.BoundedSemaphore

    def made(places: int) -> threading.BoundedSemaphore:
        both.wait()
        return real(places)

    monkeypatch.setattr(payment, "AT_ONCE", 1)
    monkeypatch.setattr(payment, "threading", SimpleNamespace(BoundedSemaphore=made))
    monkeypatch.setattr(payment, "backend", lambda name: SandboxPayment())
    inside = list[str]()

    async def call(engine: PaymentBackend) -> None:
        inside.append("inside")
        if len(inside) == 2:
            counted.set()
        await asyncio.to_thread(counted.wait, 10)

    def first() -> str:
        try:
            asyncio.run(payment.ask("nobody asked this one before", call))
        except GatewayUnavailable as error:
            counted.set()
            return error.code
        return "asked"

    with ThreadPoolExecutor(2) as threads:
        came = [thread.result() for thread in [threads.submit(first) for _ in range(2)]]
    assert sorted(came) == ["asked", "gateway_crowded"]


async def test_the_demo_s_money_goes_the_same_way(billed: Visit, gateway: Gateway, monkeypatch: Any) -> None:
    monkeypatch.setattr(payment, "backend", lambda name: SandboxPayment())
    shown = await page(billed)
    number = f"sandbox-{(await in_thread(PaymentOrder.objects.get)).id.hex}"
    assert shown.status == "sent" and await orders() == [("paid", number)]
    assert await in_thread(payments, billed) == [("i1", number)]
    unsaid = VisitPrompt.objects.filter(visit=billed, name="payment_sent", said_at=None)
    assert not await in_thread(unsaid.exists)
