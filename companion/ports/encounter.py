"""The visit under way, from the door of the clinic to the follow-up."""

from dataclasses import dataclass
from datetime import datetime, time
from typing import Literal, Protocol

from companion.ports.booking import VisitView


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
    """A step of the main line, or with ``text`` one bill, examination or prescription."""

    name: str
    state: Literal["done", "now", "next"]
    text: str = ""


class EncounterPort(Protocol):
    """The patient's visits. ``key`` makes a command happen once; the turn's id serves."""

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
