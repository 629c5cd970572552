"""A visit at a small FHIR hospital: what the tests of the FHIR connector have in common."""

from datetime import date
from typing import Any
from uuid import UUID

from hospitals.connectors.base import (
    Command,
    CommandKind,
    EventType,
    PatientCard,
)
from hospitals.connectors.fhir import FhirConnector
from hospitals.outgoing import Outgoing
from tests.hospitals.fhir_server import FhirServer

HOSPITAL = UUID("11111111-1111-4111-8111-111111111111")
VISIT = "22222222-2222-4222-8222-222222222222"
CARD = PatientCard("林晓雨", "440000199001010000", "13800000000", date(1990, 1, 1), "female")
LOCAL = {"networks": ["127.0.0.0/8"], "plain_hosts": ["127.0.0.1"]}
E = EventType


def quick(policy: Any, **options: Any) -> Outgoing:
    return Outgoing(policy, sleep=lambda _s: None, **options)


def command(kind: CommandKind, **data: Any) -> Command:
    book = {"slot_identifier": "s1", "patient": CARD} if kind is CommandKind.BOOK else {}
    return Command(kind, f"{kind}:{VISIT}", HOSPITAL, VISIT, data=data, **book)


BOOK, CANCEL, CHECK_IN = (
    command(CommandKind.BOOK),
    command(CommandKind.CANCEL, reason="有事"),
    command(CommandKind.CHECK_IN),
)


def arrived(server: FhirServer, hospital: FhirConnector) -> str:
    """A booked and checked-in visit; the encounter's id."""
    reference = hospital.execute(BOOK).reference
    hospital.execute(CHECK_IN)
    return f"e{reference}"


def bill(server: FhirServer, status: str = "issued", **members: Any) -> dict[str, Any]:
    def yuan(value: float, kind: str) -> dict[str, Any]:
        return {"type": kind, "amount": {"value": value, "currency": "CNY"}}

    if "ChargeItem/c1" not in server.rows:
        patient = server.of_kind("Patient")[0]["id"]
        charge = {"resourceType": "ChargeItem", "id": "c1", "status": "billed", "code": {"text": "眼底照相"}}
        server.put({**charge, "subject": {"reference": f"Patient/{patient}"}})
    return server.put(
        {
            "resourceType": "Invoice",
            "id": "i1",
            "status": status,
            "identifier": [{"system": "urn:health-companion:appointment", "value": VISIT}],
            "type": {"text": "检查费"},
            "lineItem": [
                {
                    "chargeItemReference": {"reference": "ChargeItem/c1"},
                    "priceComponent": [yuan(80.55, "base"), yuan(-40.5, "deduction")],
                },
                {"chargeItemCodeableConcept": {"text": "散瞳"}, "priceComponent": [yuan(12, "base")]},
            ],
            "totalNet": {"value": 52.05, "currency": "CNY"},
            **members,
        }
    )
