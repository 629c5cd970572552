"""What hospitals are called: residents who say a name or a nickname mean one hospital.

A nickname is no part of another's name and nobody else's nickname; a name is nobody else's nickname. It may hold one: 市一院北院
is called so, and who says 市一院 still means the other.
"""

from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from hospitals.exceptions import Conflict, InvalidInput
from hospitals.models import Hospital

NICKNAMES = 5
_LOCK = 7_301_934  # any number that no other advisory lock of this database has


def _others(hospital_id: UUID) -> "QuerySet[Hospital]":
    """All that are there besides this one. Until the commit no other hospital looks: two that wish for one name at the same moment
    would each find it free. In a transaction."""
    if connection.vendor == "postgresql":  # SQLite has one writer at a time anyway
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    return Hospital.objects.exclude(id=hospital_id).exclude(state=Hospital.State.LEFT)


def check_name(hospital_id: UUID, name: str) -> None:
    """Raises ``Conflict`` for another's nickname; that it is another's name is the database's to refuse."""
    if any(name in theirs for theirs in _others(hospital_id).values_list("nicknames", flat=True)):
        raise Conflict("这个名称是另一家医院的俗称,请用执业许可证上的全称。", code="name_taken")


def check_nicknames(row: Hospital, nicknames: list[str]) -> None:
    """Raises ``InvalidInput``; those that it has already it keeps, whoever has come since."""
    if len(set(nicknames)) > NICKNAMES or len(set(nicknames)) < len(nicknames):
        raise InvalidInput(f"俗称最多{NICKNAMES}个,且不重复。", code="too_many_nicknames")
    new = [(number, nickname) for number, nickname in enumerate(nicknames) if nickname not in row.nicknames]
    for name, theirs in _others(row.id).values_list("name", "nicknames"):
        for number, nickname in new:
            if nickname in name or nickname in theirs:
                place = {"pointer": f"/nicknames/{number}", "code": "nickname_taken"}
                raise InvalidInput("这个俗称也会被听成别的医院,请换一个。", code="nickname_taken", errors=[place])
