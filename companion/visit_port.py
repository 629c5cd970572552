"""What a skill may ask of the outside world: ``VisitPort``, and the values that cross it.

The values are frozen and carry the same names as the cards of companion.events, so that a card is ``as_card(value)``
and a value can be made from a card's data with ``pydantic.TypeAdapter(QueueView).validate_python(data)``. Money is
integer fen; ``start`` fields are aware datetimes, other times ISO strings.

Errors of the port are ``companion.exceptions.CompanionError``; ``SlotTaken`` is the one that skills treat apart, of all
others they say the ``detail``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime, time
from typing import Any, Literal, Protocol

from companion.exceptions import CompanionError
from companion.people_port import PeoplePort


class SlotTaken(CompanionError):
    """Somebody else was quicker. Nothing was booked."""

    code = "slot_taken"
    status_code = 409
    detail = "这个号刚刚被别人约走了。"


@dataclass(frozen=True, slots=True)
class ResidentView:
    """Who is signed in."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class PatientView:
    """Whom the conversation is about. ``relation`` in words (本人, 爱人, ...); ``sex`` "male" | "female" | ""."""

    id: str
    name: str
    relation: str = "本人"
    age_years: int | None = None
    sex: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """Between two aware datetimes, end excluded. ``label`` is how she said it: 「明天上午」."""

    start: datetime
    end: datetime
    label: str = ""


@dataclass(frozen=True, slots=True)
class HospitalView:
    """A hospital of the directory; ``nicknames`` are those it lists itself."""

    hospital_id: str
    name: str
    level: str = ""
    city: str = ""
    nicknames: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HospitalNews:
    """What a hospital tells everybody: its hours in its own words, how to reach it, and its notices of now."""

    hospital: str
    opening_hours: str = ""
    address: str = ""
    phone: str = ""
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OfferQuery:
    """What is looked for. ``departments``: standard names, best first. Empty fields are open."""

    departments: tuple[str, ...]
    window: Window | None = None
    hospital_id: str = ""
    practitioner: str = ""  # a name or a surname
    limit: int = 6


@dataclass(frozen=True, slots=True)
class SlotOffer:
    """One free slot. ``free``: how many places it has left."""

    slot_id: str
    hospital_id: str
    hospital: str
    department: str
    start: datetime
    hospital_level: str = ""
    distance_text: str = ""
    practitioner: str = ""
    title: str = ""
    fee_fen: int = 0
    free: int = 1


@dataclass(frozen=True, slots=True)
class VisitView:
    """One visit of the patient. ``status``: the journey's state (companion.journey.VisitState).

    ``awaits``: what the hospital has not answered yet, "book" | "cancel" | "".
    """

    visit_id: str
    hospital_id: str
    hospital: str
    department: str
    start: datetime
    patient: str
    status: str
    practitioner: str = ""
    place: str = ""
    room_code: str = ""
    can_cancel: bool = False
    as_of: str = ""
    awaits: str = ""


@dataclass(frozen=True, slots=True)
class QueueView:
    """Where she stands as the hospital last told; ``stale``: that is over a minute ago."""

    ticket: str
    ahead: int
    now_serving: str
    place: str
    room: str
    as_of: str
    room_code: str = ""
    wait_low_min: int | None = None
    wait_high_min: int | None = None
    stale: bool = False
    status: str = "waiting"


@dataclass(frozen=True, slots=True)
class InvoiceLineView:
    name: str
    amount_fen: int


@dataclass(frozen=True, slots=True)
class InvoiceView:
    """``status``: issued | sent | paid | cancelled. ``refused``: why the last payment came to nothing; it can be paid again."""

    id: str
    title: str
    total_fen: int
    insurance_fen: int
    self_pay_fen: int
    lines: tuple[InvoiceLineView, ...] = ()
    status: str = "issued"
    refused: str = ""
    pay_at: str = ""  # the gateway's page, where she pays it now
    pay_code: str = ""  # or a picture that a phone scans, as a data: address


@dataclass(frozen=True, slots=True)
class ExaminationView:
    """``status``: ordered | completed | reported | cancelled."""

    id: str
    name: str
    place: str
    room: str
    room_code: str = ""
    preparation: str = ""
    fasting: bool = False
    status: str = "ordered"


@dataclass(frozen=True, slots=True)
class ReportLineView:
    """``mark``: normal | high | low | abnormal; ``explanation`` comes from the knowledge base, with its ``source``."""

    name: str
    value: str
    unit: str = ""
    range: str = ""
    mark: str = "normal"
    explanation: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class ReportView:
    """``critical``: panic values; the lines are empty then and only the doctor explains it. ``status``: issued | read."""

    id: str
    name: str
    issued_at: str
    lines: tuple[ReportLineView, ...] = ()
    conclusion: str = ""
    critical: bool = False
    status: str = "issued"


@dataclass(frozen=True, slots=True)
class MedicineView:
    """``dosage`` and ``instructions`` are the prescription's words; ``cautions`` come from ``source``."""

    name: str
    dosage: str
    route: str = ""
    days: int | None = None
    instructions: str = ""
    cautions: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True)
class MedicinesView:
    """``pickup_place``: where what is not yet collected waits; empty when all is collected."""

    medicines: tuple[MedicineView, ...] = ()
    pickup_place: str = ""
    pickup_room_code: str = ""
    reminding: bool = False


@dataclass(frozen=True, slots=True)
class FollowUpView:
    due_on: str  # ISO date
    department: str
    instruction: str = ""


@dataclass(frozen=True, slots=True)
class PlaceView:
    """A place on the hospital's indoor map. ``kind``: entrance | door | room | service."""

    code: str
    name: str  # 7号楼1楼南门
    kind: str = "room"


@dataclass(frozen=True, slots=True)
class RouteStepView:
    text: str
    building: str = ""
    floor: str = ""
    distance_m: float = 0.0


@dataclass(frozen=True, slots=True)
class RouteView:
    """``floors``: drawing data of each floor walked, passed through to the page unread; ``uncovered_m``: without a roof;
    ``notice``: what is closed now and what is taken instead."""

    steps: tuple[RouteStepView, ...]
    start: str
    goal: str
    goal_name: str
    total_m: float
    minutes: int
    lift_only: bool
    floors: tuple[Mapping[str, Any], ...] = ()
    covered: bool = False
    uncovered_m: float = 0.0
    notice: str = ""


@dataclass(frozen=True, slots=True)
class PersonView:
    """Somebody the resident may act for (consent holds). ``relation`` in words: 本人, 爱人, 父亲, ..."""

    patient_id: str
    name: str
    relation: str
    current: bool = False
    age_years: int | None = None
    sex: str = ""
    mine: bool = True  # the card is kept in this account
    consent_id: int | None = None  # of an adult who agreed


@dataclass(frozen=True, slots=True)
class LookView:
    """Somebody looked at her data or changed them. ``who`` and ``what`` in words; accounts and people are not named."""

    at: datetime
    by: str  # resident | family | unknown | hospital | commission | service
    who: str
    what: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class HumanView:
    phone: str
    hours: str
    queue_position: int = 0


@dataclass(frozen=True, slots=True)
class EmergencyPlaceView:
    hospital: str
    phone: str = ""
    distance_text: str = ""


@dataclass(frozen=True, slots=True)
class NextView:
    """What to do now: ``say`` is a whole sentence, ``label`` and ``say_instead`` make the button, or are empty."""

    say: str
    label: str = ""
    say_instead: str = ""
    name: str = ""  # the journey's NextStep.name
    room_code: str = ""  # where it is done, if the journey says so
    part_id: str = ""


@dataclass(frozen=True, slots=True)
class JourneyStepView:
    name: str
    state: Literal["done", "now", "next"]
    text: str = ""


class VisitPort(PeoplePort, Protocol):
    """The visits of one resident, seen for one patient. ``key`` makes a command happen once; the turn's id serves.

    Every method may raise a ``CompanionError`` whose ``detail`` can be said to the resident.
    """

    def for_patient(self, patient_id: str) -> "VisitPort":
        """The same resident's port for another person she may act for (checked on first use)."""
        ...

    # finding and booking
    async def hospitals(self) -> tuple[HospitalView, ...]:
        """All hospitals she can be booked into, nearest first."""
        ...

    async def news(self, hospital_id: str) -> HospitalNews: ...

    async def practitioners(self, surname: str) -> tuple[str, ...]:
        """Full names of the bookable doctors of that surname, nearest hospital first."""
        ...

    async def offers(self, query: OfferQuery) -> tuple[SlotOffer, ...]:
        """Free slots, best first (her hospital, then nearest, then soonest)."""
        ...

    async def offer(self, slot_id: str) -> SlotOffer | None:
        """One slot as it is now; None when it is unknown or full."""
        ...

    async def book(self, *, slot_id: str, key: str) -> VisitView:
        """Waits a moment for the hospital's word: ``awaits`` tells whether it came. Raises ``SlotTaken``."""
        ...

    async def cancel(self, *, visit_id: str, reason: str, key: str) -> VisitView:
        """Status "cancelled" when it is settled, "cancelling" while the hospital has not agreed."""
        ...

    # the visit under way
    async def current(self) -> VisitView | None: ...

    async def upcoming(self) -> tuple[VisitView, ...]:
        """Every visit not yet ended, soonest first."""
        ...

    async def check_in(self, *, visit_id: str, key: str) -> QueueView | None:
        """None: the hospital has not answered yet; the ticket will be spoken when its event comes."""
        ...

    async def queue(self, visit_id: str) -> QueueView | None: ...

    async def invoices(self, visit_id: str) -> tuple[InvoiceView, ...]: ...

    async def pay(self, *, visit_id: str, invoice_id: str, key: str) -> InvoiceView:
        """Status "paid" when the hospital has confirmed it at once, else "sent"; "issued" with ``pay_at`` or ``pay_code`` while
        she is to pay on the gateway's page or by scanning. Raises with the code ``pay_at_window`` where nothing can be paid online."""
        ...

    async def examinations(self, visit_id: str) -> tuple[ExaminationView, ...]: ...

    async def reports(self, visit_id: str) -> tuple[ReportView, ...]: ...

    async def report_read(self, *, visit_id: str, report_id: str) -> None: ...

    async def medicines(self, visit_id: str) -> MedicinesView: ...

    async def travel_told(self, *, visit_id: str, minutes: int, key: str) -> datetime | None:
        """She needs so long to the hospital. When she will be told to leave; None when that is past."""
        ...

    async def remind_of_medicine(
        self, *, visit_id: str, wanted: bool, key: str
    ) -> tuple[tuple[str, tuple[time, ...]], ...]:
        """Whether to remind her. Each medicine of the visit with its times of day; none where the prescription fixes none."""
        ...

    async def follow_up(self, visit_id: str) -> FollowUpView | None: ...

    async def progress(self, visit_id: str) -> tuple[JourneyStepView, ...]: ...

    async def next_step(self, visit_id: str | None) -> NextView:
        """What to do now in this visit; without one, how to begin."""
        ...

    # the building
    async def starts(self, visit_id: str) -> tuple[PlaceView, ...]:
        """Entrances of the visit's hospital, where a way can begin."""
        ...

    async def find_place(self, visit_id: str, text: str) -> PlaceView | None:
        """The place in that hospital that these words name: a room or door code, 药房, 检验科, 7号楼南门, 厕所."""
        ...

    async def scanned(self, visit_id: str, code: str) -> PlaceView:
        """The place whose code (``HOSPITAL.CODE``) hangs at a door. Raises when it is not one of the visit's hospital."""
        ...

    async def route(
        self, *, visit_id: str, start: str, goal: str, lift_only: bool, covered: bool = False
    ) -> RouteView: ...

    # people and help
    async def people(self) -> tuple[PersonView, ...]: ...

    async def looks(self) -> tuple[LookView, ...]:
        """Newest first: who looked at her data, and at those of the people she acts for."""
        ...

    async def request_human(self) -> HumanView: ...

    async def report_incident(
        self, kind: Literal["emergency", "self_harm", "guard", "injection", "complaint"], codes: tuple[str, ...]
    ) -> None:
        """For the commission. ``codes`` are rule ids, never her words."""
        ...

    async def nearest_emergency(self) -> tuple[EmergencyPlaceView, ...]: ...


def as_card(value: Any) -> Any:
    """The value as JSON: dataclasses become dicts, tuples lists, dates and datetimes ISO strings, these with their offset."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_card(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: as_card(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_card(item) for item in value]
    return value
