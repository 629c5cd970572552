"""What a sentence is read into, and what it can lean on."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from companion.ports.booking import HospitalView
from companion.understanding.people import Person
from companion.understanding.times import When

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Context:
    """What a sentence can lean on. ``expecting``: what was just asked; ``last_intent``: what the talk is about."""

    now: datetime
    hospitals: tuple[HospitalView, ...] = ()
    expecting: str = ""
    last_intent: str = ""


@dataclass(frozen=True, slots=True)
class Slots:
    """What the sentence fills. ``hospitals``: all that the words can mean, nearest first."""

    departments: tuple[str, ...] = ()
    hospitals: tuple[HospitalView, ...] = ()
    hospital_words: str = ""
    practitioner: str = ""
    when: When | None = None
    choice: int | None = None  # 1-based; -1 the last
    lift_only: bool = False
    covered: bool = False  # a way on which she stays dry
    cheapest: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing that is wanted. ``text``: the words it was read from."""

    intent: str
    score: float
    text: str
    because: str = ""


@dataclass(frozen=True, slots=True)
class Understanding:
    """``answer``: "yes" | "no" | "choose" | "" as an answer to what was asked. ``correction``: it mends what was said."""

    text: str
    wishes: tuple[Wish, ...]
    slots: Slots = Slots()
    person: Person | None = None
    answer: str = ""
    correction: bool = False
    symptoms: bool = False
    heard_as: str = ""  # the sentence after words were taken for what they sound like
    reasons: tuple[str, ...] = field(default=())

    @property
    def intent(self) -> str:
        return self.wishes[0].intent if self.wishes else UNKNOWN

    @property
    def intents(self) -> tuple[str, ...]:
        return tuple(wish.intent for wish in self.wishes)

    def to_log(self) -> dict[str, Any]:
        """What the quality loop keeps: why it was understood so. No words of hers but those that decided."""
        slots = self.slots
        return {
            "intent": self.intent,
            "intents": list(self.intents),
            "scores": [round(w.score, 2) for w in self.wishes],
            "because": [w.because for w in self.wishes],
            "departments": list(slots.departments),
            "hospital": slots.hospitals[0].name if slots.hospitals else "",
            "when": slots.when.to_dict() if slots.when else None,
            "practitioner": slots.practitioner,
            "person": self.person.relation if self.person else "",
            "answer": self.answer,
            "correction": self.correction,
            "heard_as": self.heard_as,
            "reasons": list(self.reasons),
        }
