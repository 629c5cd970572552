"""What the companion brings up by itself: the prompts, next step and offered places that are due, and that she was told.

Synchronous, as companion.dialogue; companion.open_page says it, companion.confirming keeps what the page has not confirmed.
"""

from collections.abc import Container
from dataclasses import dataclass, field, replace
from functools import cache
from uuid import UUID

import structlog
from django.db import transaction
from django.utils import timezone

from companion import acting, cards, conversation, looks, pace, prompts, reminders, visits
from companion.asking import AWAY
from companion.conversation import DialogueMemory
from companion.dialogue import Session
from companion.events import Ask, Event, Option, Say, ShowCard
from companion.models import Conversation, Resident, Visit
from hospitals.services import waiting

log = structlog.get_logger(__name__)

# Cards that stay on the screen although something later has come in: paid before examined, read before fetched.
GOES_BEFORE = {("invoice", "examination"), ("invoice", "medicine"), ("report", "medicine")}


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be said now without being asked, and what she has been told when it was.

    ``prompts``: ids of ``VisitPrompt`` rows. ``labelled``: the conversation in which she is told that this is an AI.
    """

    events: list[Event] = field(default_factory=list)
    prompts: tuple[int, ...] = ()
    offers: tuple[waiting.PlaceOffered, ...] = ()
    labelled: UUID | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of each thing that she is told, in Redis."""
        return (*map(prompt_name, self.prompts), *map(offer_name, self.offers))

    def parted(self, before: Container[str]) -> tuple["Due", "Due"]:
        """What counts as told once it is written, and what only when the page confirms it. Without events.

        ``before``: names of what was written to an earlier page, which never confirmed it. A third time is nobody's wish.
        """
        if not self.events:
            return self, Due()
        again, first = (
            Due(
                prompts=tuple(p for p in self.prompts if (prompt_name(p) in before) is known),
                offers=tuple(o for o in self.offers if (offer_name(o) in before) is known),
            )
            for known in (True, False)
        )
        return replace(again, labelled=self.labelled), first


def prompt_name(prompt: int) -> str:
    return f"prompt:{prompt}"


def offer_name(offer: waiting.PlaceOffered) -> str:
    return f"offer:{offer.entry_id.hex}"


def due(session: Session, under_way: Container[str] = ()) -> Due:
    """The prompts, what to do next, and places that came free. Nothing counts as said before ``told``.

    ``under_way``: names of what was written to a page that is open and may still confirm it.
    """
    resident = Resident.objects.get(id=session.resident_id)
    now = timezone.now()
    quiet = prompts.in_quiet_hours(resident, now)

    @cache
    def hers(patient_id: UUID) -> bool:
        return acting.acts_for(session.resident_id, patient_id)

    said: list[Event] = []
    spoken_of: list[Visit] = []
    settled: list[int] = []
    for row in visits.unsaid(session.resident_id):
        if prompt_name(row.id) in under_way or not hers(row.visit.patient_id):
            continue
        try:
            journey = visits.journey_of(row.visit)
            about = (row.visit, journey, row.name, row.part_id)
            if quiet and prompts.waits_for_morning(*about, resident.quiet_until, now):
                continue
            if reminders.worth_saying(row.name, row.part_id, row.due_at, journey, row.visit.start, now):
                said += _to_listener(session, row.visit, prompts.events(*about, row.due_at))
                spoken_of.append(row.visit)
        except AWAY:
            raise
        except Exception as error:  # noqa: BLE001  it stays due, and those behind it are not held up
            log.error("prompt_failed", visit=str(row.visit_id), exc_info=error)
            continue
        settled.append(row.id)
    if spoken_of:
        # what to do next is said of one visit: of the patient this conversation is about, if hers is among them
        visit = next((v for v in reversed(spoken_of) if v.patient_id == session.patient_id), spoken_of[-1])
        journey = visits.journey_of(visit)
        shown = [event.kind for event in said if isinstance(event, ShowCard)]
        first = cards.main_card(visit, journey)
        if first and (len(shown) > 1 or (shown and (first.kind, shown[0]) in GOES_BEFORE)):
            # a bill and an examination come together or a moment apart: the card is the one the next step is about
            said = [event for event in said if not isinstance(event, ShowCard)] + [first]
        said += _to_listener(session, visit, prompts.next_events(visit, journey))
    offers = waiting.offers(subject=session.patient_id) if hers(session.patient_id) else []
    offers = [offer for offer in offers if offer_name(offer) not in under_way]
    said += _offered_places(session, offers)
    label = bool(said) and _label_due(session)
    if label:
        said.insert(0, Say(conversation.LABEL))
    events = _bite_by_bite(said) if session.short else said
    return Due(events, tuple(settled), tuple(offers), session.id if label else None)


@transaction.atomic
def told(due: Due) -> None:
    """She has heard it: it is not said again."""
    visits.said(due.prompts)
    waiting.told(due.offers)
    if due.labelled is not None:
        row = Conversation.objects.select_for_update().get(id=due.labelled)
        memory = DialogueMemory.from_dict(row.memory.get("dialogue", {}))
        memory.labelled_at = timezone.localtime().isoformat(timespec="seconds")
        row.memory = row.memory | {"dialogue": memory.to_dict()}
        row.save(update_fields=["memory"])


def _bite_by_bite(said: list[Event]) -> list[Event]:
    result: list[Event] = []
    for event in said:
        result += [replace(event, text=s) for s in pace.sentences(event.text)] if isinstance(event, Say) else [event]
    return result


def _to_listener(session: Session, visit: Visit, said: list[Event]) -> list[Event]:
    return said if visit.patient_id == session.patient_id else prompts.about(visit.patient, said)


def _label_due(session: Session) -> bool:
    """After two hours she is told again that this is an AI, also when nobody asked anything."""
    memory = DialogueMemory.from_dict(Conversation.objects.get(id=session.id).memory.get("dialogue", {}))
    return bool(memory.labelled_at) and conversation.label_due(memory, timezone.localtime())


def _offered_places(session: Session, offers: list[waiting.PlaceOffered]) -> list[Event]:
    """The places that the waiting list holds for whom this conversation is about."""
    said: list[Event] = []
    for offer in offers:
        looks.looked_at_line(offer, resident_id=session.resident_id, patient_id=session.patient_id)
        who = f"{offer.hospital}{offer.department}{offer.practitioner}医生"
        until = prompts.clock(offer.expires_at)
        said.append(Say(f"候补到号了:{who},{prompts.clock(offer.start)}。这个号给{session.patient_name}留到{until}。"))
        booking = {"kind": "book", "slot_id": str(offer.slot_id)}
        said.append(Ask("offer", (Option("约这个号", "", booking), Option("不用了", "不用了"))))
    return said
