"""What a FHIR hospital changes is told once, in order, and only of our own residents."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from hospitals.connectors.base import (
    CommandKind,
    DiagnosticReport,
    EventType,
    Examination,
    FollowUp,
    Invoice,
    InvoiceLine,
    MissedCall,
    Prescription,
    QueuePosition,
    Reason,
    Reference,
)
from hospitals.connectors.fhir import FhirConnector
from hospitals.connectors.fhir.changes import Changes
from tests.hospitals.fhir_rules import Refusal
from tests.hospitals.fhir_server import START, FhirServer
from tests.hospitals.fhir_visit import (
    BOOK,
    HOSPITAL,
    VISIT,
    arrived,
    bill,
    command,
)

E = EventType


def told(hospital: FhirConnector, since: datetime = START) -> list[tuple[EventType, Any]]:
    return [(event.type, event.data) for event in hospital.poll(HOSPITAL, since).events]


def kinds(hospital: FhirConnector) -> list[EventType]:
    return [kind for kind, _data in told(hospital)]


def test_reading_twice_tells_the_same_and_other_people_s_visits_stay_there(
    server: FhirServer, hospital: FhirConnector
) -> None:
    arrived(server, hospital)
    stranger = {"resourceType": "Appointment", "id": "x9", "status": "booked", "slot": [{"reference": "Slot/s1"}]}
    server.put({**stranger, "participant": [{"actor": {"reference": "HealthcareService/eye"}, "status": "accepted"}]})
    server.check_in("x9")
    first, second = hospital.poll(HOSPITAL, START), hospital.poll(HOSPITAL, START)
    assert first == second and first.unusable == 0
    assert {e.appointment_id for e in first.events} == {VISIT}
    assert [e.type for e in first.events] == [E.APPOINTMENT_BOOKED, E.ENCOUNTER_CHECKED_IN]
    later = hospital.poll(HOSPITAL, START, first.reached)
    assert {e.event_id for e in later.events} <= {e.event_id for e in first.events}


def test_what_changes_behind_a_slow_reading_is_told_by_the_next(
    server: FhirServer, hospital: FhirConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    encounter = arrived(server, hospital)
    read = Changes.__iter__

    def slow(self: Changes) -> Iterator[Any]:
        yield from read(self)
        if self._kind == "Task":  # read already: now she is called, minutes pass, and something newer comes
            server.task(encounter, "queue", "ready", ticket="70", ahead=0)
            server._ticks += 30
            bill(server)

    monkeypatch.setattr(Changes, "__iter__", slow)
    first = hospital.poll(HOSPITAL, START)
    monkeypatch.undo()
    assert E.INVOICE_ISSUED in {e.type for e in first.events} and E.ENCOUNTER_CALLED not in {
        e.type for e in first.events
    }
    second = hospital.poll(HOSPITAL, START, first.reached)
    assert E.ENCOUNTER_CALLED in {e.type for e in second.events}


def test_the_queue_is_told_as_it_moves(server: FhirServer, hospital: FhirConnector) -> None:
    encounter = arrived(server, hospital)
    seen = {}
    for status, ahead in (("accepted", 2), ("ready", 0), ("on-hold", 0), ("accepted", 3), ("ready", 0)):
        server.task(encounter, "queue", status, ticket="70", ahead=ahead, now_serving="68", wait_low=6, wait_high=15)
        seen |= {e.event_id: e for e in hospital.poll(HOSPITAL, START).events}
    ordered = sorted(seen.values(), key=lambda e: e.sequence)
    assert [e.type for e in ordered[1:]] == [
        E.ENCOUNTER_CHECKED_IN,
        E.QUEUE_CHANGED,
        E.ENCOUNTER_CALLED,
        E.ENCOUNTER_MISSED,
        E.QUEUE_CHANGED,
        E.ENCOUNTER_CALLED,
    ]
    moved = ordered[2].data
    assert isinstance(moved, QueuePosition) and isinstance(ordered[4].data, MissedCall)
    assert (moved.ticket, moved.ahead, moved.now_serving, moved.wait_low_min, moved.wait_high_min) == (
        "70",
        2,
        "68",
        6,
        15,
    )
    assert (moved.room_code, moved.room_name, moved.place) == ("B1-2-E1", "眼科一诊室", "1号楼2楼")


def test_what_happened_between_two_readings_is_told_too(server: FhirServer, hospital: FhirConnector) -> None:
    encounter = arrived(server, hospital)
    server.change(f"Encounter/{encounter}", status="finished")
    assert kinds(hospital) == [E.APPOINTMENT_BOOKED, E.ENCOUNTER_CHECKED_IN, E.ENCOUNTER_STARTED, E.ENCOUNTER_FINISHED]


def test_the_consultation_begins_when_its_history_says_and_not_with_the_arrival(
    server: FhirServer, hospital: FhirConnector
) -> None:
    encounter = arrived(server, hospital)
    before = server.now
    within = {"start": (before + timedelta(seconds=5)).isoformat()}
    history = [{"status": "arrived", "period": {"start": "2026-03-02"}}, {"status": "in-progress", "period": within}]
    server.change(f"Encounter/{encounter}", status="finished", period={"start": "2026-03-02"}, statusHistory=history)
    started, finished = hospital.poll(HOSPITAL, START).events[-2:]
    assert (started.type, finished.type) == (E.ENCOUNTER_STARTED, E.ENCOUNTER_FINISHED)
    assert (started.occurred_at, finished.occurred_at) == (
        before + timedelta(seconds=5),
        before + timedelta(seconds=10),
    )


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        (
            {"status": "cancelled", "cancelationReason": {"text": "医生临时停诊", "coding": [{"code": "prov"}]}},
            E.SCHEDULE_STOPPED,
        ),
        ({"status": "cancelled", "cancelationReason": {"text": "来电取消"}}, E.APPOINTMENT_CANCELLED),
        (
            {
                "status": "cancelled",
                "participant": [{"actor": {"reference": "HealthcareService/eye"}, "status": "declined"}],
            },
            E.APPOINTMENT_REFUSED,
        ),
        ({"status": "noshow"}, E.APPOINTMENT_NO_SHOW),
    ],
)
def test_an_appointment_ends_in_one_of_four_ways(
    server: FhirServer, hospital: FhirConnector, members: dict[str, Any], kind: EventType
) -> None:
    reference = hospital.execute(BOOK).reference
    server.change(f"Appointment/{reference}", **members)
    last, data = told(hospital)[-1]
    assert last is kind and isinstance(data, Reason) and data.text


def test_a_bill_is_told_to_the_fen_and_paid_once(server: FhirServer, hospital: FhirConnector) -> None:
    arrived(server, hospital)
    bill(server)
    expected = Invoice("i1", "检查费", (InvoiceLine("眼底照相", 8055), InvoiceLine("散瞳", 1200)), 9255, 4050, 5205)
    assert (E.INVOICE_ISSUED, expected) in told(hospital)
    pay = command(CommandKind.PAY, invoice_id="i1", receipt="R-1")
    assert hospital.execute(pay).accepted and hospital.execute(pay).accepted
    assert server.get("Invoice/i1")["status"] == "balanced" and len(server.rows["Invoice/i1"]) == 2
    assert told(hospital)[-1] == (E.INVOICE_PAID, Reference("i1"))
    assert kinds(hospital).count(E.INVOICE_ISSUED) == 1


@pytest.mark.parametrize(
    "members",
    [
        {"totalNet": {"value": 52.06, "currency": "CNY"}},
        {"totalNet": {"value": 52.05, "currency": "USD"}},
        {
            "lineItem": [
                {
                    "chargeItemCodeableConcept": {"text": "x"},
                    "priceComponent": [{"type": "base", "amount": {"value": 0.001}}],
                }
            ]
        },
        {"lineItem": []},
    ],
)
def test_a_bill_that_does_not_add_up_is_counted_and_not_shown(
    server: FhirServer, hospital: FhirConnector, members: dict[str, Any]
) -> None:
    hospital.execute(BOOK)
    try:
        bill(server, **members)
    except Refusal:
        server.rows["Invoice/i1"] = [{**bill(server), **members}]  # a server less strict than this one
    poll = hospital.poll(HOSPITAL, START)
    assert poll.unusable == 1 and [e.type for e in poll.events] == [E.APPOINTMENT_BOOKED]


def test_an_examination_its_report_and_a_correction_of_it(server: FhirServer, hospital: FhirConnector) -> None:
    encounter = arrived(server, hospital)
    patient = f"Patient/{server.of_kind('Patient')[0]['id']}"
    order = {"resourceType": "ServiceRequest", "id": "x1", "status": "active", "intent": "order"}
    server.put({**order, "subject": {"reference": patient}})
    server.task(encounter, "examination", "requested", "t1", kind="laboratory", fasting=True, preparation="空腹8小时")
    server.change("Task/t1", focus={"reference": "ServiceRequest/x1"}, description="血糖")
    assert told(hospital)[-1] == (
        E.EXAMINATION_ORDERED,
        Examination("x1", "血糖", "laboratory", "B1-2-E1", "眼科一诊室", "1号楼2楼", "空腹8小时", True),
    )
    server.change("Task/t1", status="completed")
    glucose = {
        "resourceType": "Observation",
        "id": "o1",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "2345-7"}], "text": "葡萄糖"},
        "valueQuantity": {"value": 25.1, "unit": "mmol/L"},
        "referenceRange": [{"low": {"value": 3.9}, "high": {"value": 6.1}}],
        "interpretation": [{"coding": [{"code": "AA"}]}],
    }
    server.put(glucose)
    report = {
        "resourceType": "DiagnosticReport",
        "id": "d1",
        "status": "preliminary",
        "code": {"text": "血糖报告"},
        "encounter": {"reference": f"Encounter/{encounter}"},
        "basedOn": [{"reference": "ServiceRequest/x1"}],
        "issued": "2026-03-02T10:00:00+08:00",
        "result": [{"reference": "Observation/o1"}],
    }
    server.put(report)
    assert told(hospital)[-1] == (E.EXAMINATION_COMPLETED, Reference("x1"))  # nothing preliminary is shown
    server.put({**report, "status": "final"})
    kind, data = told(hospital)[-1]
    assert kind is E.REPORT_ISSUED and isinstance(data, DiagnosticReport) and data.examination_id == "x1"
    (line,) = data.observations
    assert (line.value, line.unit, line.low, line.high, line.interpretation) == ("25.1", "mmol/L", 3.9, 6.1, "HH")
    final = hospital.poll(HOSPITAL, START).events[-1]
    server.put({**report, "status": "corrected", "conclusion": "复核无误"})
    corrected = hospital.poll(HOSPITAL, START).events[-1]
    assert corrected.event_id != final.event_id and corrected.sequence > final.sequence


def test_a_sheet_of_medicines_is_one_prescription(server: FhirServer, hospital: FhirConnector) -> None:
    encounter = arrived(server, hospital)
    for number, name in enumerate(("玻璃酸钠滴眼液", "左氧氟沙星滴眼液"), 1):
        server.put(
            {
                "resourceType": "MedicationRequest",
                "id": f"m{number}",
                "status": "active",
                "intent": "order",
                "groupIdentifier": {"value": "RX-7"},
                "medicationCodeableConcept": {"text": name},
                "subject": {"reference": f"Patient/{server.of_kind('Patient')[0]['id']}"},
                "encounter": {"reference": f"Encounter/{encounter}"},
                "dosageInstruction": [
                    {"text": "每次1滴,每日4次", "route": {"text": "滴眼"}, "patientInstruction": "间隔5分钟"}
                ],
                "dispenseRequest": {
                    "quantity": {"value": 1, "unit": "支"},
                    "expectedSupplyDuration": {"value": 7, "unit": "天", "code": "d"},
                    "performer": {"display": "1号楼1楼西药房", "identifier": {"value": "B1-1-PH"}},
                },
            }
        )
    kind, data = told(hospital)[-1]
    assert kind is E.PRESCRIPTION_ISSUED and isinstance(data, Prescription)
    assert (data.id, data.pickup_room_code, data.pickup_place) == ("RX-7", "B1-1-PH", "1号楼1楼西药房")
    assert [(m.medicine, m.dosage, m.days, m.quantity) for m in data.items] == [
        ("玻璃酸钠滴眼液", "每次1滴,每日4次", 7, "1支"),
        ("左氧氟沙星滴眼液", "每次1滴,每日4次", 7, "1支"),
    ]
    server.change("MedicationRequest/m1", status="completed")
    assert E.PRESCRIPTION_DISPENSED not in kinds(hospital)
    server.change("MedicationRequest/m2", status="completed")
    assert told(hospital)[-1] == (E.PRESCRIPTION_DISPENSED, Reference("RX-7"))
    assert kinds(hospital).count(E.PRESCRIPTION_ISSUED) == 1


def test_the_end_of_a_visit(server: FhirServer, hospital: FhirConnector) -> None:
    encounter = arrived(server, hospital)
    server.task(encounter, "follow-up", "requested", "f1")
    server.change(
        "Task/f1", description="复查眼压", restriction={"period": {"start": "2026-03-16"}}, owner={"display": "眼科"}
    )
    server.task(encounter, "visit", "completed", "v1")
    assert told(hospital)[-2:] == [
        (E.FOLLOW_UP_PLANNED, FollowUp(date(2026, 3, 16), "眼科", "复查眼压")),
        (E.VISIT_CLOSED, None),
    ]
