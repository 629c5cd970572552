"""One turn of conversation: guard, understand, let a skill answer, and guard every word that goes out.

Red flags come first, over everything else and over any model. What is understood is handed to one skill a wish; each
sentence a skill says passes ``safety.check_reply`` before it leaves. Nothing here waits for more than the port.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

import structlog

from companion import llm, pace, safety
from companion.events import Ask, Event, Say
from companion.exceptions import CompanionError, Unavailable
from companion.fluency import Allowed, Fluency
from companion.memory import DialogueMemory
from companion.ports.booking import HospitalView
from companion.ports.people import PatientView, PersonView, ResidentView
from companion.ports.visit import VisitPort
from companion.skills import emergency, family, people, registry, talk
from companion.skills.scene import Scene
from companion.understanding import UNKNOWN, Context, Person, Understanding, Wish, normalise, understand
from companion.understanding.intents import kind_of

__all__ = ["DialogueMemory", "PatientView", "ResidentView", "Turn", "reply"]

log = structlog.get_logger(__name__)

LABEL_AGAIN_AFTER = timedelta(hours=2)
ALLOWED = Allowed()  # what a language model may cost in waiting
LABEL = "提醒您:我是AI助手,不是医生,我的话不能代替医生。"
_MAY_NAME_HOSPITAL = re.compile(r"[院市省县区]|妇幼|社区|中心|[一二三]附")
_OWN_BODY = re.compile(
    r"^(?:是)?(?:我|俺)(?:自己|本人)?(?:这|的|这个|右|左|两)?(?:眼|头|胃|肚|腰|腿|胸|嗓|耳|牙|手|脚|心|浑身|全身|感冒|发烧|咳|有点|觉得|感觉|最近|不舒服|想吐|拉肚子|失眠|睡不)"
)
# A plain 「好」 to 「下一步」 may start these; checking in from home by a slip would cost her the place.
_NOT_ON_A_NOD = frozenset({"取号"})


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing the resident said (``text``) or tapped (``action``: {"kind", ...}).

    ``now``: aware datetime in the province's zone. ``memory`` is changed in place. ``hospital_id`` names the tenant
    whose budget a language model spends; it comes from the session, never from anybody's words. ``short``: one thought a
    sentence, for somebody who listens slowly.
    """

    session_id: str
    turn_id: str
    resident: ResidentView
    patient: PatientView
    now: datetime
    memory: DialogueMemory
    visits: VisitPort
    text: str = ""
    action: dict[str, Any] | None = None
    hospital_id: str = ""
    short: bool = False


async def reply(turn: Turn) -> AsyncGenerator[Event, None]:
    """What is said and shown, in order. The memory is complete after each event, so the turn may be cut off anywhere."""
    memory = turn.memory
    heard: list[str] = []
    async for event in _answered(turn):
        if isinstance(event, Say):
            event = await _guarded(turn, event)
            heard.append(event.text)
            memory.said = heard
            if turn.short or memory.rate < 1.0:
                for sentence in pace.sentences(event.text):
                    yield replace(event, text=sentence)
                continue
        if isinstance(event, Ask) and memory.expecting and memory.expecting.get("name") == event.slot:
            memory.expecting.setdefault("words", heard[-1] if heard else "")
        yield event


async def _guarded(turn: Turn, said: Say) -> Say:
    """The sentence as it may leave; what fails is replaced and the commission hears of it."""
    verdict = emergency.check(said)
    if verdict.ok:
        return said
    log.warning("reply_replaced", rules=verdict.rules, session=turn.session_id)
    turn.memory.last_understood["replaced"] = list(verdict.rules)
    await turn.visits.report_incident("guard", verdict.rules)
    return replace(said, text=verdict.replacement, sources=())


async def _answered(turn: Turn) -> AsyncIterator[Event]:
    memory = turn.memory
    urgent = bool(turn.text) and emergency.look(turn.text) is not None
    if not urgent:
        async for event in _label(turn):
            yield event
    scene = Scene(
        turn_id=turn.turn_id,
        now=turn.now,
        resident=turn.resident,
        patient=turn.patient,
        port=turn.visits,
        memory=memory,
        understood=Understanding(turn.text, ()),
        wish=Wish(UNKNOWN, 0.0, turn.text),
        action=turn.action or {},
        expecting=dict(memory.expecting),
    )
    helper = _helper(turn)
    memory.last_understood = {}
    text = turn.text or str((turn.action or {}).get("text", ""))
    if turn.action is not None and turn.action.get("kind") != "say":
        events = _tapped(scene)
    else:
        events = _spoken(scene, text, helper)
    if helper is not None:
        events = helper.spoken(events, lambda: str(memory.last_understood.get("skill", "")), text)
    try:
        async for event in events:
            if helper is not None and helper.note:
                memory.last_understood["model"] = helper.note
            yield event
    except Unavailable:
        raise  # the whole turn may be sent again
    except CompanionError as error:
        yield Say(error.detail, mood="concern")
        if error.retryable:
            yield Say("您可以过一会儿再试,或者我帮您转人工。")
    if urgent:  # what to do comes before who says it
        async for event in _label(turn):
            yield event


def _helper(turn: Turn) -> Fluency | None:
    """A language model's help for this turn; None where none is configured, and nothing is missing then."""
    gateway = llm.configured()
    if gateway is None:
        return None
    return Fluency(
        gateway=gateway,
        check=safety.check_reply,
        hospital_id=turn.hospital_id,
        today=turn.now.date(),
        names=tuple(name for name in (turn.resident.name, turn.patient.name) if name),
        family=turn.visits.people,
        allowed=ALLOWED,
    )


def label_due(memory: DialogueMemory, now: datetime) -> bool:
    """Whether she has not been told for two hours that she talks with an AI."""
    return not memory.labelled_at or now - datetime.fromisoformat(memory.labelled_at) >= LABEL_AGAIN_AFTER


async def _label(turn: Turn) -> AsyncIterator[Event]:
    """That she talks with an AI: said by the opening, and again after two hours."""
    memory = turn.memory
    opening = (turn.action or {}).get("kind") in ("open", "resume")
    if not label_due(memory, turn.now):
        return
    told = memory.labelled_at
    memory.labelled_at = turn.now.isoformat(timespec="seconds")
    if not opening:
        yield Say(LABEL if told else f"您好,我是{talk.NAME},一个AI健康助手,不是医生。")


async def _tapped(scene: Scene) -> AsyncIterator[Event]:
    """A button or a card: it names the skill itself."""
    kind = scene.kind
    skill = registry.BY_ACTION.get(kind)
    scene.memory.expecting = {}
    if skill is None:
        skill = talk
        scene.action, kind = {}, UNKNOWN  # its name is whatever the page said
    scene.memory.last_understood = {"intent": kind, "skill": _name(skill), "by": "tap"}
    if kind not in ("open", "resume"):
        scene.memory.last_intent = next(iter(registry.contract(skill).intents), "")
    async for event in skill.run(scene):
        yield event


async def _spoken(scene: Scene, text: str, helper: Fluency | None) -> AsyncIterator[Event]:
    memory = scene.memory
    danger = emergency.look(text)
    if danger is not None:
        async for event in emergency.respond(scene, danger):
            yield event
        return
    attack = emergency.injected(text)
    if attack:
        memory.last_understood = {"intent": "injection", "skill": "guard", "rules": list(attack)}
        async for event in emergency.decline(scene, attack):
            yield event
        return
    hospitals: tuple[HospitalView, ...] = ()
    if _MAY_NAME_HOSPITAL.search(text) or (scene.expecting.get("name") in ("offer", "confirm_book")):
        hospitals = await scene.port.hospitals()
    context = Context(scene.now, hospitals, str(scene.expecting.get("name", "")), memory.last_intent)
    understood = understand(text, context)
    scene.understood = understood
    memory.last_understood = understood.to_log()
    async for event in _whose(scene):
        yield event
        if memory.last_understood.get("skill") == "people":
            return
    if scene.understood is not understood:  # a correction of whom it is about brings the wish before it back
        memory.last_understood = scene.understood.to_log()
    async for event in _dispatch(scene, context, helper):
        yield event


# --- for whom ---------------------------------------------------------------------------------------------


async def _whose(scene: Scene) -> AsyncIterator[Event]:
    """Turn to the person the sentence is about, if that is somebody she may act for; else remember who it is."""
    memory, understood = scene.memory, scene.understood
    person = understood.person
    intent = understood.intent
    if person is None:
        if memory.person and re.search(r"我(?!家|妈|爸|儿|女|爱人|老)", understood.text) and intent != UNKNOWN:
            memory.person = {}
        if scene.patient.relation == "本人" or intent != "triage" or not _OWN_BODY.search(understood.text):
            return
        person = Person("本人", "自己")
    if intent in ("health_question", "human", "complaint", *registry.contract(family).intents):
        return
    if person.relation == scene.patient.relation and intent != "switch_person":
        return
    known = await scene.port.people()
    matches = people.match(person, known)
    named = [p for p in known if p.name and p.name in understood.text]
    matches = tuple(named) or matches
    if any(p.patient_id == scene.patient.id for p in matches):
        return
    if intent == "switch_person" and not (understood.correction and memory.last_text):
        return  # the people skill answers this one itself
    async for event in _turn_to(scene, person, matches):
        yield event


async def _turn_to(scene: Scene, person: Person, matches: tuple[PersonView, ...]) -> AsyncIterator[Event]:
    memory, understood = scene.memory, scene.understood
    intent = understood.intent
    if len(matches) == 1:
        before = memory.triage.get("said", []) if understood.correction else []
        wanted = (memory.departments, memory.hospital_id, memory.hospital_name, memory.when)
        last_intent, last_text = memory.last_intent, memory.last_text
        yield scene.about(matches[0])
        yield Say(f"好的,现在为{matches[0].name}办理。")
        if understood.correction and intent in ("switch_person", UNKNOWN) and last_text:
            memory.departments, memory.hospital_id, memory.hospital_name, memory.when = wanted
            scene.expecting = {}
            again = last_text if last_intent != "triage" or not before else ",".join(text for text, _question in before)
            scene.understood = replace(understood, text=again, wishes=(Wish(last_intent, 3.0, again, "again"),))
        return
    if len(matches) > 1:
        memory.last_understood["skill"] = "people"
        async for event in people.run(scene):
            yield event
        return
    if intent in ("triage", "book", UNKNOWN, "switch_person"):
        memory.forget_person()
        memory.person = person.to_dict()
        if understood.correction and memory.last_intent == "triage":
            again = memory.last_text
            scene.understood = replace(understood, text=again, wishes=(Wish("triage", 3.0, again, "again"),))
        return
    memory.last_understood["skill"] = "people"
    async for event in people.run(scene):
        yield event


# --- which skill ------------------------------------------------------------------------------------------


async def _dispatch(scene: Scene, context: Context, helper: Fluency | None) -> AsyncIterator[Event]:
    memory = scene.memory
    answering = _answering(scene)
    memory.expecting = {}
    if answering is not None:
        async for event in _run(scene, answering, Wish(_intent_of(scene, answering), 2.0, scene.understood.text)):
            yield event
        return
    wishes = scene.understood.wishes
    if scene.answers("next") and scene.understood.answer == "yes" and len(wishes) <= 1:
        instead = str(scene.expecting.get("then", ""))
        if instead and instead not in _NOT_ON_A_NOD:
            scene.understood = understand(instead, context)
            wishes = scene.understood.wishes
    if not wishes and helper is not None:
        scene.understood = await helper.meant(scene.understood, context, memory.said)
        wishes = scene.understood.wishes
        memory.last_understood = scene.understood.to_log()
    if not wishes:
        wishes = (Wish(UNKNOWN, 0.0, scene.understood.text),)
    for n, wish in enumerate(wishes, start=1):
        scene.last = n == len(wishes)
        async for event in _run(scene, registry.BY_INTENT.get(wish.intent, talk), wish):
            yield event
        if memory.expecting and not scene.last and memory.expecting.get("name") != "next":
            return  # a question is open: one thing at a time


def _answering(scene: Scene) -> ModuleType | None:
    """The skill whose open question this sentence answers, or None when it is about something else."""
    name = scene.expecting.get("name", "")
    skill = registry.BY_QUESTION.get(name)
    if skill is None:
        return None
    understood = scene.understood
    top = understood.wishes[0] if understood.wishes else None
    if top is None or top.score <= 2.0:
        return skill
    if top.intent in registry.contract(skill).intents:
        return skill
    if name == "triage":
        weak = top.intent in ("health_question", "medicine", "next_step", "examination") and top.score < 3.2
        return skill if weak or kind_of(top.intent) == "answer" else None
    if name == "department" and top.intent == "triage":
        return None
    if kind_of(top.intent) == "answer":
        return skill
    if understood.answer in ("yes", "no") and top.intent in ("book", "pay", "cancel", "reschedule", "goodbye"):
        return skill
    return None


def _intent_of(scene: Scene, skill: ModuleType) -> str:
    """The wish an answer continues: the sentence's own if it belongs to that skill, else the skill's first."""
    intents = registry.contract(skill).intents
    own = [w.intent for w in scene.understood.wishes if w.intent in intents]
    asked = {"which_reschedule": "reschedule", "reschedule_when": "reschedule", "confirm_reschedule": "reschedule"}
    name = str(scene.expecting.get("name", ""))
    return own[0] if own else asked.get(name, "cancel" if "cancel" in name else intents[0])


async def _run(scene: Scene, skill: ModuleType, wish: Wish) -> AsyncIterator[Event]:
    memory = scene.memory
    scene.wish = wish
    memory.last_understood["skill"] = _name(skill)
    memory.last_understood.setdefault("intent", wish.intent)
    if wish.intent != "repeat":
        memory.repeated = 0
    if kind_of(wish.intent) == "task" and wish.intent != UNKNOWN:
        memory.last_intent = wish.intent
        if not scene.answers(*registry.contract(skill).expects):
            memory.last_text = normalise(wish.text)
    async for event in skill.run(scene):
        yield event


def _name(skill: ModuleType) -> str:
    return registry.contract(skill).name
