"""However a hospital's events come (twice, late, mixed up, lost and sent again), visit and appointment end as in the clean order."""

import itertools
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from companion import visits
from companion.journey import OwnEvent
from companion.models import Patient, Resident, Visit, VisitEvent, VisitPrompt
from hospitals import audit, tenancy
from hospitals.connectors import codec
from hospitals.connectors.base import (
    DiagnosticReport,
    EventType,
    Examination,
    FollowUp,
    HospitalEvent,
    Invoice,
    InvoiceLine,
    MedicationRequest,
    MissedCall,
    Observation,
    Prescription,
    QueuePosition,
    Reason,
    Reference,
)
from hospitals.exceptions import UnknownAppointment
from hospitals.models import Appointment, InboxEvent
from hospitals.services import inbox
from tests.hospitals.clinics import NOW, Clinic, a_clinic

E = EventType
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def position(ahead: int, now: str = "66") -> QueuePosition:
    return QueuePosition("70", ahead, now, "7-1-B-01", "眼科检查一区", "7号楼1楼B区", NOON)


BILL = Invoice("i1", "检查费", (InvoiceLine("眼压", 5000),), 5000, 3000, 2000)
EXAM = Examination("e1", "眼压检查", "procedure", "7-1-B-02", "检查二室", "7号楼1楼B区", invoice_id="i1")
REPORT = DiagnosticReport("r1", "眼压报告", NOON, (Observation("IOP", "眼压", "15", "mmHg", 10, 21),), "", "e1")
DRUGS = Prescription("p1", (MedicationRequest("m1", "玻璃酸钠滴眼液", "每次1滴"),), "7-1-A-09", "7号楼1楼药房")

Told = tuple[EventType, Any]
VISITS: dict[str, list[Told]] = {
    "the whole visit": [
        (E.APPOINTMENT_BOOKED, None),
        (E.ENCOUNTER_CHECKED_IN, position(4)),
        (E.QUEUE_CHANGED, position(2, "68")),
        (E.ENCOUNTER_CALLED, position(0, "70")),
        (E.ENCOUNTER_MISSED, MissedCall("过号后顺延三位", 3)),
        (E.ENCOUNTER_CALLED, position(0, "70")),
        (E.ENCOUNTER_STARTED, None),
        (E.INVOICE_ISSUED, BILL),
        (E.EXAMINATION_ORDERED, EXAM),
        (E.ENCOUNTER_FINISHED, None),
        (E.INVOICE_PAID, Reference("i1")),
        (E.EXAMINATION_COMPLETED, Reference("e1")),
        (E.REPORT_ISSUED, REPORT),
        (E.PRESCRIPTION_ISSUED, DRUGS),
        (E.PRESCRIPTION_DISPENSED, Reference("p1")),
        (E.FOLLOW_UP_PLANNED, FollowUp(date(2026, 12, 8), "眼科")),
        (E.VISIT_CLOSED, None),
    ],
    "marked absent, then she came after all": [
        (E.APPOINTMENT_BOOKED, None),
        (E.APPOINTMENT_NO_SHOW, Reason("未到")),
        (E.ENCOUNTER_CHECKED_IN, position(4)),
        (E.ENCOUNTER_STARTED, None),
        (E.ENCOUNTER_FINISHED, None),
    ],
    "marked absent, came after all, and then the clinic was stopped": [
        (E.APPOINTMENT_NO_SHOW, Reason("未到")),
        (E.ENCOUNTER_CHECKED_IN, position(4)),
        (E.SCHEDULE_STOPPED, Reason("医生出诊")),
    ],
    "cancelled at the desk": [(E.APPOINTMENT_BOOKED, None), (E.APPOINTMENT_CANCELLED, Reason("窗口退号"))],
    "the clinic was stopped": [(E.APPOINTMENT_BOOKED, None), (E.SCHEDULE_STOPPED, Reason("医生出诊"))],
    "refused": [(E.APPOINTMENT_REFUSED, Reason("号源已满"))],
    "absent": [(E.APPOINTMENT_BOOKED, None), (E.APPOINTMENT_NO_SHOW, Reason("未到"))],
}


_PEOPLE = itertools.count(1)  # each visit is another person's: nobody may have two places in a half day


class OneVisit:
    """A booked appointment with its visit, and everything that its hospital will tell."""

    def __init__(self, clinic: Clinic, told: list[Told]) -> None:
        self.hospital_id: UUID = clinic.hospital.id
        # a slot of its own: what one visit gives back must not be mistaken for another's
        self.slot = clinic.slot(of=clinic.schedule(), capacity=2)
        person = Resident.objects.create(name="陈玉兰")
        patient = Patient.objects.create(
            keeper=person, name="陈玉兰", id_number="", phone="", birth_date="1961-01-15", sex="female"
        )
        made = clinic.book(self.slot, patient.id, number=next(_PEOPLE), keeper=person.id, now=NOW)
        self.visit = Visit.objects.create(
            id=made.appointment_id,
            resident=person,
            patient=patient,
            hospital_id=self.hospital_id,
            hospital_name="河岸医院",
            department="眼科",
            start=self.slot.start,
        )
        visits.own_event(self.visit.id, OwnEvent.TRIAGED)
        visits.own_event(self.visit.id, OwnEvent.BOOKED)
        self.events = [
            HospitalEvent(f"{self.visit.id}:{n}", kind, self.hospital_id, str(self.visit.id), n, NOON, data)
            for n, (kind, data) in enumerate(told, start=1)
        ]

    def store(self, number: int) -> None:
        with tenancy.scope(self.hospital_id):
            assert inbox.store(self.events[number]).event_id == self.events[number].event_id

    def waiting(self) -> list[UUID]:
        with tenancy.scope(self.hospital_id):
            rows = InboxEvent.objects.filter(appointment_key=str(self.visit.id), state=InboxEvent.State.RECEIVED)
            return list(rows.order_by("id").values_list("id", flat=True))

    def hand_over(self, row: UUID) -> None:
        inbox.handle(self.hospital_id, row)

    def outcome(self) -> dict[str, Any]:
        """All that may not depend on the order: where everything stands, what is worth saying, what is free."""
        self.visit.refresh_from_db()
        self.slot.refresh_from_db()
        now = visits.journey_of(self.visit)
        with tenancy.scope(self.hospital_id):
            appointment = Appointment.objects.get(id=self.visit.id)
            dead = InboxEvent.objects.filter(appointment_key=str(self.visit.id), state=InboxEvent.State.DEAD).count()
        said = VisitPrompt.objects.filter(visit=self.visit, obsolete=False)
        return {
            "visit": self.visit.state,
            "appointment": appointment.state,
            "free": self.slot.free,
            "stopped": self.slot.stopped,
            "payments": [p.state for p in now.payments],
            "examinations": [p.state for p in now.examinations],
            "reports": [p.state for p in now.reports],
            "prescriptions": [p.state for p in now.prescriptions],
            "follow_up": now.follow_up,
            "worth_saying": sorted(said.values_list("name", "part_id")),
            "events": VisitEvent.objects.filter(visit=self.visit).count(),
            "dead": dead,
        }


def clean(clinic: Clinic, told: list[Told]) -> dict[str, Any]:
    one = OneVisit(clinic, told)
    for number in range(len(told)):
        one.store(number)
        for row in one.waiting():
            one.hand_over(row)
    outcome = one.outcome()
    assert outcome["dead"] == 0
    return outcome


@pytest.mark.django_db()
@pytest.mark.parametrize("name", VISITS)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
@given(data=st.data())
def test_mixed_up_and_repeated_events_end_as_the_clean_order(name: str, data: st.DataObject) -> None:
    told = VISITS[name]
    with transaction.atomic():
        clinic = a_clinic()
        expected = clean(clinic, told)
        one = OneVisit(clinic, told)
        order = data.draw(st.permutations(range(len(told))))
        again = data.draw(st.lists(st.sampled_from(range(len(told))), max_size=4))
        for number in [*order, *again]:
            one.store(number)
            for row in data.draw(st.permutations(one.waiting())):
                if data.draw(st.booleans()):  # the others wait for the sweep
                    one.hand_over(row)
        for row in data.draw(st.permutations(one.waiting())):
            one.hand_over(row)
        assert one.outcome() == expected
        transaction.set_rollback(True)


class Door(RuleBasedStateMachine):
    """A hospital that loses, repeats and delays what it sends, and workers that take it up when they like."""

    def __init__(self) -> None:
        super().__init__()
        self.block = transaction.atomic()
        self.block.__enter__()
        self.arrived: set[int] = set()

    def teardown(self) -> None:
        try:
            if hasattr(self, "one"):
                for number in range(len(self.told)):  # the hospital sends again whatever was never acknowledged
                    self.one.store(number)
                for row in self.one.waiting():
                    self.one.hand_over(row)
                assert self.one.outcome() == self.expected
        finally:
            transaction.set_rollback(True)
            self.block.__exit__(None, None, None)

    @initialize(name=st.sampled_from(sorted(VISITS)))
    def a_visit(self, name: str) -> None:
        self.told = VISITS[name]
        clinic = a_clinic()
        self.expected = clean(clinic, self.told)
        self.one = OneVisit(clinic, self.told)

    @rule(data=st.data())
    def sends(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.told) - 1))
        self.one.store(number)
        self.arrived.add(number)

    @precondition(lambda self: self.one.waiting())
    @rule(data=st.data())
    def hands_over(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(self.one.waiting()))
        self.one.hand_over(row)
        self.one.hand_over(row)  # redelivered by the broker

    @invariant()
    def every_event_counts_once(self) -> None:
        if hasattr(self, "one"):
            told = VisitEvent.objects.filter(visit=self.one.visit).exclude(type__startswith="own.").count()
            assert told <= len(self.arrived)


@pytest.mark.django_db()
def test_whatever_a_hospital_and_the_workers_do_the_visit_comes_right() -> None:
    run_state_machine_as_test(
        Door,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.django_db()
def test_a_dead_letter_is_taken_up_again_when_the_visit_is_known() -> None:
    clinic = a_clinic()
    one = OneVisit(clinic, VISITS["absent"])
    event = one.events[0]
    stranger = HospitalEvent("e-x", event.type, one.hospital_id, str(uuid4()), 1, NOON, None)
    with tenancy.scope(one.hospital_id):
        for _ in range(2):
            with pytest.raises(UnknownAppointment):
                inbox.store(stranger)
        letter = InboxEvent.objects.get(event_id="e-x")
        assert letter.state == InboxEvent.State.DEAD and letter.body is None
        assert not inbox.replay(
            one.hospital_id, letter.id, actor=audit.SERVICE
        )  # whose it is nobody knows: it is not kept
        letter.appointment_key = str(one.visit.id)  # whatever was wrong has been mended
        letter.body = codec.dump_event(replace(stranger, appointment_id=str(one.visit.id))).decode()
        letter.save()
    assert inbox.replay(one.hospital_id, letter.id, actor=audit.SERVICE)
    assert inbox.handle(one.hospital_id, letter.id)
    one.visit.refresh_from_db()
    assert VisitEvent.objects.filter(visit=one.visit, key="e-x").exists()
