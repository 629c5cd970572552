"""A visit from triage to follow-up, as the events that made it."""

from datetime import UTC, date, datetime

from companion.journey import Happened, OwnEvent
from hospitals.connectors.base import (
    DiagnosticReport,
    EventType,
    Examination,
    FollowUp,
    Invoice,
    InvoiceLine,
    MedicationRequest,
    Observation,
    Prescription,
    QueuePosition,
    Reference,
)

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
E = EventType


def position(ahead: int, now: str = "66") -> QueuePosition:
    return QueuePosition("70", ahead, now, "7-1-B-01", "眼科检查一区", "7号楼1楼B区", NOON)


BILL = Invoice("i1", "检查费", (InvoiceLine("眼压", 5000),), 5000, 3000, 2000)
EXAM = Examination("e1", "眼压检查", "procedure", "7-1-B-02", "检查二室", "7号楼1楼B区", invoice_id="i1")
REPORT = DiagnosticReport("r1", "眼压报告", NOON, (Observation("IOP", "眼压", "15", "mmHg", 10, 21),), "", "e1")
DRUGS = Prescription("p1", (MedicationRequest("m1", "玻璃酸钠滴眼液", "每次1滴"),), "7-1-A-09", "7号楼1楼药房")


def hospital(*events: tuple) -> list[Happened]:
    """The events in the hospital's order, numbered from 1."""
    return [
        Happened(f"h{n}", event[0], n, event[1] if len(event) > 1 else None) for n, event in enumerate(events, start=1)
    ]


OWN = [Happened("own.triaged", OwnEvent.TRIAGED, 0), Happened("own.booked", OwnEvent.BOOKED, 1)]
WHOLE_VISIT = OWN + hospital(
    (E.APPOINTMENT_BOOKED,),
    (E.ENCOUNTER_CHECKED_IN, position(4)),
    (E.QUEUE_CHANGED, position(3, "67")),
    (E.QUEUE_CHANGED, position(2, "68")),
    (E.ENCOUNTER_CALLED, position(0, "70")),
    (E.ENCOUNTER_STARTED,),
    (E.INVOICE_ISSUED, BILL),
    (E.EXAMINATION_ORDERED, EXAM),
    (E.ENCOUNTER_FINISHED,),
    (E.INVOICE_PAID, Reference("i1")),
    (E.EXAMINATION_COMPLETED, Reference("e1")),
    (E.REPORT_ISSUED, REPORT),
    (E.PRESCRIPTION_ISSUED, DRUGS),
    (E.PRESCRIPTION_DISPENSED, Reference("p1")),
    (E.FOLLOW_UP_PLANNED, FollowUp(date(2026, 12, 8), "眼科")),
    (E.VISIT_CLOSED,),
)
