"""To erase is to destroy the owner's data key: whatever was sealed with it, here or in a backup, nobody can read any more.

A resident's data in hospitals' rows are sealed with her key and the hospital's together (hospitals.pairs), so they go with
either. What stands in clear and leads to her is cleared in the same transaction; docs/security.md has the list.
"""

from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.module_loading import import_string

from hospitals import audit, tenancy, vault
from hospitals.audit import Actor
from hospitals.connectors.base import CommandKind
from hospitals.exceptions import (
    CiphertextInvalid,
    InvalidInput,
    KeyDestroyed,
    NotFound,
    TooLate,
    UnknownAppointment,
    UnknownHospital,
    WrongState,
)
from hospitals.models import Appointment, DataKey, Hospital, InboxEvent, OutboxCommand, Slot, SlotHold, WaitingEntry
from hospitals.services import booking, copies, inbox, onboarding, outbox, waiting
from hospitals.services.copies import Kept

# What was written by a process that still remembered her key, or had begun before, is cleared by looking again until then.
SETTLED_AFTER = timedelta(hours=24)
PAGE = 200
_REASON = "居民注销了账户"
# Of what waits for a hospital these go on without her: her place is given back, and what she paid is told.
_GO_ON = (CommandKind.CANCEL.value, CommandKind.PAY.value)


def _because(reason: str) -> str:
    if not reason.strip():
        raise InvalidInput("请写明理由。", code="reason_missing")
    return reason.strip()


@transaction.atomic
def erase_hospital(hospital_id: UUID, *, actor: Actor, reason: str) -> int:
    """Destroy the keys of a hospital that has left; returns how many. What waits for it or came from it is settled first, so
    that whoever it is about hears of it.

    Raises ``UnknownHospital``, ``WrongState`` while it has not left, ``InvalidInput`` without a reason.
    """
    why = _because(reason)
    with tenancy.scope(hospital_id):
        row = Hospital.objects.select_for_update(no_key=True).filter(id=hospital_id).first()
    if row is None:
        raise UnknownHospital
    if row.state != Hospital.State.LEFT:
        raise WrongState("医院还没有退出,不能清除。", code="not_left")
    with tenancy.scope(hospital_id):
        outbox.give_up_all("hospital_left")
        came = InboxEvent.objects.filter(state=InboxEvent.State.RECEIVED).order_by("received_at", "id")
        for inbox_id in list(came.values_list("id", flat=True)):
            inbox.handle(hospital_id, inbox_id)
    count = vault.erase("hospital", hospital_id)
    audit.record("erased", actor=actor, hospital_id=hospital_id, entity="hospital", entity_id=hospital_id, why=why)
    return count


@transaction.atomic
def leave_and_erase(hospital_id: UUID, *, actor: Actor, reason: str) -> int:
    """A hospital goes and takes its data along, in one step or not at all; returns how many keys were destroyed.

    Raises as ``onboarding.leave`` and ``erase_hospital``.
    """
    onboarding.leave(hospital_id=hospital_id, actor=actor, reason=reason)
    return erase_hospital(hospital_id, actor=actor, reason=reason)


# --- a resident ---------------------------------------------------------------------------------------------


def erase_resident(resident_id: UUID, *, actor: Actor, reason: str) -> int:
    """Destroy the keys of a resident who asked, clear what leads to her, and have settings.HOSPITALS_ERASURE_SINK do the same
    on its side.

    Her places are given back first, one by one; then all happens in one transaction or, when the process dies, not at all:
    call again. Returns how many keys, 0 when it was done before. Raises ``NotFound`` for somebody who never had a key,
    ``InvalidInput`` without a reason.
    """
    why = _because(reason)
    if not DataKey.objects.filter(owner_kind="resident", owner_id=str(resident_id)).exists():
        raise NotFound
    _end_bookings(copies.of(resident_id), actor)
    with transaction.atomic():
        _clear(resident_id)
        count = vault.erase("resident", resident_id)
        audit.record("erased", actor=actor, entity="resident", entity_id=resident_id, subject=resident_id, why=why)
    return count


def finish(now: datetime | None = None) -> int:
    """Look again at those who were erased lately; what others were writing at that moment goes too. Returns how many."""
    now = now or timezone.now()
    keys = DataKey.objects.filter(owner_kind="resident")
    rotated = keys.filter(owner_id=OuterRef("owner_id"), destroyed_at=None)  # only an older version of hers is gone
    lately = keys.filter(destroyed_at__gt=now - SETTLED_AFTER).exclude(Exists(rotated))
    gone = set(lately.values_list("owner_id", flat=True))
    for owner_id in sorted(gone):
        with transaction.atomic():
            _clear(UUID(owner_id))
    return len(gone)


def _end_bookings(kept: Kept, actor: Actor) -> None:
    """Ask for her places to be taken back, each in a transaction of its own; what is too late for that stands, what is at a
    hospital that was erased, and what cannot be written down because a key of the two is damaged."""
    for hospital_id, ids in copies.pages(kept, PAGE):
        with tenancy.scope(hospital_id):
            standing = Appointment.objects.filter(id__in=ids, erased_at=None, state__in=booking.CANCELLABLE)
            found = list(standing.order_by("id").values_list("id", flat=True))
        for appointment_id in found:
            with suppress(TooLate, WrongState, UnknownAppointment, KeyDestroyed, CiphertextInvalid):
                booking.cancel(appointment_id=appointment_id, reason=_REASON, actor=actor)


def _clear(resident_id: UUID) -> None:
    """Rows of hers in every hospital, then the companion's. Again changes nothing more. In a transaction."""
    kept = copies.of(resident_id)
    for hospital_id, ids in copies.pages(kept, PAGE):
        with tenancy.scope(hospital_id):
            InboxEvent.objects.filter(appointment_key__in=[str(found) for found in ids]).delete()
            _clear_commands(ids)
            _clear_appointments(ids)
    _clear_lines(kept)
    import_string(settings.HOSPITALS_ERASURE_SINK)(resident_id)


def _clear_commands(ids: list[UUID]) -> None:
    """What waits goes on under the hospital's key alone, without her words; the rest loses what it said."""
    hers, waits = OutboxCommand.objects.filter(appointment_id__in=ids), OutboxCommand.State.WAITING
    for row in hers.filter(state=waits).exclude(keeper_id=None).select_for_update().order_by("id"):
        if row.kind in _GO_ON:
            # its hospital was erased, it was written while she was being, or it is damaged
            with suppress(KeyDestroyed, CiphertextInvalid), transaction.atomic():
                said = row.data if row.kind == CommandKind.PAY else {"reason": _REASON}
                row.keeper_id, row.data = None, said
                row.save(update_fields=["keeper_id", "data"])
                continue
        row.keeper_id, row.data, row.state, row.done_at = None, None, OutboxCommand.State.WITHDRAWN, timezone.now()
        row.save(update_fields=["keeper_id", "data", "state", "done_at"])
    hers.exclude(state=waits).update(keeper_id=None, data=None)


def _clear_appointments(ids: list[UUID]) -> None:
    """Nothing of them leads to her but their ids, which her hospital knows and the audit log names."""
    for row in Appointment.objects.filter(id__in=ids, erased_at=None).select_for_update().order_by("id"):
        nobody = f"erased:{row.id.hex}"
        Appointment.objects.filter(id=row.id).update(
            keeper_id=None,
            card=None,
            subject=uuid4(),
            id_number_index=nobody,
            idempotency_key=nobody,
            reference="",
            erased_at=timezone.now(),
        )


def _clear_lines(kept: Kept) -> None:
    """Where she waited or had a place held, in whatever hospital: the place goes on to the next."""
    with tenancy.service("lines of one person"):
        waits = set(WaitingEntry.objects.filter(subject__in=kept.subjects).values_list("hospital_id", flat=True))
        holds = set(SlotHold.objects.filter(subject__in=kept.subjects).values_list("hospital_id", flat=True))
    for hospital_id in sorted(waits | holds):
        with tenancy.scope(hospital_id):
            mine = SlotHold.objects.filter(subject__in=kept.subjects)
            held = mine.filter(state=SlotHold.State.HELD).order_by("id")
            # Locked in the order of hospitals.services.waiting; released only once she waits nowhere, or she would be offered
            # a place again.
            slots = list(held.select_for_update().values_list("slot_id", flat=True))
            list(Slot.objects.select_for_update(no_key=True).filter(id__in=slots).order_by("id").values_list("id"))
            WaitingEntry.objects.filter(subject__in=kept.subjects).delete()
            for hold_id in list(held.values_list("id", flat=True)):
                waiting.release(hold_id, now=timezone.now())
            mine.delete()
