"""A visit's rows: each event recorded once, the projection follows, prompts are said once and only while they are true."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from companion import visits
from companion.exceptions import NotFound
from companion.journey import OwnEvent
from companion.models import Incident, Patient, Reminder, Resident, Visit, VisitPrompt
from hospitals.connectors.base import (
    DiagnosticReport,
    EventType,
    FollowUp,
    HospitalEvent,
    Invoice,
    InvoiceLine,
    Observation,
    Reference,
)

E = EventType
BILL = Invoice("i1", "检查费", (InvoiceLine("眼压检查", 5000),), 5000, 3000, 2000)


def names(resident: Resident) -> list[str]:
    rows = visits.unsaid(resident.id)
    visits.said(row.id for row in rows)
    return [row.name for row in rows]


def test_an_event_that_comes_twice_is_recorded_and_said_once(resident, visit, happens, position) -> None:
    happens(E.ENCOUNTER_CHECKED_IN, position(), event_id="same")
    happens(E.ENCOUNTER_CHECKED_IN, position(), event_id="same")
    assert visit.events.filter(type=E.ENCOUNTER_CHECKED_IN.value).count() == 1
    assert names(resident) == ["checked_in"]


def test_a_late_event_takes_its_place_and_undoes_nothing(resident, visit, happens, position) -> None:
    happens(E.ENCOUNTER_CHECKED_IN, position(4), sequence=1)
    happens(E.ENCOUNTER_CALLED, position(0, now_serving="71"), sequence=5)
    happens(E.QUEUE_CHANGED, position(2), sequence=3)
    visit.refresh_from_db()
    assert visit.state == "called"
    assert names(resident) == ["called"]


def test_prompts_are_handed_out_once_whoever_asks(resident, happens, position) -> None:
    happens(E.ENCOUNTER_CHECKED_IN, position())
    assert names(resident) == ["checked_in"]
    assert names(resident) == []


def test_what_is_no_longer_true_on_her_return_is_not_said(resident, happens, position) -> None:
    happens(E.ENCOUNTER_CHECKED_IN, position(4))
    happens(E.QUEUE_CHANGED, position(2))
    happens(E.ENCOUNTER_CALLED, position(0))
    happens(E.ENCOUNTER_STARTED)
    happens(E.ENCOUNTER_FINISHED)
    happens(E.INVOICE_ISSUED, BILL)
    assert names(resident) == ["consulted", "invoice_issued"]


def test_a_paid_bill_is_confirmed_and_not_asked_for(resident, visit, happens) -> None:
    happens(E.INVOICE_ISSUED, BILL)
    visits.own_event(visit.id, OwnEvent.PAYMENT_SENT, Reference("i1"), key="own.payment_sent:i1")
    assert [p.state for p in visits.journey_of(visit).payments] == ["sent"]
    happens(E.INVOICE_PAID, Reference("i1"))
    assert names(resident) == ["invoice_paid"]


def test_an_event_of_an_unknown_visit_is_refused_with_its_own_code(visit) -> None:
    event = HospitalEvent("x", E.VISIT_CLOSED, visit.hospital_id, str(uuid4()), 1, timezone.now())
    with pytest.raises(visits.UnknownVisit) as caught:
        visits.on_hospital_event(event)
    assert caught.value.code == "unknown_visit"


def test_another_hospital_cannot_move_a_visit(visit) -> None:
    event = HospitalEvent("x", E.VISIT_CLOSED, uuid4(), str(visit.id), 1, timezone.now())
    with pytest.raises(visits.UnknownVisit):
        visits.on_hospital_event(event)
    visit.refresh_from_db()
    assert visit.state == "booked"


def test_a_critical_value_goes_to_the_clinicians_channel(visit, happens) -> None:
    line = Observation("2823-3", "血钾", "6.8", "mmol/L", 3.5, 5.3, "HH")
    happens(E.REPORT_ISSUED, DiagnosticReport("r1", "电解质", timezone.now(), (line,)))
    incident = Incident.objects.get()
    assert incident.kind == "critical_value" and incident.codes == ["report:r1"]


def test_somebody_elses_visit_is_not_found(visit) -> None:
    stranger = Resident(name="周敏")
    stranger.save()
    with pytest.raises(NotFound):
        visits.visit_for(stranger.id, visit.id)
    with pytest.raises(NotFound):
        visits.visit_for(stranger.id, "not-a-uuid")


def test_the_visit_inside_a_hospital_comes_before_the_next_booking(resident, patient, visit, happens, position) -> None:
    happens(E.ENCOUNTER_CHECKED_IN, position())
    Visit.objects.create(
        resident=resident,
        patient=patient,
        hospital_id=uuid4(),
        hospital_name="望川市中医院",
        department="中医科",
        start=timezone.now() + timedelta(minutes=5),
        state="booked",
    )
    assert visits.current(patient.id) == visit


def test_reminders_are_put_down_once_however_often_the_visit_changes(visit, happens) -> None:
    visit.start = timezone.now() + timedelta(days=3)
    visit.save()
    happens(E.APPOINTMENT_BOOKED)
    happens(E.FOLLOW_UP_PLANNED, FollowUp(timezone.localdate() + timedelta(days=14), "眼科"))
    kinds = sorted(Reminder.objects.filter(visit=visit).values_list("kind", flat=True))
    assert kinds == ["day_before", "follow_up", "leave_home"]


def test_names_and_numbers_of_a_patient_do_not_stand_in_the_table(patient) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {Patient._meta.db_table}")
        dump = repr(cursor.fetchall())
    assert "陈玉兰" not in dump and "990101196101150028" not in dump and "10000000001" not in dump
    assert Patient.objects.get().name == "陈玉兰"


def test_a_prompt_that_became_untrue_is_marked(visit, happens, position) -> None:
    happens(E.ENCOUNTER_CHECKED_IN, position())
    happens(E.ENCOUNTER_CALLED, position(0))
    assert VisitPrompt.objects.get(visit=visit, name="checked_in").obsolete
