"""Bills paid online: an order once a bill, the gateway's word checked against it, the hospital told, money given back.

The hospital's PAY command carries the gateway's trade number. Money that came for a bill which no longer waits for it (paid
at the window, withdrawn, refused by the hospital) goes back.
"""

from collections.abc import Mapping
from contextlib import suppress
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction

from companion import payment, visits
from companion.exceptions import CompanionError, NotNow
from companion.journey import OwnEvent
from companion.models import Incident, PaymentOrder, Visit
from companion.payment.base import BadNotification, GatewayUnavailable, Opened, Order, Settled
from hospitals.audit import Actor
from hospitals.connectors.base import Invoice, Reference
from hospitals.services import booking

log = structlog.get_logger(__name__)

State = PaymentOrder.State
REFUNDED_AT_ONCE = 50


def _order(row: PaymentOrder, title: str = "医疗费用") -> Order:
    return Order(row.id.hex, title, row.amount_fen)


def begin(visit: Visit, bill: Invoice, actor: Actor) -> Opened:
    """Open the payment of a bill that waits for it; one that is paid already is told to the hospital again.

    Raises ``NotNow`` (pay_at_window) where no engine is set up, ``GatewayUnavailable``. In the caller's transaction, with
    the visit locked.
    """
    name = settings.PAYMENT
    if not name:
        raise NotNow("这里还不能线上缴费。请到医院窗口或自助机缴费,缴好了我会告诉您。", code="pay_at_window")
    open_one = PaymentOrder.objects.filter(visit=visit, invoice_id=bill.id, state__in=(State.BEGUN, State.PAID)).first()
    if open_one is not None and open_one.state == State.BEGUN and open_one.amount_fen != bill.self_pay_fen:
        PaymentOrder.objects.filter(id=open_one.id).update(state=State.CLOSED)  # what still comes for it goes back
        with suppress(GatewayUnavailable):
            payment.backend(open_one.engine).close(_order(open_one))
        open_one = None
    row = open_one or PaymentOrder.objects.create(
        visit=visit, invoice_id=bill.id, amount_fen=bill.self_pay_fen, engine=name
    )
    if row.state == State.PAID:
        _tell_the_hospital(row, actor)
        return Opened(trade_number=row.trade_number)
    opened = payment.backend(row.engine).begin(_order(row, bill.title))
    if opened.trade_number:
        _paid(row, opened.trade_number, actor)
    return opened


@transaction.atomic
def on_notification(engine: str, body: bytes, headers: Mapping[str, str]) -> None:
    """The gateway tells what became of an order; again changes nothing. Raises ``BadNotification``."""
    if engine not in settings.PAYMENT_BACKENDS:
        raise BadNotification(code="unknown_engine")
    settled = payment.backend(engine).verify(body, headers)
    if settled is None:
        return
    row = _named(engine, settled)
    visits.locked(row.visit_id)  # as begin: one after the other
    row.refresh_from_db()
    if not settled.paid:
        PaymentOrder.objects.filter(id=row.id, state=State.BEGUN).update(state=State.CLOSED)
        return
    if row.state not in (State.BEGUN, State.CLOSED):
        return
    waits = any(p.invoice.id == row.invoice_id and p.state == "issued" for p in visits.journey_of(row.visit).payments)
    if row.state == State.BEGUN and waits:
        _paid(row, settled.trade_number, Actor("service", engine))
        return
    PaymentOrder.objects.filter(id=row.id).update(state=State.REFUND_DUE, trade_number=settled.trade_number)
    log.warning("payment_too_late", visit=str(row.visit_id))


def _named(engine: str, settled: Settled) -> PaymentOrder:
    try:
        row = PaymentOrder.objects.select_related("visit").get(id=UUID(settled.number), engine=engine)
    except (ValueError, PaymentOrder.DoesNotExist) as error:
        raise BadNotification(code="unknown_order") from error
    if row.amount_fen != settled.amount_fen:
        log.error("payment_amount_differs", visit=str(row.visit_id))
        raise BadNotification(code="wrong_amount")
    return row


def _paid(row: PaymentOrder, trade_number: str, actor: Actor) -> None:
    row.state, row.trade_number = State.PAID, trade_number
    row.save(update_fields=["state", "trade_number", "changed_at"])
    _tell_the_hospital(row, actor)


def _tell_the_hospital(row: PaymentOrder, actor: Actor) -> None:
    made = booking.pay(appointment_id=row.visit_id, invoice_id=row.invoice_id, receipt=row.trade_number, actor=actor)
    if made.command is not None:
        key = f"{OwnEvent.PAYMENT_SENT.value}:{made.command}"
        visits.own_event(row.visit_id, OwnEvent.PAYMENT_SENT, Reference(row.invoice_id), key=key)


def give_back(visit_id: UUID, invoice_id: str) -> bool:
    """The hospital will not have this payment: the money goes back. False where none was taken."""
    mine = PaymentOrder.objects.filter(visit_id=visit_id, invoice_id=invoice_id, state=State.PAID)
    return bool(mine.update(state=State.REFUND_DUE))


def refund_due() -> int:
    """Give back what is due, again and again until the gateway has done it. Returns how many it did."""
    done = 0
    for row in PaymentOrder.objects.filter(state=State.REFUND_DUE).order_by("changed_at")[:REFUNDED_AT_ONCE]:
        try:
            payment.backend(row.engine).refund(_order(row), "医院没有收这笔费用")
        except CompanionError as error:
            log.warning("refund_waits", visit=str(row.visit_id), code=error.code)
            if error.code == "refund_refused" and not Incident.objects.filter(codes=[f"refund:{row.id}"]).exists():
                kind = Incident.Kind.UNDELIVERED
                Incident.objects.create(kind=kind, hospital_id=row.visit.hospital_id, codes=[f"refund:{row.id}"])
            continue
        done += PaymentOrder.objects.filter(id=row.id, state=State.REFUND_DUE).update(state=State.REFUNDED)
    return done
