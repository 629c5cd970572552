"""One visit, told by FHIR and by HL7 v2: the same events with the same data, in the same order, however they arrive."""

import random
from datetime import date, datetime
from typing import Any
from uuid import UUID

from hospitals.connectors.base import (
    Command,
    CommandKind,
    DiagnosticReport,
    EventType,
    Examination,
    FollowUp,
    HospitalEvent,
    Invoice,
    InvoiceLine,
    MedicationRequest,
    Observation,
    PatientCard,
    Prescription,
    QueuePosition,
    Reference,
)
from hospitals.connectors.fhir import FhirConnector
from hospitals.connectors.hl7v2 import events as hl7_events
from hospitals.connectors.hl7v2.messages import read
from tests.hospitals.fhir_server import START, FhirServer

HOSPITAL, VISIT = UUID(int=7), "22222222-2222-4222-8222-222222222222"
CARD = PatientCard("林晓雨", "440000199001010000", "13800000000", date(1990, 1, 1), "female")
ISSUED = datetime.fromisoformat("2026-03-02T10:00:00+08:00")
E = EventType
EYE = ("B1-2-E1", "眼科一诊室", "1号楼2楼")


def position(ahead: int, serving: str) -> QueuePosition:
    return QueuePosition("70", ahead, serving, *EYE, as_of=ISSUED, wait_low_min=6, wait_high_min=15)


MEDICINE = MedicationRequest("m1", "玻璃酸钠滴眼液", "每次1滴", "滴眼", 7, "1支", "间隔5分钟")
EXPECTED: list[tuple[EventType, Any]] = [
    (E.APPOINTMENT_BOOKED, None),
    (E.ENCOUNTER_CHECKED_IN, position(4, "66")),
    (E.QUEUE_CHANGED, position(2, "68")),
    (E.ENCOUNTER_CALLED, position(0, "70")),
    (E.ENCOUNTER_STARTED, None),
    (E.ENCOUNTER_FINISHED, None),
    (E.INVOICE_ISSUED, Invoice("i1", "检查费", (InvoiceLine("眼底照相", 8055),), 8055, 4050, 4005)),
    (E.EXAMINATION_ORDERED, Examination("x1", "眼底照相", "imaging", *EYE, "散瞳后不要开车", False, "i1")),
    (E.INVOICE_PAID, Reference("i1")),
    (E.EXAMINATION_COMPLETED, Reference("x1")),
    (
        E.REPORT_ISSUED,
        DiagnosticReport(
            "d1", "眼底报告", ISSUED, (Observation("1", "眼压", "25", "mmHg", 10, 21, "HH"),), "请复查", "x1"
        ),
    ),
    (E.PRESCRIPTION_ISSUED, Prescription("RX", (MEDICINE,), "B1-2-E1", "1号楼2楼眼科一诊室")),
    (E.PRESCRIPTION_DISPENSED, Reference("RX")),
    (E.FOLLOW_UP_PLANNED, FollowUp(date(2026, 3, 16), "眼科", "复查眼压")),
    (E.VISIT_CLOSED, None),
]


def plain(events: list[HospitalEvent]) -> list[tuple[EventType, Any]]:
    """By the hospital's order; as_of is when each way of telling says it, and is made equal here."""
    ordered = sorted(events, key=lambda e: e.sequence)
    told = []
    for event in ordered:
        data = event.data
        if isinstance(data, QueuePosition):
            data = QueuePosition(*(ISSUED if n == "as_of" else getattr(data, n) for n in data.__dataclass_fields__))
        told.append((event.type, data))
    return told


def test_by_hl7v2() -> None:
    pv1 = f"PV1|1|O|EYE^B1-2-E1^^^^^1号楼^2楼^眼科一诊室||||||||||||||||{VISIT}^^^COMPANION^VN"
    sch = f"SCH|{VISIT}^COMPANION|||||"
    messages = [
        ("SIU^S12", sch),
        ("ADT^A04", pv1, "ZQU|70|4|66|6|15"),
        ("ADT^Z01", pv1, "ZQU|70|2|68|6|15"),
        ("ADT^Z02", pv1, "ZQU|70|0|70|6|15"),
        ("ADT^A10", pv1),
        ("ADT^A09", pv1),
        ("DFT^P03", pv1, "FT1|1||i1|20260302||CG|C^眼底照相||检查费||80.55||||40.50"),
        ("ORM^O01", pv1, "ORC|NW|x1", "OBR|1|x1||F^眼底照相|||||||||||||||||||^i1|RAD", "NTE|1||散瞳后不要开车"),
        ("DFT^P03", pv1, "FT1|1|R|i1|20260302||PY"),
        ("ORM^O01", pv1, "ORC|SC|x1|||CM"),
        (
            "ORU^R01",
            pv1,
            "OBR|1|x1|d1|F^眼底报告||||||||||||||||||20260302100000|||F",
            "NTE|1||请复查",
            "OBX|1|NM|1^眼压||25|mmHg|10-21|HH|||F",
        ),
        (
            "RDE^O11",
            pv1,
            "ORC|NW|m1||RX|||^^D7",
            "RXE||H^玻璃酸钠滴眼液|||||S^每次1滴|||1|支",
            "NTE|1||间隔5分钟",
            "RXR|O^滴眼",
        ),
        ("RDS^O13", pv1, "ORC|RE|m1||RX"),
        ("SIU^S12", f"{sch}X|F^复查眼压|FOLLOWUP|||^^^20260316", "AIL|1|||E^眼科"),
        ("ADT^A03", pv1),
    ]
    found: list[HospitalEvent] = []
    for number, (kind, *lines) in enumerate(messages):
        head = f"MSH|^~\\&|HIS|H1|COMPANION||202603020930{number:02}||{kind}|M{number}|P|2.5.1||||||UNICODE UTF-8"
        found += hl7_events.happened(read("\r".join((head, *lines)).encode()), hospital_id=HOSPITAL)
    random.Random(3).shuffle(found)
    assert plain(found) == EXPECTED
    assert len({event.event_id for event in found}) == len(EXPECTED)


class FhirVisit:
    """The same visit on a FHIR server, polled after every step or only after some of them."""

    def __init__(self, server: FhirServer) -> None:
        self.server = server
        self.hospital = FhirConnector(base_url=server.base, networks=["127.0.0.0/8"], plain_hosts=["127.0.0.1"])
        self.found: dict[str, HospitalEvent] = {}

    def poll(self) -> None:
        for event in self.hospital.poll(HOSPITAL, START).events:
            self.found.setdefault(event.event_id, event)

    def command(self, kind: CommandKind, **data: Any) -> str:
        more: dict[str, Any] = {"slot_identifier": "s1", "patient": CARD} if kind is CommandKind.BOOK else {}
        answer = self.hospital.execute(Command(kind, f"{kind}:{VISIT}", HOSPITAL, VISIT, data=data, **more))
        assert answer.accepted
        return answer.reference

    def steps(self) -> Any:
        """Each step changes the hospital and yields; queue moves are named, since only a poll in between sees them."""
        server = self.server
        server.slot("s1")
        encounter = f"e{self.command(CommandKind.BOOK)}"
        yield ""
        waits = {"wait_low": 6, "wait_high": 15}
        self.command(CommandKind.CHECK_IN)
        server.rows[f"Task/queue{encounter}"].clear()
        server.task(encounter, "queue", "received", ticket="70", ahead=4, now_serving="66", **waits)
        server.get(f"Task/queue{encounter}")["authoredOn"] = server.now.isoformat()
        yield "queue"
        server.task(encounter, "queue", "accepted", ticket="70", ahead=2, now_serving="68", **waits)
        yield "queue"
        server.task(encounter, "queue", "ready", ticket="70", ahead=0, now_serving="70", **waits)
        yield "queue"
        server.task(encounter, "queue", "completed", ticket="70", ahead=0, now_serving="70", **waits)
        server.change(f"Encounter/{encounter}", status="in-progress")
        yield ""
        server.change(f"Encounter/{encounter}", status="finished")
        yield ""
        self._bill()
        yield ""
        patient = {"reference": f"Patient/{server.of_kind('Patient')[0]['id']}"}
        server.put(
            {"resourceType": "ServiceRequest", "id": "x1", "status": "active", "intent": "order", "subject": patient}
        )
        inputs = {"kind": "imaging", "preparation": "散瞳后不要开车", "invoice": {"reference": "Invoice/i1"}}
        task = server.task(encounter, "examination", "requested", "t1", **inputs)
        server.rows["Task/t1"] = [{**task, "focus": {"reference": "ServiceRequest/x1"}, "description": "眼底照相"}]
        yield ""
        self.command(CommandKind.PAY, invoice_id="i1", receipt="R")
        yield ""
        server.change("Task/t1", status="completed")
        yield ""
        self._report(encounter)
        yield ""
        self._medicine(encounter, patient)
        yield ""
        server.change("MedicationRequest/m1", status="completed")
        yield ""
        task = server.task(encounter, "follow-up", "requested", "f1")
        plan = {
            "restriction": {"period": {"start": "2026-03-16"}},
            "owner": {"display": "眼科"},
            "description": "复查眼压",
        }
        server.rows["Task/f1"] = [{**task, **plan}]
        yield ""
        server.task(encounter, "visit", "completed", "v1")
        yield ""

    def _bill(self) -> None:
        amounts = [
            {"type": t, "amount": {"value": v, "currency": "CNY"}} for t, v in (("base", 80.55), ("deduction", 40.5))
        ]
        line = {"chargeItemCodeableConcept": {"text": "眼底照相"}, "priceComponent": amounts}
        mine = [{"system": "urn:health-companion:appointment", "value": VISIT}]
        bill = {
            "resourceType": "Invoice",
            "id": "i1",
            "status": "issued",
            "identifier": mine,
            "type": {"text": "检查费"},
        }
        self.server.put({**bill, "lineItem": [line], "date": "2026-03-02T00:00:00Z"})
        # its date is the moment that it was written
        self.server.get("Invoice/i1")["date"] = self.server.now.isoformat()

    def _report(self, encounter: str) -> None:
        code = {"coding": [{"code": "1"}], "text": "眼压"}
        span = {
            "referenceRange": [{"low": {"value": 10}, "high": {"value": 21}}],
            "interpretation": [{"coding": [{"code": "HH"}]}],
        }
        value = {"valueQuantity": {"value": 25, "unit": "mmHg"}}
        self.server.put({"resourceType": "Observation", "id": "o1", "status": "final", "code": code, **value, **span})
        report = {"resourceType": "DiagnosticReport", "id": "d1", "status": "final", "code": {"text": "眼底报告"}}
        points = {"encounter": {"reference": f"Encounter/{encounter}"}, "basedOn": [{"reference": "ServiceRequest/x1"}]}
        words = {"conclusion": "请复查", "issued": ISSUED.isoformat(), "result": [{"reference": "Observation/o1"}]}
        self.server.put({**report, **points, **words})

    def _medicine(self, encounter: str, patient: dict[str, str]) -> None:
        dosage = {"text": "每次1滴", "route": {"text": "滴眼"}, "patientInstruction": "间隔5分钟"}
        supply = {
            "quantity": {"value": 1, "unit": "支"},
            "expectedSupplyDuration": {"value": 7, "unit": "天", "code": "d"},
            "performer": {"display": "1号楼2楼眼科一诊室", "identifier": {"value": "B1-2-E1"}},
        }
        self.server.put(
            {
                "resourceType": "MedicationRequest",
                "id": "m1",
                "status": "active",
                "intent": "order",
                "groupIdentifier": {"value": "RX"},
                "medicationCodeableConcept": {"text": "玻璃酸钠滴眼液"},
                "subject": patient,
                "encounter": {"reference": f"Encounter/{encounter}"},
                "dosageInstruction": [dosage],
                "dispenseRequest": supply,
            }
        )


def test_by_fhir_polled_after_every_step() -> None:
    server = FhirServer()
    visit = FhirVisit(server)
    for _step in visit.steps():
        visit.poll()
    assert plain(list(visit.found.values())) == EXPECTED
    server.close()


def test_by_fhir_polled_only_at_the_end_all_but_the_passing_moves_of_the_queue_is_told() -> None:
    server = FhirServer()
    visit = FhirVisit(server)
    for _step in visit.steps():
        pass
    visit.poll()
    passing = (E.QUEUE_CHANGED, E.ENCOUNTER_CALLED)
    told = [kind for kind, _data in plain(list(visit.found.values()))]
    assert sorted(told) == sorted(kind for kind, _data in EXPECTED if kind not in passing)
    server.close()
