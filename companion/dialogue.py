"""One socket's session: opening and resuming it, one turn with its record, and the prompts that are due.

Between the consumer, which parses, and companion.conversation, which answers. Everything that touches rows is
synchronous; the consumer calls it through companion.background.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from avatar.renderers import installed
from companion import acting, cards, conversation, journey, looks, pace, people, prompts, reminders, visits
from companion.asking import AWAY
from companion.background import in_thread
from companion.conversation import DialogueMemory, PatientView, ResidentView
from companion.desks.visit import VisitDesk
from companion.events import Adjust, Ask, Event, Option, Say, ShowCard, SwitchPatient
from companion.exceptions import NotAllowed, NotFound
from companion.models import Conversation, FamilyLink, Patient, Resident, Turn, Visit
from hospitals.services import directory, waiting

log = structlog.get_logger(__name__)

REMEMBERED_TURNS = 50
# A conversation that slept longer than this begins with a greeting again instead of a resumption.
RESUME_WITHIN = timedelta(hours=12)
SEEN_AGAIN_AFTER = timedelta(hours=1)  # a page that comes back quietly is put down as seen no oftener
ELDER_YEARS = 70


@dataclass(slots=True)
class Session:
    """What the socket keeps in hand. ``id`` is the conversation's and the avatar's.

    ``avatar``, ``voice`` and ``lexicon``: those of the hospital whose visit is under way, else the province's.
    """

    id: UUID
    resident_id: UUID
    patient_id: UUID
    patient_name: str
    relation: str
    avatar: str
    rate: float
    turns: int
    resumed: bool
    elder: bool = False
    voice: str = ""
    lexicon: tuple[tuple[str, str], ...] = ()
    recent_turns: list[str] = field(default_factory=list)
    sign_in: UUID | None = None  # of the page that opened it

    @property
    def short(self) -> bool:
        """Whether one thought a sentence suits her: she is old, or has asked for slow speech."""
        return self.elder or self.rate < 1.0

    def remember(self, turn_id: str) -> None:
        self.recent_turns = [*self.recent_turns[-REMEMBERED_TURNS:], turn_id]

    def forget(self, turn_id: str) -> None:
        """It came to nothing: the same turn may be sent again."""
        self.recent_turns = [known for known in self.recent_turns if known != turn_id]


# --- opening ----------------------------------------------------------------------------------------------


@transaction.atomic
def open_session(resident_id: UUID, conversation_id: UUID | None, *, open_since: bool = False) -> Session:
    """Her conversation of that id if it is hers and still warm, else a new one about herself.

    ``open_since``: her page has been open on it, however long.
    """
    resident = Resident.objects.get(id=resident_id)
    row = None
    if conversation_id is not None:
        row = Conversation.objects.filter(id=conversation_id, resident=resident).select_related("patient").first()
    resumed = row is not None and (open_since or timezone.now() - row.last_seen_at < RESUME_WITHIN)
    if row is None or not resumed:
        row = Conversation.objects.create(resident=resident, patient=people.own_card(resident))
    row.save(update_fields=["last_seen_at"])
    patient, relation = _acting_for(resident, row)
    return Session(
        id=row.id,
        resident_id=resident.id,
        patient_id=patient.id,
        patient_name=patient.name,
        relation=relation,
        rate=resident.speech_rate,
        turns=row.turns_count,
        resumed=resumed and row.turns_count > 0,
        elder=(cards.age_of(people.own_card(resident)) or 0) >= ELDER_YEARS,
        **_speaker(row, patient.id),
        recent_turns=list(row.memory.get("turn_ids", [])),
    )


def _acting_for(resident: Resident, row: Conversation) -> tuple[Patient, str]:
    """Whom this conversation is about; herself again when a family member's consent has ended meanwhile."""
    if row.patient_id is None or not acting.acts_for(resident.id, row.patient_id):
        own, memory = people.own_card(resident), DialogueMemory.from_dict(row.memory.get("dialogue", {}))
        memory.forget_person()
        row.patient, row.memory = own, row.memory | {"dialogue": memory.to_dict()}
        row.save(update_fields=["patient", "memory"])
        return own, FamilyLink.Relation.SELF.label
    link = FamilyLink.objects.select_related("patient").get(resident=resident, patient_id=row.patient_id)
    return link.patient, str(link.get_relation_display())


def _speaker(row: Conversation, patient_id: UUID) -> dict[str, Any]:
    """Who speaks: the hospital's own avatar and voice while a visit is under way there, as far as they are installed here."""
    visit = visits.current(patient_id)
    if visit is None:
        return {"avatar": row.avatar}
    hers = directory.speaker(hospital_id=visit.hospital_id)
    if journey.VisitState(visit.state) not in journey.OPEN or not installed(hers.avatar):
        return {"avatar": row.avatar, "lexicon": hers.lexicon}
    return {"avatar": hers.avatar, "voice": hers.voice, "lexicon": hers.lexicon}


def opening_action(session: Session) -> dict[str, Any]:
    return {"kind": "resume" if session.resumed else "open"}


def ready_frame(session: Session) -> dict[str, Any]:
    """What the page needs to draw itself: who it is about and the visit under way."""
    return {
        "conversation": str(session.id),
        "avatar": session.avatar,
        "rate": session.rate,
        "patient": {"id": str(session.patient_id), "name": session.patient_name, "relation": session.relation},
        "resumed": session.resumed,
        "visit": current_frame(session.patient_id),
    }


# --- a turn -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Loaded:
    memory: dict[str, Any]
    resident: ResidentView
    patient: PatientView
    hospital_id: str
    ended: str  # the name of somebody for whom she may not act any more


def _load(session: Session) -> _Loaded:
    row = Conversation.objects.select_related("resident").get(id=session.id)
    ended = ""
    try:
        patient = acting.may_act_for(session.resident_id, session.patient_id)
    except NotAllowed:  # ended while the page was open
        ended, patient = session.patient_name, people.own_card(row.resident)
        _turn_to(session, patient, FamilyLink.Relation.SELF.label)
    session.patient_name = patient.name  # it may have been filled in meanwhile
    return _Loaded(
        memory=dict(row.memory),
        resident=ResidentView(id=str(session.resident_id), name=row.resident.name),
        patient=PatientView(
            id=str(patient.id),
            name=patient.name,
            relation=session.relation,
            age_years=cards.age_of(patient),
            sex=patient.sex,
        ),
        hospital_id=_tenant(patient.id),
        ended=ended,
    )


def _turn_to(session: Session, patient: Patient, relation: str) -> None:
    """From now on the conversation is about this patient; in place, since the turn under way holds the same session."""
    Conversation.objects.filter(id=session.id).update(patient=patient)
    session.patient_id, session.patient_name, session.relation = patient.id, patient.name, relation
    speaker = _speaker(Conversation.objects.get(id=session.id), patient.id)
    session.avatar, session.voice = speaker["avatar"], speaker.get("voice", "")
    session.lexicon = speaker.get("lexicon", ())


def _tenant(patient_id: UUID) -> str:
    """The hospital of the visit under way, on whose budget a language model speaks; asked only where there is a model."""
    visit = visits.current(patient_id) if settings.LANGUAGE_MODELS else None
    return str(visit.hospital_id) if visit else ""


async def turn(session: Session, turn_id: str, text: str, action: dict[str, Any] | None) -> AsyncGenerator[Event, None]:
    """Answer one turn, event by event, and keep it on record, also when she interrupts it."""
    loaded = await in_thread(_load, session)
    started = time.perf_counter()
    memory = DialogueMemory.from_dict(loaded.memory.get("dialogue", {}))
    memory.rate = session.rate  # she may have set it on the page
    if loaded.ended:
        memory.forget_person()
        yield SwitchPatient(str(session.patient_id), session.patient_name)
        yield Say(f"{loaded.ended}的授权已经结束,现在为您自己办理。")
    asked = conversation.Turn(
        session_id=str(session.id),
        turn_id=turn_id,
        resident=loaded.resident,
        patient=loaded.patient,
        text=text,
        action=action,
        now=timezone.localtime(),
        memory=memory,
        visits=VisitDesk(session.resident_id, session.patient_id, session.id, session.sign_in),
        hospital_id=loaded.hospital_id,
        short=session.short,
    )
    answered: list[Event] = []
    whole = False
    try:
        async with aclosing(conversation.reply(asked)) as events:
            async for event in events:
                answered.append(event)
                yield event
        whole = True
    except Exception:
        session.forget(turn_id)
        raise
    finally:
        session.turns += 1
        spent_ms = round((time.perf_counter() - started) * 1000)
        storing = asyncio.ensure_future(in_thread(_store, session, asked, answered, spent_ms, not whole))
        try:
            await asyncio.shield(storing)
        except asyncio.CancelledError:  # interrupted just now: the next turn begins with what is on record
            await storing
            raise


@transaction.atomic
def _store(session: Session, asked: conversation.Turn, answered: list[Event], spent_ms: int, interrupted: bool) -> None:
    row = Conversation.objects.select_for_update().get(id=session.id)
    row.turns_count += 1
    row.memory = {"dialogue": asked.memory.to_dict(), "turn_ids": session.recent_turns}
    row.patient_id = session.patient_id
    row.save()
    understood = asked.memory.last_understood
    Turn.objects.create(
        conversation=row,
        resident_id=session.resident_id,
        number=row.turns_count,
        said=asked.text,
        answered=[event.text for event in answered if isinstance(event, Say)],
        understood=understood,
        skill=str(understood.get("skill", ""))[:40],
        intent=str(understood.get("intent", ""))[:40],
        urgency=str(understood.get("urgency", ""))[:20],
        interrupted=interrupted,
        duration_ms=spent_ms,
    )
    session.turns = row.turns_count


def set_rate(session: Session, rate: float) -> Session:
    Resident.objects.filter(id=session.resident_id).update(speech_rate=rate)
    session.rate = rate
    return session


def adjusted(session: Session, event: Event) -> Session:
    """The session after the conversation changed whom it is about or how fast it speaks."""
    if isinstance(event, SwitchPatient):
        patient = acting.may_act_for(session.resident_id, event.patient_id)
        link = FamilyLink.objects.get(resident_id=session.resident_id, patient=patient)
        _turn_to(session, patient, str(link.get_relation_display()))
    if isinstance(event, Adjust) and event.setting == "rate":
        return set_rate(session, event.value)
    return session


def rate_turn(session: Session, number: int, value: int) -> None:
    """Her thumb up or down on one turn. Raises ``NotFound``."""
    if not Turn.objects.filter(conversation_id=session.id, number=number).update(rating=value):
        raise NotFound


# --- what happens by itself -------------------------------------------------------------------------------


def visit_frame(resident_id: UUID, patient_id: UUID, visit_id: UUID) -> dict[str, Any] | None:
    """What the page refreshes when a visit changed; None when it is about somebody else's visit than the one shown."""
    visit = Visit.objects.select_related("patient").filter(id=visit_id, resident_id=resident_id).first()
    if visit is None or visit.patient_id != patient_id or not acting.acts_for(resident_id, patient_id):
        return None
    return visits.shown(visit)


def current_frame(patient_id: UUID) -> dict[str, Any] | None:
    """The visit under way, as a page shows it."""
    visit = visits.current(patient_id)
    return visits.shown(visit) if visit else None


# Cards that stay on the screen although something later has come in: paid before examined, read before fetched.
GOES_BEFORE = {("invoice", "examination"), ("invoice", "medicine"), ("report", "medicine")}


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be said now without being asked, and what she has been told when it was."""

    events: list[Event]
    prompts: tuple[int, ...] = ()
    offers: tuple[waiting.PlaceOffered, ...] = ()
    labelled: bool = False


def due(session: Session) -> Due:
    """The prompts, what to do next, and places that came free. Nothing counts as said before ``told``."""
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
        if not hers(row.visit.patient_id):
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
    said += _offered_places(session, offers)
    label = _label_due(session) if said else False
    if label:
        said.insert(0, Say(conversation.LABEL))
    return Due(_bite_by_bite(said) if session.short else said, tuple(settled), tuple(offers), label)


@transaction.atomic
def told(session: Session, due: Due) -> None:
    """She has heard it: it is not said again."""
    visits.said(due.prompts)
    waiting.told(due.offers)
    if due.labelled:
        row = Conversation.objects.select_for_update().get(id=session.id)
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
