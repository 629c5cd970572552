"""What somebody with the database's own password could do to the audit log: no triggers, and plain digests made anew."""

from typing import Any

from django.db import connection

from hospitals.audit import chain
from hospitals.audit.chain import GENESIS
from hospitals.models import AuditChain, AuditEvent
from tests.obedient import as_owner


def unguarded(sql: str, *values: object) -> None:
    """Without the triggers that forbid it."""
    with as_owner(), connection.cursor() as cursor:
        table = " ON hospitals_auditevent" if connection.vendor == "postgresql" else ""
        cursor.execute(f"DROP TRIGGER IF EXISTS audit_event_append_only{table}")
        cursor.execute(sql, values)


def digests(name: str) -> list[str]:
    """Of the chain's rows, in order."""
    return list(AuditEvent.objects.filter(chain_id=name).order_by("number").values_list("digest", flat=True))


def as_it_is(name: str) -> dict[str, Any]:
    """The chain's end, to be given back later."""
    return dict(AuditChain.objects.filter(key=name).values("length", "head", "anchored", "key_version", "seal").get())


def plain_from(name: str, number: int, *, keep_version: bool, **changes: Any) -> None:
    """Change the row of that number and make it and all behind it anew with plain SHA-256, the chain's end as well."""
    unguarded("SELECT 1")
    previous = GENESIS
    for row in AuditEvent.objects.filter(chain_id=name).order_by("number"):
        if row.number >= number:
            values = {"previous": previous, **(changes if row.number == number else {})}
            if not keep_version:
                values |= {"key_version": 0, "detail": ""}
            for column, value in values.items():
                setattr(row, column, value)
            values["digest"] = row.digest = chain.digest(row, None)
            AuditEvent.objects.filter(pk=row.pk).update(**values)
        previous = row.digest
    AuditChain.objects.filter(key=name).update(head=previous)
