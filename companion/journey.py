"""The visit as a state machine: a pure fold of what happened into where the resident stands and what to say.

``fold`` takes every event ever recorded of one visit, in any order and with any repetition, and returns the same
``Journey``. Two kinds of events go in: our own (the resident was triaged, booked, arrived, ...), which come first in
the order they were made, and the hospital's, ordered by the hospital's own sequence numbers. An event that is not
allowed where it lands changes nothing and is listed in ``ignored``. Beneath the visit's one state, each payment,
examination, report and prescription has a state of its own, because they run in parallel.

Nothing here knows Django, time or wording: ``TRANSITIONS`` names the prompt of each transition, the texts stand in
data/journey/prompts.yaml.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
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
    Reference,
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
    """Why the payment of invoice ``id`` came to nothing."""

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


def _from(*states: Iterable[VisitState] | VisitState) -> frozenset[VisitState]:
    return frozenset(s for group in states for s in ([group] if isinstance(group, VisitState) else group))


# A missing event must not strand a visit: each step is allowed from everything that can come before it.
TRANSITIONS: dict[EventType | OwnEvent, Transition] = {
    OwnEvent.TRIAGED: Transition(_from(S.TRIAGED), S.TRIAGED, "triaged"),
    OwnEvent.BOOKED: Transition(_from(S.TRIAGED), S.BOOKED, "booked"),
    OwnEvent.REMINDED: Transition(_from(S.BOOKED, S.REMINDED), S.REMINDED, "reminded"),
    OwnEvent.ARRIVED: Transition(_from(S.BOOKED, S.REMINDED), S.ARRIVED, "arrived"),
    OwnEvent.CANCEL_SENT: Transition(_from(BEFORE_CHECK_IN), S.CANCELLING, "cancelling"),
    OwnEvent.CANCELLED: Transition(_from(BEFORE_CHECK_IN, S.CANCELLING), S.CANCELLED, "cancelled"),
    OwnEvent.CANCEL_REFUSED: Transition(_from(S.CANCELLING), S.BOOKED, "cancel_refused"),
    OwnEvent.CHECK_IN_REFUSED: Transition(_from(BEFORE_CHECK_IN), None, "check_in_refused"),
    OwnEvent.PAYMENT_REFUSED: Transition(frozenset(S), None, "payment_refused"),
    OwnEvent.PAYMENT_SENT: Transition(frozenset(S), None, "payment_sent"),
    OwnEvent.REPORT_READ: Transition(frozenset(S), None, "report_read"),
    OwnEvent.TRAVEL_TOLD: Transition(frozenset(S), None, "travel_told"),
    OwnEvent.MEDICINE_REMINDERS: Transition(frozenset(S), None, "medicine_reminders"),
    EventType.APPOINTMENT_BOOKED: Transition(_from(BEFORE_CHECK_IN), S.BOOKED, "booking_confirmed"),
    EventType.APPOINTMENT_REFUSED: Transition(_from(BEFORE_CHECK_IN, S.CANCELLING), S.REFUSED, "refused"),
    EventType.APPOINTMENT_CANCELLED: Transition(
        _from(BEFORE_CHECK_IN, S.CANCELLING, S.CANCELLED), S.CANCELLED, "cancelled_there"
    ),
    EventType.APPOINTMENT_NO_SHOW: Transition(_from(BEFORE_CHECK_IN, S.CANCELLING, AT_THE_DOOR), S.NO_SHOW, "no_show"),
    EventType.SCHEDULE_STOPPED: Transition(_from(BEFORE_CHECK_IN, S.CANCELLING, AT_THE_DOOR), S.STOPPED, "stopped"),
    EventType.ENCOUNTER_CHECKED_IN: Transition(
        _from(BEFORE_CHECK_IN, S.CANCELLING, AT_THE_DOOR, S.NO_SHOW, S.CANCELLED, S.STOPPED), S.CHECKED_IN, "checked_in"
    ),
    EventType.QUEUE_CHANGED: Transition(_from(BEFORE_CHECK_IN, S.CANCELLING, AT_THE_DOOR), S.WAITING, "queue_changed"),
    EventType.ENCOUNTER_CALLED: Transition(_from(BEFORE_CHECK_IN, S.CANCELLING, AT_THE_DOOR), S.CALLED, "called"),
    EventType.ENCOUNTER_MISSED: Transition(_from(AT_THE_DOOR), S.MISSED, "missed"),
    EventType.ENCOUNTER_STARTED: Transition(
        _from(BEFORE_CHECK_IN, S.CANCELLING, AT_THE_DOOR, S.CONSULTED), S.IN_CONSULTATION, "in_consultation"
    ),
    EventType.ENCOUNTER_FINISHED: Transition(
        _from(BEFORE_CHECK_IN, S.CANCELLING, AT_THE_DOOR, S.IN_CONSULTATION), S.CONSULTED, "consulted"
    ),
    EventType.VISIT_CLOSED: Transition(
        _from(BEFORE_CHECK_IN, S.CANCELLING, AT_THE_DOOR, S.IN_CONSULTATION, S.CONSULTED), S.CLOSED, "closed"
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
    EventType.FOLLOW_UP_PLANNED: Transition(_from(OPEN, S.CLOSED, S.FOLLOW_UP), None, "follow_up_planned"),
}


@dataclass(frozen=True, slots=True)
class Payment:
    """state: issued → sent → paid, or cancelled. ``refused``: why the last payment came to nothing (it is issued again)."""

    invoice: Invoice
    state: str
    refused: str = ""


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


@dataclass(slots=True)
class _Folding:
    """What is known while folding; parts are kept by the hospital's id in order of issue."""

    state: VisitState = S.TRIAGED
    confirmed: bool = False
    queue: QueuePosition | None = None
    missed: MissedCall | None = None
    reason: Reason | None = None
    refused_payments: dict[str, str] = field(default_factory=dict)
    follow_up: FollowUp | None = None
    travel_min: int | None = None
    medicine_reminders: bool = False
    invoices: dict[str, Invoice] = field(default_factory=dict)
    examinations: dict[str, Examination] = field(default_factory=dict)
    reports: dict[str, DiagnosticReport] = field(default_factory=dict)
    prescriptions: dict[str, Prescription] = field(default_factory=dict)
    marks: set[tuple[str, str]] = field(default_factory=set)  # ("paid", invoice id), ("read", report id), ...
    prompts: list[Prompt] = field(default_factory=list)
    history: list[tuple[str, VisitState]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    calls: int = 0  # how often a number was passed: a second call after that is news


_MARKS: dict[EventType | OwnEvent, str] = {
    OwnEvent.PAYMENT_SENT: "sent",
    OwnEvent.REPORT_READ: "read",
    EventType.INVOICE_PAID: "paid",
    EventType.INVOICE_CANCELLED: "cancelled",
    EventType.EXAMINATION_COMPLETED: "completed",
    EventType.EXAMINATION_CANCELLED: "examination_cancelled",
    EventType.PRESCRIPTION_DISPENSED: "dispensed",
}
TWO_AHEAD = 2


def fold(events: Iterable[Happened]) -> Journey:
    """The journey that these events make; the same for any order and repetition of them."""
    once = {event.key: event for event in events}
    ordered = sorted(once.values(), key=lambda e: (isinstance(e.type, EventType), e.sequence, e.key))
    now = _Folding()
    for event in ordered:
        _apply(now, event)
    return _close(now)


def _apply(now: _Folding, event: Happened) -> None:
    transition = TRANSITIONS[event.type]
    if event.type is EventType.APPOINTMENT_BOOKED:
        now.confirmed = True
    if now.state not in transition.sources:
        now.ignored.append(event.key)
        return
    target, prompt = transition.target, transition.prompt
    data = event.data
    part_id = ""
    if event.type is EventType.APPOINTMENT_BOOKED and now.state is not S.TRIAGED:
        target = None  # reminded or there already, and it only answers now
    if now.state is S.CANCELLING and target in (S.CANCELLED, S.REFUSED):
        target, prompt = S.CANCELLED, "cancel_confirmed"
    elif now.state is S.CANCELLED and target is S.CANCELLED:
        prompt = "cancelled"  # hers, that the hospital only repeats
    if isinstance(data, QueuePosition):
        now.queue = data
        # After a call the number stays called until the consultation starts or it is passed.
        if event.type is EventType.QUEUE_CHANGED and now.state is S.CALLED:
            target = None
    elif isinstance(data, MissedCall):
        now.missed = data
        now.calls += 1
    elif isinstance(data, Reason):
        now.reason = data
    elif isinstance(data, FollowUp):
        now.follow_up = data
    elif isinstance(data, Travel):
        now.travel_min = data.minutes
    elif isinstance(data, Choice):
        now.medicine_reminders = data.wanted
    elif isinstance(data, Invoice):
        now.invoices[data.id] = data
        part_id = data.id
    elif isinstance(data, Examination):
        now.examinations[data.id] = data
        part_id = data.id
    elif isinstance(data, DiagnosticReport):
        now.reports[data.id] = data
        part_id = data.id
    elif isinstance(data, Prescription):
        now.prescriptions[data.id] = data
        part_id = data.id
    elif isinstance(data, Refusal):
        now.marks.discard(("sent", data.id))
        now.refused_payments[data.id] = data.text
        part_id = data.id
    elif isinstance(data, Reference):
        now.marks.add((_MARKS[event.type], data.id))
        if event.type is OwnEvent.PAYMENT_SENT:
            now.refused_payments.pop(data.id, None)
        part_id = data.id
    if target is not None and target is not now.state:
        now.state = target
        now.history.append((event.key, target))
    _prompt(now, event, prompt, part_id)


# Said anew each time it happens, and only the last of them.
_EACH_TIME = frozenset({"called", "cancel_refused", "check_in_refused", "payment_refused"})


def _prompt(now: _Folding, event: Happened, name: str, part_id: str) -> None:
    """A prompt's key says what makes it new: a part its id, a call its count, everything else its name."""
    if name == "queue_changed":
        if now.queue and now.queue.ahead <= TWO_AHEAD and now.state is S.WAITING:
            now.prompts.append(Prompt(f"two_ahead:{now.queue.ticket}:{now.calls}", "two_ahead"))
        return
    if name in _EACH_TIME:
        now.prompts.append(Prompt(f"{name}:{event.key}", name, part_id))
    elif name == "missed":
        now.prompts.append(Prompt(f"missed:{now.calls}", name))
    elif part_id:
        now.prompts.append(Prompt(f"{name}:{part_id}", name, part_id))
    else:
        now.prompts.append(Prompt(name, name))


# A prompt about the visit's state is worth saying only while the visit is in that state.
_SAID_IN: dict[str, frozenset[VisitState]] = {
    "triaged": _from(S.TRIAGED),
    "booked": _from(S.BOOKED, S.REMINDED),
    "booking_confirmed": _from(S.BOOKED, S.REMINDED, S.ARRIVED),
    "cancelling": _from(S.CANCELLING),
    "cancel_confirmed": _from(S.CANCELLED),
    "cancelled_there": _from(S.CANCELLED),
    "cancel_refused": _from(S.BOOKED, S.REMINDED, S.ARRIVED),
    "check_in_refused": BEFORE_CHECK_IN,
    "reminded": _from(S.REMINDED),
    "arrived": _from(S.ARRIVED),
    "checked_in": _from(S.CHECKED_IN, S.WAITING),
    "two_ahead": _from(S.WAITING),
    "called": _from(S.CALLED),
    "missed": _from(S.MISSED),
    "in_consultation": _from(S.IN_CONSULTATION),
    "consulted": _from(S.CONSULTED),
    "closed": _from(S.CLOSED, S.FOLLOW_UP),
    "refused": _from(S.REFUSED),
    "stopped": _from(S.STOPPED),
    "cancelled": _from(S.CANCELLED),
    "no_show": _from(S.NO_SHOW),
}


def _still_true(prompt: Prompt, now: _Folding) -> bool:
    name, part = prompt.name, prompt.part_id
    if name in _EACH_TIME and prompt is not next(
        p for p in reversed(now.prompts) if (p.name, p.part_id) == (name, part)
    ):
        return False
    if name in _SAID_IN:
        if now.state not in _SAID_IN[name]:
            return False
        if name == "two_ahead":
            return now.queue is not None and now.queue.ahead <= TWO_AHEAD
        return True
    if name == "payment_refused" and part not in now.refused_payments:
        return False
    if name == "payment_sent" and ("sent", part) not in now.marks:
        return False
    settled = {
        "payment_refused": ("paid", "cancelled"),
        "invoice_issued": ("sent", "paid", "cancelled"),
        "payment_sent": ("paid", "cancelled"),
        "examination_ordered": ("completed", "examination_cancelled"),
        "report_issued": ("read",),
        "prescription_issued": ("dispensed",),
    }
    return not any((mark, part) in now.marks for mark in settled.get(name, ()))


def _close(now: _Folding) -> Journey:
    reported = {report.examination_id for report in now.reports.values()}

    def state_of(part_id: str, *marks: tuple[str, str], otherwise: str) -> str:
        return next((state for mark, state in marks if (mark, part_id) in now.marks), otherwise)

    state = now.state
    if state is S.CLOSED and now.follow_up:
        state = S.FOLLOW_UP
    unique = {prompt.key: prompt for prompt in now.prompts if _still_true(prompt, now)}
    return Journey(
        state=state,
        confirmed=now.confirmed,
        queue=now.queue,
        missed=now.missed if now.state is S.MISSED else None,
        reason=now.reason,
        payments=tuple(
            Payment(
                i,
                state_of(i.id, ("cancelled", "cancelled"), ("paid", "paid"), ("sent", "sent"), otherwise="issued"),
                now.refused_payments.get(i.id, ""),
            )
            for i in now.invoices.values()
        ),
        examinations=tuple(
            ExaminationPart(
                e,
                "reported"
                if e.id in reported
                else state_of(
                    e.id,
                    ("examination_cancelled", "cancelled"),
                    ("completed", "completed"),
                    otherwise="ordered",
                ),
            )
            for e in now.examinations.values()
        ),
        reports=tuple(
            ReportPart(r, state_of(r.id, ("read", "read"), otherwise="issued")) for r in now.reports.values()
        ),
        prescriptions=tuple(
            PrescriptionPart(p, state_of(p.id, ("dispensed", "dispensed"), otherwise="issued"))
            for p in now.prescriptions.values()
        ),
        follow_up=now.follow_up,
        travel_min=now.travel_min,
        medicine_reminders=now.medicine_reminders,
        prompts=tuple(unique.values()),
        history=tuple(now.history),
        ignored=tuple(now.ignored),
    )


@dataclass(frozen=True, slots=True)
class NextStep:
    """What to do now. ``name`` is a key of data/journey/prompts.yaml's ``next``; ``part_id`` what it is about."""

    name: str
    part_id: str = ""


def next_step(journey: Journey) -> NextStep:
    """The one thing to do next: bills before what they pay for, then examinations, reports, medicine, follow-up."""
    if journey.awaits and journey.state in (S.BOOKED, S.REMINDED, S.CANCELLING):
        return NextStep("cancelling" if journey.state is S.CANCELLING else "unconfirmed")
    if journey.state in BEFORE_CHECK_IN or journey.state in AT_THE_DOOR or journey.state is S.IN_CONSULTATION:
        return NextStep(journey.state.value)
    if journey.state in {S.REFUSED, S.STOPPED, S.CANCELLED, S.NO_SHOW}:
        return NextStep("book_again")
    for payment in journey.payments:
        if payment.state == "issued":
            return NextStep("pay", payment.invoice.id)
    for part in journey.examinations:
        if part.state == "ordered":
            return NextStep("examination", part.examination.id)
    for report in journey.reports:
        if report.state == "issued":
            return NextStep("read_report", report.report.id)
    if any(part.state == "completed" for part in journey.examinations):
        return NextStep("await_report")
    for prescription in journey.prescriptions:
        if prescription.state == "issued":
            return NextStep("collect_medicine", prescription.prescription.id)
    if journey.state is S.CONSULTED:
        return NextStep("await_orders")
    return NextStep("follow_up" if journey.follow_up else "home")
