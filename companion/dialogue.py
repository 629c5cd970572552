"""One socket's session: opening and resuming it, one turn with its record, and the visit that its page shows.

Between the consumer, which parses, and companion.conversation, which answers. Everything that touches rows is
synchronous; the consumer calls it through companion.background.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from avatar.renderers import installed
from companion import acting, cards, conversation, journey, people, visits
from companion.background import in_thread
from companion.conversation import DialogueMemory, PatientView, ResidentView
from companion.desks.visit import VisitDesk
from companion.events import Adjust, Event, Say, SwitchPatient
from companion.exceptions import NotAllowed, NotFound
from companion.models import Conversation, FamilyLink, Patient, Resident, Turn, Visit
from hospitals.services import directory

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


# --- the visit on the screen ------------------------------------------------------------------------------


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
