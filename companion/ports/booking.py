"""Finding a place and booking it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from companion.exceptions import CompanionError


class SlotTaken(CompanionError):
    """Somebody else was quicker. Nothing was booked."""

    code = "slot_taken"
    status_code = 409
    detail = "这个号刚刚被别人约走了。"


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


class BookingPort(Protocol):
    """Hospitals, their free slots, and the patient's bookings. ``key`` makes a command happen once; the turn's id serves."""

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
