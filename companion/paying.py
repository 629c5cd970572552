"""Bills paid online: an order once a bill, the gateway's word checked against it, the hospital told, money given back.

The hospital's PAY command says what was paid, when, and the gateway's trade number. Money that came for a bill which no longer
waits for it (paid at the window, withdrawn, refused by the hospital) goes back. An order of which nothing is heard is asked about,
until after it has run out at its gateway. Money of which nobody here can know whose it is waits for a person (companion.waiting_money).
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import transaction
from django.db.models import DateTimeField, F, QuerySet, Value
from django.utils import timezone

from companion import payment, prompts, visits
from companion.exceptions import CompanionError, NotNow
from companion.journey import OwnData, OwnEvent, Payment, Refusal
from companion.models import Incident, PaymentOrder, Visit
from companion.payment.base import (
    BadNotification,
    GatewayUnavailable,
    Opened,
    Order,
    OrderPaid,
    PaymentBackend,
    Refund,
    Settled,
)
from hospitals.audit import Actor
from hospitals.connectors.base import EventData, Invoice, PaidBill, Reference
from hospitals.exceptions import CiphertextInvalid, KeyDestroyed
from hospitals.services import booking, payments

log = structlog.get_logger(__name__)

State, Waits = PaymentOrder.State, PaymentOrder.Waits
_Call = Callable[[PaymentBackend, PaymentOrder], Awaitable[Settled | None]]
IN_ONE_RUN = 50  # orders of one gateway
ASK_AFTER = timedelta(minutes=3)  # a notification that is not lost has come by then
RUNS_OUT_AFTER = timedelta(hours=24)
PAYABLE_FOR = timedelta(hours=23)  # at its gateway: what is on its way by then is here before nobody asks any more
TIME_TO_PAY = timedelta(minutes=30)  # she gets that long at least
_UNPAID = (State.BEGUN, State.CLOSE_DUE, State.RUNS_OUT, State.CLOSED)
NOBODY_S = {"waits_because": "", "waits_since": None}
# Said of one order; all else is a gateway's silence.
_ANSWERED = frozenset(
    {"refund_refused", "refund_processing", "close_refused", "query_refused", "order_paid", "never_opened"}
)
_NOT_CLOSED = frozenset({"close_refused", "never_opened"})  # it can be paid until it runs out
_FOR_A_PERSON = frozenset({"refund_refused", "engine_unusable"})  # what no waiting mends


def _order(row: PaymentOrder, title: str = "医疗费用") -> Order:
    return Order(row.id.hex, title, row.amount_fen, row.created_at + PAYABLE_FOR)


@dataclass(frozen=True, slots=True)
class Begun:
    """An order on record; ``paid``: its money is here already, and the gateway need not be asked."""

    engine: str
    order: Order
    paid: bool


def begin(visit: Visit, bill: Invoice) -> Begun:
    """The order of a bill that waits for it, the same one while it is open; the gateway does not hear of it yet.

    Another sum is another order, and so is another gateway while nothing is paid; one that is about to run out gives way to another. A
    bill of nothing (insurance bears it all) is paid as it stands, by no gateway. Raises ``NotNow`` (pay_at_window) where no engine is set
    up. In the caller's transaction, with the visit locked; after its commit come ``at_gateway`` and, in another, ``finish``: while a
    gateway is asked nobody waits for anything of ours.
    """
    name = settings.PAYMENT
    row = PaymentOrder.objects.filter(visit=visit, invoice_id=bill.id, state__in=(State.BEGUN, State.PAID)).first()
    paid = row is not None and row.state == State.PAID
    if row is not None and (
        row.amount_fen != bill.self_pay_fen or not paid and (row.engine != name or _ends_soon(row))
    ):
        over = (
            (State.REFUND_DUE if row.amount_fen else State.CLOSED) if paid else State.CLOSE_DUE
        )  # what came for it, or still comes, goes back
        PaymentOrder.objects.filter(id=row.id).update(state=over, **NOBODY_S)
        row = None
    if row is None and bill.self_pay_fen == 0:
        row = PaymentOrder(visit=visit, invoice_id=bill.id, amount_fen=0, state=State.PAID, paid_at=timezone.now())
        row.trade_number = row.id.hex
        row.save(force_insert=True)
    if row is None:
        if not name:
            raise NotNow("这里还不能线上缴费。请到医院窗口或自助机缴费,缴好了我会告诉您。", code="pay_at_window")
        about = {"amount_fen": bill.self_pay_fen, "engine": name}
        row = PaymentOrder.objects.create(visit=visit, invoice_id=bill.id, **about)
    return Begun(row.engine, _order(row, bill.title), row.state == State.PAID)


def _ends_soon(row: PaymentOrder) -> bool:
    return timezone.now() + TIME_TO_PAY > row.created_at + PAYABLE_FOR


async def at_gateway(begun: Begun) -> Opened:
    """Open the order at its gateway; again is the same order there. Raises ``GatewayUnavailable``; the order stays begun."""
    if begun.paid:
        return Opened()
    return await payment.ask(begun.engine, lambda engine: engine.begin(begun.order))


def spent(begun: Begun) -> None:
    """Its gateway takes this order for nothing any more: the bill gets another when it is begun again."""
    PaymentOrder.objects.filter(id=UUID(begun.order.number), state=State.BEGUN).update(state=State.CLOSE_DUE)


def finish(begun: Begun, opened: Opened, bill: Payment, actor: Actor) -> Opened | None:
    """What she is shown, ``trade_number`` being set where it is paid; None where order or bill changed meanwhile.

    Then the order is closed, and money that moved goes back. A payment on record is told to the hospital again while the
    bill waits for it. In the caller's transaction, with the visit locked and ``bill`` read after that.
    """
    row = PaymentOrder.objects.get(id=UUID(begun.order.number))
    waits = _waits(bill, row)
    if row.state == State.PAID:
        if waits:
            _tell_the_hospital(row, actor)
        changed = bill.state == "issued" and not waits  # when it is begun again, this money goes back
        return None if changed else Opened(trade_number=row.trade_number)
    if row.state == State.BEGUN and waits:
        return opened if not opened.trade_number or _paid(row, opened.trade_number, opened.paid_at, actor) else None
    if opened.trade_number:
        _too_late(row, opened.trade_number)
    else:  # one that was closed before the gateway heard of it is open there now
        PaymentOrder.objects.filter(id=row.id, state__in=_UNPAID).update(state=State.CLOSE_DUE)
    return None


@transaction.atomic
def on_notification(engine: str, body: bytes, headers: Mapping[str, str]) -> None:
    """The gateway tells what became of an order; again changes nothing. Raises ``BadNotification``."""
    try:
        settled = payment.backend(engine).verify(body, headers)
    except GatewayUnavailable as error:
        raise BadNotification(code="unknown_engine") from error
    if settled is None:
        return
    _settle(_named(engine, settled), settled)


def _settle(row: PaymentOrder, settled: Settled) -> None:
    """What its gateway says becomes of the order; again changes nothing. In a transaction."""
    visits.locked(row.visit_id)  # as begin: one after the other
    row.refresh_from_db()
    if not settled.paid:
        PaymentOrder.objects.filter(id=row.id, state__in=_UNPAID).update(state=State.CLOSED)
        return
    if row.state not in _UNPAID:
        return
    if row.state == State.BEGUN and _wanted(row.visit, row):
        _paid(row, settled.trade_number, settled.paid_at, Actor("service", row.engine))
        return
    _too_late(row, settled.trade_number)


def _waits(bill: Payment, row: PaymentOrder) -> bool:
    """Whether this bill waits for the order's money, to the fen."""
    due = bill.invoice
    return bill.state == "issued" and (due.id, due.self_pay_fen) == (row.invoice_id, row.amount_fen)


def _wanted(visit: Visit, row: PaymentOrder) -> bool:
    """Whether a bill of this visit waits for it. No, where what it says can no longer be read: what comes goes back."""
    try:
        return any(_waits(bill, row) for bill in visits.journey_of(visit).payments)
    except (KeyDestroyed, CiphertextInvalid):
        log.error("visit_unreadable", visit=str(visit.id))
        return False


def _named(engine: str, settled: Settled) -> PaymentOrder:
    try:
        row = PaymentOrder.objects.select_related("visit").get(id=UUID(settled.number), engine=engine)
    except (ValueError, PaymentOrder.DoesNotExist) as error:
        raise BadNotification(code="unknown_order") from error
    if row.amount_fen != settled.amount_fen:
        log.error("payment_amount_differs", visit=str(row.visit_id))
        raise BadNotification(code="wrong_amount")
    return row


def _paid(row: PaymentOrder, trade_number: str, paid_at: datetime | None, actor: Actor) -> bool:
    """False where the hospital cannot be told any more: then the money goes back."""
    try:
        with transaction.atomic():
            row.state, row.trade_number, row.paid_at = State.PAID, trade_number, paid_at or timezone.now()
            row.save(update_fields=["state", "trade_number", "paid_at", "changed_at"])
            _tell_the_hospital(row, actor)
    except KeyDestroyed:  # it left, and its keys with it
        _too_late(row, trade_number)
        return False
    return True


def _too_late(row: PaymentOrder, trade_number: str) -> None:
    late = PaymentOrder.objects.filter(id=row.id, state__in=_UNPAID)
    if late.update(state=State.REFUND_DUE, trade_number=trade_number):
        log.warning("payment_too_late", visit=str(row.visit_id))


def _tell_the_hospital(row: PaymentOrder, actor: Actor) -> None:
    at = timezone.localtime(row.paid_at or row.changed_at)  # the latter: paid under a release that did not keep it
    paid = PaidBill(row.invoice_id, row.trade_number, row.amount_fen, row.id.hex, row.engine, at)
    made = booking.pay(appointment_id=row.visit_id, paid=paid, actor=actor)
    if made.command is not None:
        key = f"{OwnEvent.PAYMENT_SENT.value}:{made.command}"
        visits.own_event(row.visit_id, OwnEvent.PAYMENT_SENT, Reference(row.invoice_id), key=key)


def give_back(visit_id: UUID, invoice_id: str, receipt: str) -> bool:
    """The hospital will not have this payment: the money goes back. False where none was taken, or another was since."""
    mine = PaymentOrder.objects.filter(visit_id=visit_id, invoice_id=invoice_id, trade_number=receipt, state=State.PAID)
    mine.filter(amount_fen=0).update(state=State.CLOSED)
    return bool(mine.update(state=State.REFUND_DUE, **NOBODY_S))


def hold(visit_id: UUID, invoice_id: str, receipt: str) -> str:
    """The hospital never answered: it may have booked this payment or not, and a person asks it.

    Returns the bill's id, "" where no money was taken. Without a receipt, because what the command said cannot be read any more, it is
    the payment whose command was given up.
    """
    mine = (
        PaymentOrder.objects.filter(visit_id=visit_id, state=State.PAID).exclude(amount_fen=0).select_related("visit")
    )
    for row in mine:
        if (row.invoice_id, row.trade_number) == (invoice_id, receipt) or not receipt and _given_up(row):
            mine.filter(id=row.id).update(waits_because=Waits.UNANSWERED, waits_since=timezone.now())
            return row.invoice_id
    return ""


def _given_up(row: PaymentOrder) -> bool:
    tried = payments.tried(row.visit.hospital_id, row.visit_id, row.invoice_id)
    return bool(tried) and tried[-1].state == payments.State.GIVEN_UP


def acknowledged(visit_id: UUID, invoice_id: str, receipt: str) -> None:
    """The hospital has answered after all that it has this payment."""
    mine = PaymentOrder.objects.filter(visit_id=visit_id, invoice_id=invoice_id, trade_number=receipt)
    mine.filter(waits_because=Waits.UNANSWERED).update(**NOBODY_S)


def tell(visit_id: UUID, kind: OwnEvent, data: EventData | OwnData, *, key: str) -> None:
    """Put down in her visit what became of her money. Where nothing can be put down any more, it stands without."""
    try:
        with transaction.atomic():
            visits.own_event(visit_id, kind, data, key=key)
    except KeyDestroyed:  # she was erased
        return
    except CiphertextInvalid:
        log.error("visit_unreadable", visit=str(visit_id), event_type=kind.value)


def ask_about_begun() -> int:
    """Ask what became of orders begun some minutes ago, and of those that their gateway could not close: she may have paid, and
    its notification be lost.

    One is asked about again when it has stood twice as long, and is over (to be closed) after ``RUNS_OUT_AFTER``, or when its bill
    waits no more. Returns how many came to an end.
    """
    now = timezone.now()
    begun = PaymentOrder.objects.filter(state__in=(State.BEGUN, State.RUNS_OUT), changed_at__lte=now - ASK_AFTER)
    since = Value(now, DateTimeField()) - F("changed_at")
    due = begun.alias(asked_at_age=F("changed_at") - F("created_at")).filter(asked_at_age__lte=since)
    done = 0
    for row, settled, why in _in_turn(due, lambda engine, row: engine.query(_order(row))):
        if why is not None:
            log.warning("payment_unknown", visit=str(row.visit_id), code=why.code)
        elif settled is None:
            done += _over(row)
        else:
            done += _heard(row, settled)
    return done


def _heard(row: PaymentOrder, settled: Settled) -> bool:
    try:
        with transaction.atomic():
            _settle(_named(row.engine, settled), settled)
    except BadNotification:  # money of another sum: it is neither the bill's nor ours to give back by ourselves
        _for_a_person(row, Waits.AMOUNT)
        return False
    return True


@transaction.atomic
def _over(row: PaymentOrder) -> bool:
    """Not paid so far: it is to be closed once nobody is to pay it any more."""
    visit = visits.locked(row.visit_id)
    if not _ran_out(row) and (row.state == State.RUNS_OUT or _wanted(visit, row)):
        return False
    return bool(PaymentOrder.objects.filter(id=row.id, state=row.state).update(state=State.CLOSE_DUE))


def _ran_out(row: PaymentOrder) -> bool:
    return timezone.now() - row.created_at >= RUNS_OUT_AFTER


@transaction.atomic
def _for_a_person(row: PaymentOrder, why: PaymentOrder.Waits) -> None:
    """Once."""
    mine = PaymentOrder.objects.filter(id=row.id).exclude(waits_because=why)
    if mine.update(waits_because=why, waits_since=timezone.now()):
        codes = [f"{why}:{row.id}"]
        Incident.objects.create(kind=Incident.Kind.UNDELIVERED, hospital_id=row.visit.hospital_id, codes=codes)


def refund_due() -> int:
    """Give back what is due, again and again until the gateway has done it. Returns how many it did."""
    done = 0
    due = PaymentOrder.objects.filter(state=State.REFUND_DUE)
    for row, _none, why in _in_turn(due, lambda engine, row: engine.refund(_order(row), _refund(row))):
        if why is None:
            done += _went_back(row)
            continue
        log.warning("refund_waits", visit=str(row.visit_id), code=why.code)
        if why.code in _FOR_A_PERSON:
            _for_a_person(row, Waits.REFUND)
    return done


def _refund(row: PaymentOrder) -> Refund:
    """What is to go back of it now: a part that a person stated, or all that is left. Each part has a number of its own."""
    number = f"{row.id.hex}-refund" if not row.refunds else f"{row.id.hex}-refund-{row.refunds + 1}"
    reason = "医院退还部分费用" if row.refund_fen or row.refunds else "医院没有收这笔费用"
    return Refund(number, row.refund_fen or row.left_fen, reason)


@transaction.atomic
def _went_back(row: PaymentOrder) -> bool:
    """Its gateway has done it: on record once, and she is told."""
    visits.locked(row.visit_id)
    gone = _refund(row).amount_fen
    mine = PaymentOrder.objects.filter(id=row.id, state=State.REFUND_DUE, refunds=row.refunds)
    after = {"refund_fen": 0, "refunded_fen": row.refunded_fen + gone, "refunds": row.refunds + 1}
    if not mine.update(state=State.REFUNDED, **after, **NOBODY_S):
        return False
    kind, sum_said = OwnEvent.PAYMENT_RETURNED, prompts.yuan(gone)
    tell(row.visit_id, kind, Refusal(row.invoice_id, sum_said), key=f"{kind.value}:{row.id}:{row.refunds + 1}")
    return True


def close_due() -> int:
    """Close at their gateways what nobody is to pay any more, again and again until they answer. Returns how many are done."""
    done = 0
    due = PaymentOrder.objects.filter(state=State.CLOSE_DUE)
    for row, _none, why in _in_turn(due, lambda engine, row: engine.close(_order(row))):
        if why is not None and why.code != "never_opened":
            log.warning("close_waits", visit=str(row.visit_id), code=why.code)
        if isinstance(why, OrderPaid):
            _too_late(row, why.trade_number)
            done += 1
        elif why is None or why.code in _NOT_CLOSED:  # what still comes goes back
            over = State.CLOSED if why is None or _ran_out(row) else State.RUNS_OUT
            done += PaymentOrder.objects.filter(id=row.id, state=State.CLOSE_DUE).update(state=over)
    return done


def _in_turn(
    due: QuerySet[PaymentOrder], call: _Call
) -> Iterator[tuple[PaymentOrder, Settled | None, CompanionError | None]]:
    """Orders that are due, the longest unasked first, each with what its gateway said of it, and why it did not, or None: it did.

    A gateway that gives no answer is left alone until the next run, so that its silence is waited for once; another's go on.
    """
    for engine in due.order_by().values_list("engine", flat=True).distinct():
        for row in due.filter(engine=engine).select_related("visit").order_by("changed_at")[:IN_ONE_RUN]:
            mine = PaymentOrder.objects.filter(id=row.id, state=row.state, changed_at=row.changed_at)
            if not mine.update(changed_at=timezone.now()):  # behind the others, whatever comes of it
                continue  # another run has it, or something became of it
            settled, why = _asked(row, call)
            yield row, settled, why
            if why is not None and why.code not in _ANSWERED:
                break


def _asked(row: PaymentOrder, call: _Call) -> tuple[Settled | None, CompanionError | None]:
    """What its gateway says, and why it did not do it. For the background, which has no loop."""
    try:
        return async_to_sync(payment.ask)(row.engine, lambda engine: call(engine, row)), None
    except CompanionError as error:
        return None, error
