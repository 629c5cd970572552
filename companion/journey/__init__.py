"""The visit as a state machine: its states, the events that move it, and what all of them together make of it.

Two kinds of events there are: our own (the resident was triaged, booked, arrived, ...) and the hospital's. Beneath the
visit's one state, each payment, examination, report and prescription has a state of its own, because they run in
parallel. ``journey.folding`` makes a ``Journey`` of events, ``journey.next_step`` says what it asks of the resident.

Nothing in this package knows Django, time or wording: ``TRANSITIONS`` names the prompt of each transition, the texts
stand in data/journey/prompts.yaml.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from hospitals.connectors.base import (
    DiagnosticReport,
    EventData,
    EventType,
    Examination,
    FollowUp,
    Invoice,
    MissedCall,
    Prescription,
    QueuePosition,
    Reason,
)


class VisitState(StrEnum):
    TRIAGED = "triaged"
    BOOKED = "booked"
    REMINDED = "reminded"
    ARRIVED = "arrived"
    CANCELLING = "cancelling"  # she has cancelled, and the hospital has not agreed yet
    CHECKED_IN = "checked_in"
    WAITING = "waiting"
    CALLED = "called"
    MISSED = "missed"
    IN_CONSULTATION = "in_consultation"
    CONSULTED = "consulted"
    CLOSED = "closed"
    FOLLOW_UP = "follow_up"
    REFUSED = "refused"
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    NO_SHOW = "no_show"


S = VisitState
BEFORE_CHECK_IN = frozenset({S.TRIAGED, S.BOOKED, S.REMINDED, S.ARRIVED})
AT_THE_DOOR = frozenset({S.CHECKED_IN, S.WAITING, S.CALLED, S.MISSED})
# A hospital's desk can undo a mark it made by mistake; only these are the end for us as well.
ENDED = frozenset({S.CLOSED, S.FOLLOW_UP, S.REFUSED, S.STOPPED, S.CANCELLED, S.NO_SHOW})
OPEN = frozenset(S) - ENDED


class OwnEvent(StrEnum):
    """What this service or the resident did; recorded beside the hospital's events."""

    TRIAGED = "own.triaged"
    BOOKED = "own.booked"
    REMINDED = "own.reminded"
    ARRIVED = "own.arrived"
    CANCEL_SENT = "own.cancel_sent"
    CANCELLED = "own.cancelled"
    CANCEL_REFUSED = "own.cancel_refused"  # Reason; so are the next three: refused by the hospital, or never delivered
    CHECK_IN_REFUSED = "own.check_in_refused"
    PAYMENT_REFUSED = "own.payment_refused"  # Refusal of an invoice's payment
    PAYMENT_SENT = "own.payment_sent"  # Reference to an invoice: paid by her, not yet confirmed by the hospital
    PAYMENT_HELD = (
        "own.payment_held"  # Refusal: paid, and never delivered; it stays sent until a person has asked the hospital
    )
    PAYMENT_CONFIRMED = "own.payment_confirmed"  # Reference: a person asked the hospital, and it has the money
    PAYMENT_RETURNED = "own.payment_returned"  # Refusal: how much of what she paid has gone back, as its text
    PAYMENT_QUESTIONED = (
        "own.payment_questioned"  # Refusal: what she paid too much for a bill that changed since, as its text
    )
    REPORT_READ = "own.report_read"  # Reference to a report that was explained to her
    TRAVEL_TOLD = "own.travel_told"  # Travel: how long she needs to the hospital
    MEDICINE_REMINDERS = "own.medicine_reminders"  # Choice: whether she wants to be told when it is time


@dataclass(frozen=True, slots=True)
class Travel:
    minutes: int


@dataclass(frozen=True, slots=True)
class Choice:
    wanted: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the payment of invoice ``id`` came to nothing or to no end, or the sum that goes back or may go back."""

    id: str
    text: str


OwnData = Travel | Choice | Refusal


@dataclass(frozen=True, slots=True)
class Happened:
    """One recorded event. ``key``: unique within the visit; ``sequence``: the hospital's order, or our own counter."""

    key: str
    type: EventType | OwnEvent
    sequence: int
    data: EventData | OwnData = None


@dataclass(frozen=True, slots=True)
class Transition:
    """From which states an event is allowed, where it leads (None: it only touches a part), and which prompt is said."""

    sources: frozenset[VisitState]
    target: VisitState | None
    prompt: str


def any_of(*states: Iterable[VisitState] | VisitState) -> frozenset[VisitState]:
    """States and groups of them as one group."""
    return frozenset(s for group in states for s in ([group] if isinstance(group, VisitState) else group))


# A missing event must not strand a visit: each step is allowed from everything that can come before it.
TRANSITIONS: dict[EventType | OwnEvent, Transition] = {
    OwnEvent.TRIAGED: Transition(any_of(S.TRIAGED), S.TRIAGED, "triaged"),
    OwnEvent.BOOKED: Transition(any_of(S.TRIAGED), S.BOOKED, "booked"),
    OwnEvent.REMINDED: Transition(any_of(S.BOOKED, S.REMINDED), S.REMINDED, "reminded"),
    OwnEvent.ARRIVED: Transition(any_of(S.BOOKED, S.REMINDED), S.ARRIVED, "arrived"),
    OwnEvent.CANCEL_SENT: Transition(any_of(BEFORE_CHECK_IN), S.CANCELLING, "cancelling"),
    OwnEvent.CANCELLED: Transition(any_of(BEFORE_CHECK_IN, S.CANCELLING), S.CANCELLED, "cancelled"),
    OwnEvent.CANCEL_REFUSED: Transition(any_of(S.CANCELLING), S.BOOKED, "cancel_refused"),
    OwnEvent.CHECK_IN_REFUSED: Transition(any_of(BEFORE_CHECK_IN), None, "check_in_refused"),
    OwnEvent.PAYMENT_REFUSED: Transition(frozenset(S), None, "payment_refused"),
    OwnEvent.PAYMENT_SENT: Transition(frozenset(S), None, "payment_sent"),
    OwnEvent.PAYMENT_HELD: Transition(frozenset(S), None, "payment_held"),
    OwnEvent.PAYMENT_CONFIRMED: Transition(frozenset(S), None, "payment_confirmed"),
    OwnEvent.PAYMENT_RETURNED: Transition(frozenset(S), None, "payment_returned"),
    OwnEvent.PAYMENT_QUESTIONED: Transition(frozenset(S), None, "payment_questioned"),
    OwnEvent.REPORT_READ: Transition(frozenset(S), None, "report_read"),
    OwnEvent.TRAVEL_TOLD: Transition(frozenset(S), None, "travel_told"),
    OwnEvent.MEDICINE_REMINDERS: Transition(frozenset(S), None, "medicine_reminders"),
    EventType.APPOINTMENT_BOOKED: Transition(any_of(BEFORE_CHECK_IN), S.BOOKED, "booking_confirmed"),
    EventType.APPOINTMENT_REFUSED: Transition(any_of(BEFORE_CHECK_IN, S.CANCELLING), S.REFUSED, "refused"),
    EventType.APPOINTMENT_CANCELLED: Transition(
        any_of(BEFORE_CHECK_IN, S.CANCELLING, S.CANCELLED), S.CANCELLED, "cancelled_there"
    ),
    EventType.APPOINTMENT_NO_SHOW: Transition(any_of(BEFORE_CHECK_IN, S.CANCELLING, AT_THE_DOOR), S.NO_SHOW, "no_show"),
    EventType.SCHEDULE_STOPPED: Transition(any_of(BEFORE_CHECK_IN, S.CANCELLING, AT_THE_DOOR), S.STOPPED, "stopped"),
    EventType.ENCOUNTER_CHECKED_IN: Transition(
        any_of(BEFORE_CHECK_IN, S.CANCELLING, AT_THE_DOOR, S.NO_SHOW, S.CANCELLED, S.STOPPED),
        S.CHECKED_IN,
        "checked_in",
    ),
    EventType.QUEUE_CHANGED: Transition(any_of(BEFORE_CHECK_IN, S.CANCELLING, AT_THE_DOOR), S.WAITING, "queue_changed"),
    EventType.ENCOUNTER_CALLED: Transition(any_of(BEFORE_CHECK_IN, S.CANCELLING, AT_THE_DOOR), S.CALLED, "called"),
    EventType.ENCOUNTER_MISSED: Transition(any_of(AT_THE_DOOR), S.MISSED, "missed"),
    EventType.ENCOUNTER_STARTED: Transition(
        any_of(BEFORE_CHECK_IN, S.CANCELLING, AT_THE_DOOR, S.CONSULTED), S.IN_CONSULTATION, "in_consultation"
    ),
    EventType.ENCOUNTER_FINISHED: Transition(
        any_of(BEFORE_CHECK_IN, S.CANCELLING, AT_THE_DOOR, S.IN_CONSULTATION), S.CONSULTED, "consulted"
    ),
    EventType.VISIT_CLOSED: Transition(
        any_of(BEFORE_CHECK_IN, S.CANCELLING, AT_THE_DOOR, S.IN_CONSULTATION, S.CONSULTED), S.CLOSED, "closed"
    ),
    # Parts live on whatever the visit's state: a bill can be cancelled and a report can come after it is closed.
    EventType.INVOICE_ISSUED: Transition(frozenset(S), None, "invoice_issued"),
    EventType.INVOICE_PAID: Transition(frozenset(S), None, "invoice_paid"),
    EventType.INVOICE_CANCELLED: Transition(frozenset(S), None, "invoice_cancelled"),
    EventType.EXAMINATION_ORDERED: Transition(frozenset(S), None, "examination_ordered"),
    EventType.EXAMINATION_COMPLETED: Transition(frozenset(S), None, "examination_completed"),
    EventType.EXAMINATION_CANCELLED: Transition(frozenset(S), None, "examination_cancelled"),
    EventType.REPORT_ISSUED: Transition(frozenset(S), None, "report_issued"),
    EventType.PRESCRIPTION_ISSUED: Transition(frozenset(S), None, "prescription_issued"),
    EventType.PRESCRIPTION_DISPENSED: Transition(frozenset(S), None, "prescription_dispensed"),
    EventType.FOLLOW_UP_PLANNED: Transition(any_of(OPEN, S.CLOSED, S.FOLLOW_UP), None, "follow_up_planned"),
}


@dataclass(frozen=True, slots=True)
class Payment:
    """state: issued → sent → paid, or cancelled. ``refused``: why the last payment came to nothing (it is issued again).

    ``held``: why it is sent and nobody can tell whether it arrived; ``returned``: what went back last; ``too_much``: what she paid beyond a bill that changed since. As people say money.
    """

    invoice: Invoice
    state: str
    refused: str = ""
    held: str = ""
    returned: str = ""
    too_much: str = ""


@dataclass(frozen=True, slots=True)
class ExaminationPart:
    """state: ordered → completed → reported, or cancelled."""

    examination: Examination
    state: str


@dataclass(frozen=True, slots=True)
class ReportPart:
    """state: issued → read."""

    report: DiagnosticReport
    state: str


@dataclass(frozen=True, slots=True)
class PrescriptionPart:
    """state: issued → dispensed."""

    prescription: Prescription
    state: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """Something to say once. ``key`` makes it once; ``part_id`` names the bill, report, ... it is about."""

    key: str
    name: str
    part_id: str = ""


@dataclass(frozen=True, slots=True)
class Journey:
    """Where one visit stands. ``prompts``: what is still worth saying, oldest first; who said what is not kept here."""

    state: VisitState = S.TRIAGED
    confirmed: bool = False  # the hospital itself has told that she is booked
    queue: QueuePosition | None = None
    missed: MissedCall | None = None
    reason: Reason | None = None
    payments: tuple[Payment, ...] = ()
    examinations: tuple[ExaminationPart, ...] = ()
    reports: tuple[ReportPart, ...] = ()
    prescriptions: tuple[PrescriptionPart, ...] = ()
    follow_up: FollowUp | None = None
    travel_min: int | None = None
    medicine_reminders: bool = False
    prompts: tuple[Prompt, ...] = ()
    history: tuple[tuple[str, VisitState], ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def unpaid(self) -> tuple[Invoice, ...]:
        return tuple(p.invoice for p in self.payments if p.state == "issued")

    @property
    def awaits(self) -> str:
        """What the hospital has not answered yet: "book", "cancel" or ""."""
        if self.state is S.CANCELLING:
            return "cancel"
        return "book" if self.state in BEFORE_CHECK_IN - {S.TRIAGED} and not self.confirmed else ""
