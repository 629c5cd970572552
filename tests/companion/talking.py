"""One conversation with the companion in a test: say something, tap something, look at what came back."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from companion.conversation import DialogueMemory, PatientView, ResidentView, Turn, reply
from companion.events import Adjust, Ask, Event, Say, ShowCard, SwitchPatient
from tests.companion.desk import Desk
from tests.companion.world import NOW, PEOPLE, World


@dataclass
class Heard:
    """What one turn gave back."""

    events: list[Event]

    @property
    def text(self) -> str:
        return "".join(e.text for e in self.events if isinstance(e, Say))

    @property
    def says(self) -> list[str]:
        return [e.text for e in self.events if isinstance(e, Say)]

    @property
    def cards(self) -> list[str]:
        return [e.kind for e in self.events if isinstance(e, ShowCard)]

    def card(self, kind: str) -> dict[str, Any]:
        return next(e.data for e in self.events if isinstance(e, ShowCard) and e.kind == kind)

    @property
    def options(self) -> list[str]:
        return [o.label for e in self.events if isinstance(e, Ask) for o in e.options]

    @property
    def actions(self) -> list[dict[str, Any]]:
        return [o.action for e in self.events if isinstance(e, Ask) for o in e.options if o.action]

    @property
    def asked(self) -> str:
        return next((e.slot for e in self.events if isinstance(e, Ask)), "")

    @property
    def switched(self) -> str:
        return next((e.name for e in self.events if isinstance(e, SwitchPatient)), "")

    @property
    def adjusted(self) -> str:
        return next((e.setting for e in self.events if isinstance(e, Adjust)), "")


@dataclass
class Talk:
    """Keeps what the consumer keeps between turns: the memory as JSON, and whom the talk is about."""

    world: World = field(default_factory=World)
    now: datetime = NOW
    patient_id: str = "p1"
    stored: dict[str, Any] = field(default_factory=lambda: {"labelled_at": NOW.isoformat()})
    turns: int = 0

    async def turn(self, text: str = "", action: dict[str, Any] | None = None) -> Heard:
        self.turns += 1
        person = next(p for p in PEOPLE if p.patient_id == self.patient_id)
        memory = DialogueMemory.from_dict(self.stored)
        events = [
            event
            async for event in reply(
                Turn(
                    session_id="s1",
                    turn_id=f"t{self.turns}",
                    resident=ResidentView("r1", "陈玉兰"),
                    patient=PatientView(person.patient_id, person.name, person.relation, person.age_years, person.sex),
                    now=self.now,
                    memory=memory,
                    visits=Desk(self.world, self.patient_id),
                    text=text,
                    action=action,
                )
            )
        ]
        self.stored = memory.to_dict()
        for event in events:
            if isinstance(event, SwitchPatient):
                self.patient_id = event.patient_id
        return Heard(events)

    async def say(self, text: str) -> Heard:
        return await self.turn(text)

    async def tap(self, **action: Any) -> Heard:
        return await self.turn(action=action)

    def later(self, **delta: float) -> None:
        self.now += timedelta(**delta)

    @property
    def understood(self) -> dict[str, Any]:
        return self.stored["last_understood"]

    async def booked(self) -> "Talk":
        """With an eye appointment tomorrow morning at the first hospital."""
        desk = Desk(self.world, self.patient_id)
        await desk.book(slot_id="h1-眼科-11250830", key="given")
        return self

    async def waiting(self) -> "Talk":
        await self.booked()
        await Desk(self.world, self.patient_id).check_in(visit_id="v1", key="given")
        return self

    async def consulted(self) -> "Talk":
        await self.waiting()
        self.world.consult("v1")
        return self
