"""Pages that only lost their line come back, after a restart all at once: is everything still as they show it?

Whoever asks while a look is under way is in the next one, so that thousands cost a handful of statements together. Nothing
is decrypted for it: a page that shows what is so needs no more before something happens.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import structlog
from django.utils import timezone
from redis import RedisError

from companion import acting, fanout, visits
from companion.background import in_thread
from companion.dialogue import RESUME_WITHIN, SEEN_AGAIN_AFTER
from companion.models import Conversation, ResidentSession
from companion.signin import Claims
from hospitals.services import waiting

log = structlog.get_logger(__name__)

LOOKED_AT_TOGETHER = 200


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page says it shows, under a token whose signature is good. ``number``: of the visit's events, 0 without one."""

    claims: Claims
    conversation_id: UUID
    patient_id: UUID
    visit_id: UUID | None
    number: int
    since: int = field(default_factory=time.time_ns)

    def overtaken_by(self, message: Mapping[str, Any]) -> bool:
        """Whether another socket has taken the conversation since. Of one page's two sockets the newer is the live one."""
        return bool(message["taken"] == self.conversation_id.hex and message["since"] > self.since)


def shown(claims: Claims, hello: Mapping[str, Any]) -> Shown | None:
    """From a ``hello`` frame; None where it does not say, or not legibly."""
    try:
        conversation, patient, visit = UUID(hello["conversation"]), UUID(hello["patient"]), hello.get("visit")
        number = int(visit["number"]) if visit else 0
        return Shown(claims, conversation, patient, UUID(visit["id"]) if visit else None, number)
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError):
        return None


def unchanged(asked: Sequence[Shown]) -> list[bool]:
    """Of each page whether its sign-in and consent still hold, it shows what is so, and nothing waits to be said."""
    now = timezone.now()
    residents = {a.claims.resident_id for a in asked}
    patients = {a.patient_id for a in asked}
    signed_in = set(
        ResidentSession.objects.filter(
            id__in=[a.claims.session_id for a in asked], revoked_at=None, expires_at__gt=now
        ).values_list("id", "resident_id")
    )
    talks = {
        (talk, resident, patient): seen
        for talk, resident, patient, seen in Conversation.objects.filter(
            id__in=[a.conversation_id for a in asked], turns_count__gt=0, last_seen_at__gt=now - RESUME_WITHIN
        ).values_list("id", "resident_id", "patient_id", "last_seen_at")
    }
    allowed = acting.pairs(residents, patients)
    standing = visits.standing(patients)
    to_say = visits.with_prompts(residents)
    offered = waiting.offered(patients)
    answers = [
        (a.claims.session_id, a.claims.resident_id) in signed_in
        and (a.conversation_id, a.claims.resident_id, a.patient_id) in talks
        and (a.claims.resident_id, a.patient_id) in allowed
        and standing.get(a.patient_id, (None, 0)) == (a.visit_id, a.number)
        and a.claims.resident_id not in to_say
        and a.patient_id not in offered
        for a in asked
    ]
    long_ago = {talk for (talk, *_), seen in talks.items() if now - seen > SEEN_AGAIN_AFTER}
    long_ago &= {a.conversation_id for a in compress(asked, answers)}
    if long_ago:
        Conversation.objects.filter(id__in=long_ago).update(last_seen_at=now)
    return answers


def take_over(pages: Sequence[Shown]) -> None:
    """Tell the other sockets of these conversations that they go on here."""
    taken = [(p.claims.resident_id, {"taken": p.conversation_id.hex, "since": p.since}) for p in pages]
    try:
        fanout.publish_all(taken)
    except (RedisError, OSError):  # they are told when they are next heard or spoken to
        log.warning("take_over_failed")


def _answered(asked: Sequence[Shown]) -> list[bool]:
    answers = unchanged(asked)
    take_over(list(compress(asked, answers)))
    return answers


class Looks:
    """The looks of one event loop."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Shown, asyncio.Future[bool]]] = []
        self._looking: asyncio.Task[None] | None = None

    async def unchanged(self, page: Shown) -> bool:
        """As ``unchanged``; False, too, where it could not be looked up: who goes the whole way is told why."""
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append((page, answer))
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="reopening")
        return await answer

    async def _look(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:LOOKED_AT_TOGETHER], self._waiting[LOOKED_AT_TOGETHER:]
            answers = [False] * len(batch)
            try:
                answers = await in_thread(_answered, [page for page, _ in batch])
            except Exception as error:  # noqa: BLE001  these pages go the whole way, and the next ones are looked up
                log.error("reopening_failed", exc_info=error)
            for (_, answer), same in zip(batch, answers, strict=True):
                if not answer.done():  # its page may have gone meanwhile
                    answer.set_result(same)
        self._looking = None


_looks: WeakKeyDictionary[asyncio.AbstractEventLoop, Looks] = WeakKeyDictionary()


def looks() -> Looks:
    return _looks.setdefault(asyncio.get_running_loop(), Looks())
