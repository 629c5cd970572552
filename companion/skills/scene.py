"""What every skill gets and gives: the scene of one turn, and the contract each skill declares."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Protocol

from companion.events import Ask, Event, Option, Say, ShowCard, SwitchPatient
from companion.memory import DialogueMemory
from companion.ports.booking import VisitView
from companion.ports.people import PatientView, PersonView, ResidentView
from companion.ports.visit import VisitPort
from companion.understanding import Person, Understanding, Wish


@dataclass(frozen=True, slots=True)
class Contract:
    """What a skill declares.

    ``intents`` and ``actions``: what calls it; ``expects``: the open questions it understands the answers of;
    ``needs``: slots it cannot do without; ``asks``: the question for each; ``does``: the port's methods it may call;
    ``says``: in a sentence, what the resident gets; ``summary``: the tool's description for a language model.
    """

    name: str
    intents: tuple[str, ...]
    says: str
    actions: tuple[str, ...] = ()
    expects: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    asks: Mapping[str, str] = field(default_factory=dict)
    does: tuple[str, ...] = ()


@dataclass(slots=True)
class Scene:
    """One turn as a skill sees it. ``port`` is already bound to the patient; ``memory`` may be changed."""

    turn_id: str
    now: datetime
    resident: ResidentView
    patient: PatientView
    port: VisitPort
    memory: DialogueMemory
    understood: Understanding
    wish: Wish
    action: dict[str, Any] = field(default_factory=dict)
    expecting: dict[str, Any] = field(default_factory=dict)  # the question that was open when the turn began
    last: bool = True  # the last wish of the sentence: only this one says what to do next

    @property
    def kind(self) -> str:
        return str(self.action.get("kind", ""))

    @property
    def other(self) -> Person | None:
        """Somebody without a card here whom the talk is about."""
        return Person.from_dict(self.memory.person) if self.memory.person else None

    def answers(self, *names: str) -> bool:
        """Whether the turn may answer one of these open questions."""
        return self.expecting.get("name") in names

    def ask(self, name: str, options: tuple[Option, ...] = (), **data: Any) -> Ask:
        """Open a question; the next turn's words are read as its answer first."""
        self.memory.expecting = {"name": name, **data}
        return Ask(slot=name, options=options)

    def key(self, *parts: str) -> str:
        """An idempotency key: the same turn sent twice acts once. The turn's id is the page's own word, and keys are kept in clear."""
        return ":".join((sha256(self.turn_id.encode()).hexdigest()[:32], *parts))

    def about(self, person: PersonView) -> SwitchPatient:
        """Turn the scene to another person; nothing known of the one before is carried over."""
        self.patient = PatientView(person.patient_id, person.name, person.relation, person.age_years, person.sex)
        self.port = self.port.for_patient(person.patient_id)
        self.memory.forget_person()
        return SwitchPatient(patient_id=person.patient_id, name=person.name)

    async def visit(self) -> VisitView | None:
        """The visit the turn is about: the one named by the action, else the one under way."""
        wanted = str(self.action.get("visit_id", ""))
        if wanted:
            for seen in await self.port.upcoming():
                if seen.visit_id == wanted:
                    return seen
        return await self.port.current()

    async def next_events(self, visit_id: str | None) -> AsyncIterator[Event]:
        """What to do now, as a sentence and a button; only after the last wish of a sentence."""
        if not self.last:
            return
        step = await self.port.next_step(visit_id)
        yield Say(step.say)
        if step.label:
            yield self.ask("next", (Option(step.label, step.say_instead),), then=step.say_instead)


NO_VISIT = "您现在没有正在办的就诊。"
START = (Option("我不舒服", "我不舒服"), Option("帮我挂号", "帮我挂号"), Option("转人工", "转人工"))


async def no_visit(scene: Scene) -> AsyncIterator[Event]:
    """There is nothing under way: say so, and how to begin."""
    yield Say(NO_VISIT)
    async for event in scene.next_events(None):
        yield event
    yield Ask("next", START[:2])


def card(kind: Any, data: Any) -> ShowCard:
    return ShowCard(kind, data)


class Skill(Protocol):
    """A module of this package."""

    CONTRACT: Contract

    def run(self, scene: Scene) -> AsyncIterator[Event]: ...


__all__ = ["NO_VISIT", "START", "Contract", "Scene", "Skill", "card", "no_visit"]
