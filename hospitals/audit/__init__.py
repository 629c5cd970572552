"""The audit log: who did what to whose data, in which hospital, why; appended, and chained so that any change shows.

Each hospital has a chain of its own, and what concerns no single one is in the chain "commission". A row's digest is a
keyed hash over its columns and the digest before it; the chain's end is sealed beside it (hospitals.audit.chain). Writing
takes the chain's row lock: do it last in a transaction. To prove it: hospitals.audit.proof; what shows elsewhere how long
the chains were: hospitals.audit.heads.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction

from hospitals import tenancy
from hospitals.audit import chain
from hospitals.audit.chain import COMMISSION
from hospitals.models import AuditEvent
from hospitals.personal import numbers_hidden


@dataclass(frozen=True, slots=True)
class Actor:
    """``kind``: resident | hospital | commission | service; ``name``: an account's or credential's name, a resident's UUID,
    never a person's name."""

    kind: str
    name: str = ""


SERVICE = Actor("service")


def ready() -> None:
    """For who records while statements go in one go: a key that is to be made must be made before.

    The chain cannot see to it when it is asked to record: statements are under way by then, and only an answer tells whether
    another process has made the key first. Forgotten, ``vault.new_key`` refuses.
    """
    chain.newest()


def ask_for_end(hospital_id: UUID) -> Any:
    """Lock the hospital's chain with statements that go in one go; for ``record``'s ``end``."""
    return chain.ask(str(hospital_id))


@transaction.atomic(savepoint=False)
def record(
    action: str,
    *,
    actor: Actor = SERVICE,
    hospital_id: UUID | None = None,
    entity: str = "",
    entity_id: object = "",
    subject: UUID | None = None,
    why: str = "",
    detail: str = "",
    end: Any = None,
) -> None:
    """Append one event to the hospital's chain, or to the commission's when it concerns no single hospital."""
    chain.append(
        chain.locked(str(hospital_id) if hospital_id else COMMISSION, end),
        actor_kind=actor.kind,
        actor=actor.name[:150],
        action=action,
        entity=entity,
        entity_id=str(entity_id)[:64],
        subject=subject,
        hospital_id=hospital_id,
        why=numbers_hidden(why)[:200],
        detail=detail,
    )


def record_once(
    action: str, *, since: datetime, actor: Actor, hospital_id: UUID, entity: str, entity_id: object, subject: UUID
) -> bool:
    """``record``, unless the same has been put down since then. Returns whether it was put down now."""
    same = AuditEvent.objects.filter(
        subject=subject, action=action, actor=actor.name, entity_id=str(entity_id)[:64], at__gte=since
    )
    if same.exists():  # most often: without the chain's lock
        return False
    with transaction.atomic():
        chain.locked(str(hospital_id))
        if same.exists():
            return False
        record(action, actor=actor, hospital_id=hospital_id, entity=entity, entity_id=entity_id, subject=subject)
    return True


def about(subject: UUID, *, limit: int = 100) -> list[AuditEvent]:
    """Who looked at or changed this patient's data, newest first: what a resident may see of her own people."""
    return list(AuditEvent.objects.filter(subject=subject).order_by("-at")[:limit])


def _report(report: str, reason: str, *, actor: Actor) -> None:
    record("report", actor=actor, entity="report", entity_id=report, why=reason)


tenancy.on_report.append(partial(_report, actor=Actor("commission")))
