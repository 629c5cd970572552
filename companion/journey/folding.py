"""A pure fold of what happened into where the resident stands and what to say.

``fold`` takes every event ever recorded of one visit, in any order and with any repetition, and returns the same
``Journey``. Our own events come first in the order they were made, then the hospital's, ordered by the hospital's own
sequence numbers. An event that is not allowed where it lands changes nothing and is listed in ``ignored``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from companion.journey import (
    BEFORE_CHECK_IN,
    TRANSITIONS,
    Choice,
    ExaminationPart,
    Happened,
    Journey,
    OwnEvent,
    Payment,
    PrescriptionPart,
    Prompt,
    Refusal,
    ReportPart,
    Travel,
    VisitState,
    any_of,
)
from hospitals.connectors.base import (
    DiagnosticReport,
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

S = VisitState


@dataclass(slots=True)
class _Folding:
    """What is known while folding; parts are kept by the hospital's id in order of issue."""

    state: VisitState = S.TRIAGED
    confirmed: bool = False
    queue: QueuePosition | None = None
    missed: MissedCall | None = None
    reason: Reason | None = None
    refused_payments: dict[str, str] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    returned: dict[str, str] = field(default_factory=dict)
    too_much: dict[str, str] = field(default_factory=dict)
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
    OwnEvent.PAYMENT_CONFIRMED: "paid",
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
        part_id = data.id
        _money(now, event.type, data)
    elif isinstance(data, Reference):
        now.marks.add((_MARKS[event.type], data.id))
        if event.type in (OwnEvent.PAYMENT_SENT, OwnEvent.PAYMENT_CONFIRMED):
            for said in (now.refused_payments, now.held, now.too_much):
                said.pop(data.id, None)
        part_id = data.id
    if target is not None and target is not now.state:
        now.state = target
        now.history.append((event.key, target))
    _prompt(now, event, prompt, part_id)


def _money(now: _Folding, kind: EventType | OwnEvent, about: Refusal) -> None:
    """What became of a payment, beyond that it was sent."""
    if kind is OwnEvent.PAYMENT_HELD:
        now.held[about.id] = about.text
    elif kind is OwnEvent.PAYMENT_QUESTIONED:
        now.too_much[about.id] = about.text
    elif kind is OwnEvent.PAYMENT_RETURNED:
        now.returned[about.id] = about.text
        now.too_much.pop(about.id, None)
    else:
        now.marks.discard(("sent", about.id))
        now.held.pop(about.id, None)
        now.refused_payments[about.id] = about.text


# Said anew each time it happens, and only the last of them.
_EACH_TIME = frozenset({"called", "cancel_refused", "check_in_refused", "payment_refused"}) | {
    "payment_held",
    "payment_confirmed",
    "payment_returned",
    "payment_questioned",
}


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
    "triaged": any_of(S.TRIAGED),
    "booked": any_of(S.BOOKED, S.REMINDED),
    "booking_confirmed": any_of(S.BOOKED, S.REMINDED, S.ARRIVED),
    "cancelling": any_of(S.CANCELLING),
    "cancel_confirmed": any_of(S.CANCELLED),
    "cancelled_there": any_of(S.CANCELLED),
    "cancel_refused": any_of(S.BOOKED, S.REMINDED, S.ARRIVED),
    "check_in_refused": BEFORE_CHECK_IN,
    "reminded": any_of(S.REMINDED),
    "arrived": any_of(S.ARRIVED),
    "checked_in": any_of(S.CHECKED_IN, S.WAITING),
    "two_ahead": any_of(S.WAITING),
    "called": any_of(S.CALLED),
    "missed": any_of(S.MISSED),
    "in_consultation": any_of(S.IN_CONSULTATION),
    "consulted": any_of(S.CONSULTED),
    "closed": any_of(S.CLOSED, S.FOLLOW_UP),
    "refused": any_of(S.REFUSED),
    "stopped": any_of(S.STOPPED),
    "cancelled": any_of(S.CANCELLED),
    "no_show": any_of(S.NO_SHOW),
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
    if name == "payment_sent" and (("sent", part) not in now.marks or part in now.held):
        return False
    if name == "payment_held" and part not in now.held:
        return False
    if name == "payment_questioned":
        return part in now.too_much
    if name == "invoice_cancelled" and part in now.too_much:
        return False  # 「不用缴了」 is no word to somebody who has paid
    settled = {
        "payment_refused": ("paid", "cancelled"),
        "invoice_issued": ("sent", "paid", "cancelled"),
        "payment_sent": ("paid", "cancelled"),
        "payment_held": ("paid",),
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
                now.held.get(i.id, ""),
                now.returned.get(i.id, ""),
                now.too_much.get(i.id, ""),
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
