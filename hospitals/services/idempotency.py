"""A write with an Idempotency-Key is done once: the same again gets the same answer, anything else under the key is refused.

``begin``, the deed and ``finish`` are one transaction: a process that dies in between leaves none of them, and the same request
sent at the same moment waits for the first one's answer. Only a call that goes out to a hospital is not: its key is taken while it lasts (``InProgress``).
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from hospitals.exceptions import IdempotencyConflict, InProgress
from hospitals.models import IdempotentAnswer
from hospitals.services.access import Credential

KEPT = timedelta(hours=24)
ABANDONED = timedelta(minutes=5)  # a process that died while it called a hospital


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: Any


def fingerprint(*parts: bytes | str) -> str:
    """One digest over what a request asks for."""
    whole = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        whole.update(len(raw).to_bytes(8, "big") + raw)
    return whole.hexdigest()


def begin(who: Credential, key: str, print_: str) -> Answer | None:
    """What was answered before; None when the work is the caller's to do. In the hospital's scope.

    Raises ``IdempotencyConflict`` for another request under this key, ``InProgress`` while the first one is at work.
    """
    now = timezone.now()
    mine = IdempotentAnswer.objects.filter(client_id=who.client_id)
    mine.filter(created_at__lt=now - KEPT).delete()
    mine.filter(status=None, created_at__lt=now - ABANDONED).delete()
    try:
        with transaction.atomic():
            IdempotentAnswer.objects.create(
                hospital_id=who.hospital_id, client_id=who.client_id, key=key, fingerprint=print_
            )
        return None
    except IntegrityError:
        known = mine.filter(key=key).first()
    if known is not None and known.fingerprint != print_:
        raise IdempotencyConflict
    if known is None or known.status is None:  # none: it was refused a moment ago, and the key is free again
        raise InProgress
    return Answer(known.status, known.headers, known.body)


def finish(who: Credential, key: str, answer: Answer) -> None:
    """Keep what was answered, if the work was done; otherwise the key is free again."""
    mine = IdempotentAnswer.objects.filter(client_id=who.client_id, key=key)
    if 200 <= answer.status < 300:
        mine.update(status=answer.status, headers=answer.headers, body=answer.body)
    else:
        mine.delete()
