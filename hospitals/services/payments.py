"""A payment whose hospital never answered, settled by a person who asked it: it has the money, or it has not.

What a hospital answered itself stands, and so does what is on its way to it.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from hospitals import tenancy
from hospitals.connectors.base import CommandKind
from hospitals.models import OutboxCommand

State = OutboxCommand.State
BY_HAND = "by_hand"  # a command's reason where a person wrote down how it ended


class Tried(NamedTuple):
    """One command that told of a payment. ``sent_at``: None where the hospital cannot have heard of it."""

    state: str
    attempts: int
    sent_at: datetime | None
    done_at: datetime | None
    reason: str

    @property
    def label(self) -> str:
        return str(State(self.state).label)


def key_of(appointment_id: UUID, invoice_id: str) -> str:
    """How the keys of a bill's payments begin; of the second and later ones ``#`` and their number follows."""
    if "#" in invoice_id:
        invoice_id = hashlib.sha256(invoice_id.encode()).hexdigest()
    return f"pay:{appointment_id}:{invoice_id}"


def _commands(appointment_id: UUID, invoice_id: str) -> "tenancy.TenantQuerySet[OutboxCommand]":
    key = key_of(appointment_id, invoice_id)
    mine = OutboxCommand.objects.filter(appointment_id=appointment_id, kind=CommandKind.PAY)
    return mine.filter(Q(idempotency_key=key) | Q(idempotency_key__startswith=f"{key}#"))


def tried(hospital_id: UUID, appointment_id: UUID, invoice_id: str) -> list[Tried]:
    """What was tried to tell the hospital of this bill's payments, oldest first."""
    with tenancy.scope(hospital_id):
        rows = _commands(appointment_id, invoice_id).order_by("created_at", "id")
        return [Tried(*found) for found in rows.values_list(*Tried._fields)]


def tried_of(bills: Iterable[tuple[UUID, str]]) -> dict[tuple[UUID, str], list[Tried]]:
    """The same of many bills at once, inside a report over all hospitals."""
    keys = {key_of(*bill): bill for bill in bills}
    found: dict[tuple[UUID, str], list[Tried]] = {bill: [] for bill in keys.values()}
    rows = OutboxCommand.objects.filter(kind=CommandKind.PAY, appointment_id__in={bill[0] for bill in found})
    for key, *one in rows.order_by("created_at", "id").values_list("idempotency_key", *Tried._fields):
        if (bill := keys.get(key.partition("#")[0])) is not None:
            found[bill].append(Tried(*one))
    return found


@transaction.atomic
def settle(hospital_id: UUID, appointment_id: UUID, invoice_id: str, *, arrived: bool) -> bool:
    """End what was given up, so that nobody sends it again. False where nothing was, or the hospital has answered after all.

    ``arrived``: the hospital says that it has the money. In the caller's transaction, which False must end.
    """
    with tenancy.scope(hospital_id):
        rows = _commands(appointment_id, invoice_id)
        state = State.ACCEPTED if arrived else State.REFUSED
        ended = rows.filter(state=State.GIVEN_UP).update(state=state, reason=BY_HAND, done_at=timezone.now())
        if not ended:
            return False
        answered = rows.filter(state=State.ACCEPTED).exclude(reason=BY_HAND)
        return not (answered.exists() or rows.filter(state=State.WAITING).exists())
