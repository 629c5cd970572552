"""Money that waits for a person: given back, whole or in part, or left where it is, by somebody who has asked the hospital.

Each of these is done once, on the audit log with who and why, and told to her. What a hospital answered itself stands: money that it
acknowledged goes back only as the part that it names.
"""

from uuid import UUID

from django.db import transaction
from django.db.models import F

from companion import paying, visits
from companion.exceptions import NotFound, NotNow
from companion.journey import OwnEvent, Refusal
from companion.models import PaymentOrder, Visit
from companion.paying import NOBODY_S
from hospitals import audit
from hospitals.audit import Actor
from hospitals.connectors.base import Reference
from hospitals.exceptions import CiphertextInvalid, KeyDestroyed
from hospitals.services import payments
from hospitals.services.payments import Tried

State, Waits = PaymentOrder.State, PaymentOrder.Waits
NOT_RECEIVED = "医院没有收到这笔缴费。已付的钱会原路退回"


def order(order_id: UUID) -> PaymentOrder:
    """Raises ``NotFound``."""
    row = PaymentOrder.objects.select_related("visit").filter(id=order_id).first()
    if row is None:
        raise NotFound
    return row


def tried(row: PaymentOrder) -> list[Tried]:
    """How the hospital was told of this bill's payments."""
    return payments.tried(row.visit.hospital_id, row.visit_id, row.invoice_id)


def bill_state(row: PaymentOrder) -> tuple[str, int]:
    """(state, what is asked for in fen) of its bill as the hospital told it last; ("", 0) where that can no longer be read."""
    try:
        parts = visits.journey_of(row.visit).payments
    except (KeyDestroyed, CiphertextInvalid):
        return "", 0
    return next(((p.state, p.invoice.self_pay_fen) for p in parts if p.invoice.id == row.invoice_id), ("", 0))


def too_much_fen(row: PaymentOrder) -> int:
    """What of it the bill does not ask for any more."""
    state, due_fen = bill_state(row)
    return max(0, row.left_fen - (0 if state == "cancelled" else due_fen))


def acknowledged(row: PaymentOrder) -> bool:
    """Whether the hospital itself, or a person who asked it, said that it has this money."""
    return any(one.state == payments.State.ACCEPTED for one in tried(row))


@transaction.atomic
def give_back(*, order_id: UUID, actor: Actor, reason: str, paid_elsewhere: bool = False) -> None:
    """All of it: the hospital says that this payment never came.

    ``paid_elsewhere``: it says so of a bill that it calls paid, which she paid again at the window. Raises ``NotNow``:
    payment_acknowledged, paid_there, not_waiting.
    """
    row = order(order_id)
    _asked_the_hospital(row, arrived=False)
    visit = visits.locked(row.visit_id)
    if bill_state(row)[0] == "paid" and not paid_elsewhere:
        raise NotNow("医院的系统里这笔费用是已缴。请先问清楚是不是另外缴的。", code="paid_there")
    _moved(row, Waits.UNANSWERED, state=State.REFUND_DUE, refund_fen=0)
    kind = OwnEvent.PAYMENT_REFUSED
    paying.tell(visit.id, kind, Refusal(row.invoice_id, NOT_RECEIVED), key=f"{kind.value}:{row.id}")
    _on_record("payment.refund", row, visit, actor, reason, row.left_fen)


@transaction.atomic
def arrived(*, order_id: UUID, actor: Actor, reason: str) -> None:
    """The hospital has it in its books. Raises ``NotNow``: payment_acknowledged, not_waiting."""
    row = order(order_id)
    _asked_the_hospital(row, arrived=True)
    _kept(row, Waits.UNANSWERED, "payment.arrived", actor, reason)


@transaction.atomic
def keep(*, order_id: UUID, actor: Actor, reason: str) -> None:
    """The bill changed after it was paid, and nothing is to go back from here. Raises ``NotNow`` (not_waiting)."""
    _kept(order(order_id), Waits.LOWERED, "payment.kept", actor, reason)


@transaction.atomic
def give_back_part(*, order_id: UUID, amount_fen: int, actor: Actor, reason: str) -> None:
    """So much of a payment that the hospital acknowledged; never more in sum than was paid.

    Raises ``NotNow``: not_acknowledged, more_than_left, not_waiting (another part is on its way back).
    """
    row = order(order_id)
    if not acknowledged(row):
        raise NotNow("医院还没有确认这笔缴费,不能只退一部分。", code="not_acknowledged")
    visit = visits.locked(row.visit_id)
    row.refresh_from_db()
    if not 0 < amount_fen <= row.left_fen:
        raise NotNow("退的钱要大于零,而且不能超过还没有退的部分。", code="more_than_left")
    mine = PaymentOrder.objects.filter(id=row.id, state__in=(State.PAID, State.REFUNDED), refunds=row.refunds)
    mine = mine.filter(amount_fen__gte=F("refunded_fen") + amount_fen)
    if not mine.update(state=State.REFUND_DUE, refund_fen=amount_fen, **NOBODY_S):
        raise NotNow("这笔钱正在退,请等它退完。", code="not_waiting")
    _on_record("payment.refund_part", row, visit, actor, reason, amount_fen)


def _asked_the_hospital(row: PaymentOrder, *, arrived: bool) -> None:
    """Before the visit is locked, as where a command ends: else each would wait for the other."""
    if not payments.settle(row.visit.hospital_id, row.visit_id, row.invoice_id, arrived=arrived):
        raise NotNow("医院已经有了答复,或者正在重新送达,请刷新再看。", code="payment_acknowledged")


def _kept(row: PaymentOrder, because: PaymentOrder.Waits, action: str, actor: Actor, reason: str) -> None:
    visit = visits.locked(row.visit_id)
    _moved(row, because)
    kind = OwnEvent.PAYMENT_CONFIRMED
    paying.tell(visit.id, kind, Reference(row.invoice_id), key=f"{kind.value}:{row.id}:{because}:{row.refunds}")
    _on_record(action, row, visit, actor, reason, row.left_fen)


def _moved(row: PaymentOrder, because: PaymentOrder.Waits, **values: object) -> None:
    """Out of those that wait, once."""
    mine = PaymentOrder.objects.filter(id=row.id, waits_because=because, state__in=(State.PAID, State.REFUNDED))
    if not mine.update(**values, **NOBODY_S):
        raise NotNow("这笔钱已经处理过了,请刷新再看。", code="not_waiting")


def _on_record(action: str, row: PaymentOrder, visit: Visit, actor: Actor, reason: str, amount_fen: int) -> None:
    audit.record(
        action,
        actor=actor,
        hospital_id=visit.hospital_id,
        entity="payment",
        entity_id=row.id,
        subject=visit.patient_id,
        why=reason,
        detail=f"{amount_fen} fen",
    )
