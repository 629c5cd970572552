"""The values that travel through triage: what was said, what was found, and what came of it. All frozen, all JSON-able."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from companion.safety import RedFlag

Urgency = Literal["ambulance", "emergency", "within_24h", "outpatient", "self_care"]
LEVELS: tuple[Urgency, ...] = ("ambulance", "emergency", "within_24h", "outpatient", "self_care")


def more_urgent(one: str, other: str) -> Urgency:
    """The more urgent of two levels."""
    return LEVELS[min(LEVELS.index(one), LEVELS.index(other))]


class TriageError(Exception):
    """Base of what triage refuses; ``code`` is stable."""

    code = "triage_error"


class InputRefused(TriageError):
    """The input is not something that can be triaged (empty, wrong type, impossible age)."""

    code = "triage_input"


class ReplayMismatch(TriageError):
    """A log was written under other knowledge than is loaded now, so that its result cannot be reproduced."""

    code = "triage_replay"


@dataclass(frozen=True, slots=True)
class Utterance:
    """One thing said. ``question_id``: the question it answers, if it answers one."""

    text: str
    question_id: str = ""


@dataclass(frozen=True, slots=True)
class Mention:
    """A concept found in the words: ``kind`` is symptom, disease, part+complaint, ...; ``counts`` is 0 when denied."""

    concept: str
    kind: str
    word: str
    start: int
    end: int
    departments: tuple[tuple[str, float], ...]
    level: str
    source: str
    negated: bool = False
    past: bool = False
    supposed: bool = False

    @property
    def counts(self) -> float:
        """How much it counts for a department: nothing when denied, less when past or only feared."""
        if self.negated:
            return 0.0
        return 0.6 if self.past else 0.8 if self.supposed else 1.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the person it is about. Ages in years, ``temperature_c`` in °C, ``duration_days`` in days."""

    about: str = "self"
    age_years: float | None = None
    age_low: float | None = None
    age_high: float | None = None
    sex: str = ""
    pregnant: bool = False
    risks: tuple[str, ...] = ()
    denied_risks: tuple[str, ...] = ()
    duration_days: float | None = None
    temperature_c: float | None = None
    severity: str = ""
    course: str = ""
    side: str = ""
    asks_only: bool = False

    @property
    def is_child(self) -> bool:
        """Under 14, as 儿科 in most hospitals counts."""
        if self.age_years is not None:
            return self.age_years < 14
        return self.age_high is not None and self.age_high <= 13


@dataclass(frozen=True, slots=True)
class DepartmentScore:
    """A department, its national code, its share of the evidence (0 to 1, all of a ranking sum to at most 1)."""

    name: str
    code: str
    score: float

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "code": self.code, "score": self.score}


@dataclass(frozen=True, slots=True)
class Question:
    """The question that separates best now; ``options`` are (id, what the button says)."""

    id: str
    text: str
    options: tuple[tuple[str, str], ...]
    why: str

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "text": self.text,
            "options": [{"id": key, "label": label} for key, label in self.options],
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: ``direction`` is for, against, raises (the level) or about (who it is about)."""

    direction: str
    text: str
    source: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Assessment:
    """What triage decided, with everything needed to explain and to replay it.

    ``certain`` is False when the first department does not stand out; then ``fallback`` names 普通内科 (全科) and a
    human is to be offered. ``not_asked`` says which risks nobody has asked about yet.
    """

    urgency: Urgency
    title: str
    action: str
    deadline: str
    deadline_hours: int
    watch_for: tuple[str, ...]
    red_flags: tuple[RedFlag, ...]
    departments: tuple[DepartmentScore, ...]
    question: Question | None
    reasons: tuple[Reason, ...]
    not_asked: tuple[str, ...]
    facts: Facts
    certain: bool
    fallback: DepartmentScore
    offer_human: bool
    mentions: tuple[Mention, ...] = ()
    inputs: dict[str, Any] = field(default_factory=dict)
    knowledge_version: str = ""

    def to_json(self) -> dict[str, Any]:
        """The answer as one JSON object, without what is only needed to replay it."""
        return {
            "urgency": self.urgency,
            "title": self.title,
            "action": self.action,
            "deadline": self.deadline,
            "deadline_hours": self.deadline_hours,
            "watch_for": list(self.watch_for),
            "red_flags": [flag.to_json() for flag in self.red_flags],
            "departments": [department.to_json() for department in self.departments],
            "question": self.question.to_json() if self.question else None,
            "reasons": [reason.to_json() for reason in self.reasons],
            "not_asked": list(self.not_asked),
            "facts": asdict(self.facts),
            "certain": self.certain,
            "fallback": self.fallback.to_json(),
            "offer_human": self.offer_human,
        }

    def to_log(self) -> dict[str, Any]:
        """What to store: the inputs, the version of the knowledge, every mention counted, and the answer."""
        return {
            "inputs": self.inputs,
            "knowledge_version": self.knowledge_version,
            "mentions": [asdict(mention) for mention in self.mentions],
            "result": self.to_json(),
        }
