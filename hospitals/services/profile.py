"""What a hospital says of itself as a whole: its facts, its rules, how its words are pronounced."""

from typing import Any
from uuid import UUID

from django.db import transaction

from hospitals import audit
from hospitals.audit import Actor
from hospitals.models import Hospital
from hospitals.services import feed, names, upsert

# What a hospital may change by itself; name, code, level, city and state are the commission's.
EDITABLE = (
    "nicknames",
    "address",
    "phone",
    "has_emergency",
    "opening_hours",
    "missed_call_rule",
    "requeue_after",
    "cancel_until_min",
    "check_in_opens_min",
    "no_show_limit",
    "no_show_days",
    "hold_min",
    "avatar",
    "voice",
)
SHOWN = ("code", "name", "level", "city", "state", *EDITABLE)


def read(hospital_id: UUID) -> dict[str, Any]:
    row = Hospital.objects.get(id=hospital_id)
    return {name: getattr(row, name) for name in SHOWN}


@transaction.atomic
def change(*, hospital_id: UUID, facts: dict[str, Any], if_match: str = "", actor: Actor) -> dict[str, Any]:
    """Raises ``Outdated`` when it is not as the caller read it, ``InvalidInput`` for nicknames that mean another hospital."""
    upsert.lock(hospital_id)
    feed.check_tag(read(hospital_id), if_match)
    row = Hospital.objects.get(id=hospital_id)
    if "nicknames" in facts:
        names.check_nicknames(row, facts["nicknames"])
    changed = {name: value for name, value in facts.items() if name in EDITABLE and getattr(row, name) != value}
    if changed:
        for name, value in changed.items():
            setattr(row, name, value)
        row.save(update_fields=[*changed, "changed_at"])
        audit.record(
            "hospital.change",
            actor=actor,
            hospital_id=hospital_id,
            entity="hospital",
            entity_id=hospital_id,
            detail=",".join(sorted(changed)),
        )
    return read(hospital_id)


def read_lexicon(hospital_id: UUID) -> list[dict[str, str]]:
    pairs = Hospital.objects.values_list("lexicon", flat=True).get(id=hospital_id)
    return [{"written": written, "spoken": spoken} for written, spoken in pairs]


@transaction.atomic
def write_lexicon(
    *, hospital_id: UUID, entries: list[dict[str, str]], if_match: str = "", actor: Actor
) -> list[dict[str, str]]:
    """Replace the whole lexicon. Raises ``Outdated``."""
    upsert.lock(hospital_id)
    feed.check_tag(read_lexicon(hospital_id), if_match)
    row = Hospital.objects.get(id=hospital_id)
    row.lexicon = [[entry["written"], entry["spoken"]] for entry in entries]
    row.save(update_fields=["lexicon", "changed_at"])
    audit.record("directory.lexicon", actor=actor, hospital_id=hospital_id, entity="hospital", entity_id=hospital_id)
    return read_lexicon(hospital_id)
