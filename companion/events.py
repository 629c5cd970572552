"""What one turn of conversation says and shows: the frozen events that ``conversation.reply`` yields, in order.

The consumer turns each into one JSON frame (``to_frame``) and speaks every ``Say`` through the avatar.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Option:
    """A big button under the caption. ``text`` is what tapping it says; ``action`` (kind, arguments) acts without words."""

    label: str
    text: str = ""
    action: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Say:
    """Words to speak and to caption. ``sources``: titles of what a medical claim rests on."""

    text: str
    mood: Literal["neutral", "smile", "concern"] = "neutral"
    sources: tuple[str, ...] = ()
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """A question already said by a Say; offers its answers as big buttons. ``slot`` names what the answer fills."""

    slot: str
    options: tuple[Option, ...] = ()


CardKind = Literal[
    "departments",  # {"departments": [{"name","code","reason"}], "urgency", "deadline", "action", "not_asked": [...]}
    "slots",  # {"offers": [{"slot_id","hospital","hospital_level","distance_text","department","practitioner","title","start","fee_fen","free"}], "department", "day"}
    "appointment",  # {"visit_id","hospital","department","practitioner","start","place","patient","status","awaits","can_cancel"}
    "queue",  # {"ticket","ahead","now_serving","place","room","wait_low_min","wait_high_min","as_of","stale","status"}
    "route",  # {"steps":[...], "floors":[{"building","floor","geometry", "path"}], "lift_only","covered","uncovered_m","notice","total_m","minutes","start","goal"}
    "invoice",  # {"invoices":[{"id","title","lines","total_fen","insurance_fen","self_pay_fen","status","refused","pay_at","pay_code"}]}
    "examination",  # {"examinations":[{"id","name","place","room","preparation","fasting","status","room_code"}]}
    "report",  # {"reports":[{"id","name","issued_at","lines":[{"name","value","unit","range","mark","explanation","source"}],"conclusion"}]}
    "medicine",  # {"medicines":[{"name","dosage","days","cautions":[...],"source"}], "pickup_place"}
    "follow_up",  # {"due_on","department","instruction"}
    "emergency",  # {"title","call":"120","do":[...],"do_not":[...],"nearest":[{"hospital","phone","distance_text"}],"kind"}
    "answer",  # {"title","passages":[{"id","title","text","source"}]}
    "people",  # {"people":[{"patient_id","name","relation","current","mine","consent_id"}], "agents":[{"consent_id","name","relation","until","holds"}]}
    "person_form",  # {"patient_id": "" for a new one,"version","relation","name","document","id_number","phone" (masked),"held_until","then": action}
    "invitation",  # {"code","relation","expires_at"}
    "consent",  # {"code","name","relation","consent_until","card_complete"}
    "sign_ins",  # {"sign_ins":[{"session","app","since","current"}]}
    "waiting",  # {"waiting":[{"entry_id","hospital","department","practitioner","first_day","last_day","place","offered"}]}
    "looks",  # {"looks":[{"at","by","who","what","why"}], "more"}
    "human",  # {"phone","hours","queue_position"}
    "journey",  # {"steps":[{"name","state":"done|now|next","text"}]}
]


@dataclass(frozen=True, slots=True)
class ShowCard:
    kind: CardKind
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SwitchPatient:
    """From now on the conversation is about this patient (a family member the resident may act for)."""

    patient_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Adjust:
    """A change of how the avatar speaks: slower, louder, repeat, stop."""

    setting: Literal["rate", "volume", "stop", "repeat"]
    value: float = 0.0


Event = Say | Ask | ShowCard | SwitchPatient | Adjust

_NAMES = {Say: "say", Ask: "ask", ShowCard: "card", SwitchPatient: "patient", Adjust: "adjust"}


def to_frame(event: Event) -> dict[str, Any]:
    """The event as its JSON frame: ``{"type": "say" | "ask" | "card" | "patient" | "adjust", ...fields}``."""
    return {"type": _NAMES[type(event)], **asdict(event)}
