"""What staff have looked at and dealt with: incidents opened and handled, requests for a person answered; each on the audit log with who did it."""

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from companion.models import HumanRequest, Incident
from hospitals import audit
from hospitals.audit import Actor


@transaction.atomic
def handle(rows: QuerySet[Incident], *, actor: Actor) -> int:
    """Mark those that nobody has handled. Returns how many."""
    mine = list(rows.filter(handled_at=None).values_list("id", flat=True))
    open_ones = Incident.objects.filter(id__in=mine, handled_at=None)
    count = open_ones.update(handled_at=timezone.now(), handled_by=actor.name)
    for key in mine:
        audit.record("incident.handle", actor=actor, entity="incident", entity_id=key)
    return count


def looked(row: Incident, *, actor: Actor) -> None:
    """Somebody opened it, and the note that may well speak of whose talk it happened in."""
    talk = row.conversation
    subject = (talk.patient_id or talk.resident_id) if talk else None
    audit.record(
        "staff.look", actor=actor, entity="incident", entity_id=row.id, subject=subject, why=row.get_kind_display()
    )


@transaction.atomic
def write_note(row: Incident, note: str, *, actor: Actor) -> None:
    """What staff want to keep about it, in place of what was there."""
    row.note = note or None
    row.save(update_fields=["note"])
    audit.record("incident.note", actor=actor, entity="incident", entity_id=row.id)


@transaction.atomic
def answer(rows: QuerySet[HumanRequest], *, actor: Actor) -> int:
    """Mark those that nobody has answered. Returns how many."""
    mine = list(rows.filter(answered_at=None).values_list("id", flat=True))
    count = HumanRequest.objects.filter(id__in=mine, answered_at=None).update(answered_at=timezone.now())
    for key in mine:
        audit.record("human_request.answer", actor=actor, entity="human_request", entity_id=key)
    return count
