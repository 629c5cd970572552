"""Heads of the chains, sent elsewhere: what shows a chain cut or made anew by somebody who has the database and the key.

They go into the log stream (``audit.heads``: chain, length, head; no personal data), which the operator keeps where the
database's keepers cannot write, and as one event into the commission's chain.
"""

import structlog
from django.db import transaction
from django.db.models import F

from hospitals import audit
from hospitals.audit import chain
from hospitals.audit.chain import COMMISSION
from hospitals.audit.proof import HEADS, Anchor
from hospitals.models import AuditChain

log = structlog.get_logger(__name__)


def send() -> int:
    """Write down the heads that moved since the last time, and always the commission's. Returns how many moved.

    Killed anywhere, the next call sends again what this one did not finish.
    """
    seal_old_ends()
    with transaction.atomic():
        behind = AuditChain.objects.exclude(key=COMMISSION).exclude(length=F("anchored")).order_by("key")
        moved = [Anchor(*row) for row in behind.values_list("key", "length", "head")]
        for one in moved:
            _tell(one)
        if moved:
            lines = "\n".join(f"{one.chain} {one.length} {one.head}" for one in moved)
            audit.record(HEADS, entity="chain", entity_id=len(moved), detail=lines)
    for one in moved:
        with transaction.atomic():
            chain.seal_anew(one.chain, anchored=one.length)
    for row in AuditChain.objects.filter(key=COMMISSION).values_list("key", "length", "head"):
        _tell(Anchor(*row))
    return len(moved)


def _tell(one: Anchor) -> None:
    log.info(HEADS, chain=one.chain, length=one.length, head=one.head)


def seal_old_ends() -> None:
    """Chains from before there was a key: their births are put down as they stand, and their ends sealed."""
    for name in AuditChain.objects.filter(seal="").order_by("key").values_list("key", flat=True):
        with transaction.atomic():
            chain.locked(name)
