"""What one conversation remembers between turns: plain values only, so that it can be stored as JSON."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(slots=True)
class DialogueMemory:
    """Changed in place by a turn.

    ``expecting``: the question that is open, {"name", "skill", ...}; ``offers``: the slots shown last, as card data;
    ``triage``: the running assessment; ``person``: somebody the talk is about who has no card here;
    ``last_understood``: what the quality loop keeps of the turn; ``repeated``: how often in a row she asked to hear it again.
    """

    last_understood: dict[str, Any] = field(default_factory=dict)
    last_intent: str = ""
    last_text: str = ""
    said: list[str] = field(default_factory=list)
    repeated: int = 0
    expecting: dict[str, Any] = field(default_factory=dict)
    triage: dict[str, Any] = field(default_factory=dict)
    departments: list[str] = field(default_factory=list)
    hospital_id: str = ""
    hospital_name: str = ""
    when: dict[str, Any] = field(default_factory=dict)
    practitioner: str = ""
    offers: list[dict[str, Any]] = field(default_factory=list)
    visit_id: str = ""
    topic: str = ""
    place: dict[str, str] = field(default_factory=dict)
    goal: dict[str, str] = field(default_factory=dict)
    lift_only: bool = False
    covered: bool = False
    person: dict[str, Any] = field(default_factory=dict)
    rate: float = 1.0
    volume: float = 1.0
    labelled_at: str = ""
    incidents: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "DialogueMemory":
        """Unknown keys, from another version of this service, are left out."""
        known = {f.name for f in fields(cls)}
        return cls(**{key: value for key, value in data.items() if key in known})

    def forget_booking(self) -> None:
        """Once a slot is booked or the person changes, a new wish starts from nothing."""
        self.departments, self.hospital_id, self.hospital_name = [], "", ""
        self.when, self.practitioner, self.offers = {}, "", []

    def forget_person(self) -> None:
        """What was known of one patient must never be used for another."""
        self.forget_booking()
        self.triage, self.expecting, self.person = {}, {}, {}
        self.visit_id, self.topic, self.goal = "", "", {}
