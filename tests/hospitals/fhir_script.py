"""One visit from the slot on sale to the end, played at a FHIR server whoever made it, and a tape of what went over the wire."""

import json
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from hospitals.connectors.base import Acknowledgement, CommandKind
from hospitals.connectors.fhir import FhirConnector
from hospitals.connectors.fhir.offers import Offers
from hospitals.outgoing import Answer
from tests.hospitals.fhir_visit import BOOK, CHECK_IN, HOSPITAL, VISIT, command, quick

Resource = dict[str, Any]
TASK = "urn:health-companion:task"
SLOTS_FROM, SLOTS_UNTIL = (
    datetime.fromisoformat("2026-03-02T00:00:00+08:00"),
    datetime.fromisoformat("2026-03-09T00:00Z"),
)


class Desk(Protocol):
    """The hospital's own people at their own server."""

    base: str

    @property
    def now(self) -> datetime: ...

    def put(self, resource: Resource) -> Resource: ...

    def get(self, reference: str) -> Resource: ...

    def change(self, reference: str, **members: Any) -> Resource: ...

    def of_kind(self, kind: str) -> list[Resource]: ...


class Tape:
    """Every exchange of a connector, with what no two servers have in common given names: ids they made, versions, times."""

    def __init__(self, desk: Desk) -> None:
        self.exchanges: list[dict[str, Any]] = []
        self.tokens = 0  # asked for
        self._base = desk.base
        self._names: dict[str, str] = {}

    def outgoing(self, policy: Any, **options: Any) -> "Tape":
        self._inner = quick(policy, **options)
        return self

    def send(self, method: str, url: str, **more: Any) -> Answer:
        answer = self._inner.send(method, url, **more)
        if not url.startswith(self._base):
            self.tokens += 1
            return answer
        body = json.loads(answer.body)
        version = (body.get("meta") or {}).get("versionId")
        headers = {name: value for name, value in more["headers"].items() if name in ("if-none-exist", "prefer")}
        told = {
            "asked": [method, urlsplit(url).path.removeprefix(urlsplit(self._base).path), _query(url)],
            "headers": headers | {"if-match": "if-match" in more["headers"]},
            "sent": _timeless(json.loads(more.get("content") or b"null")),
            "status": answer.status,
            "version is told": answer.headers.get("etag") == f'W/"{version}"' if version else None,
            "location is told": answer.headers.get("location", "").startswith(self._base),
            "found": self._found(body),
        }
        self.exchanges.append(json.loads(self._named(json.dumps(told, sort_keys=True))))
        return answer

    def _found(self, body: Resource) -> Any:
        if body["resourceType"] == "OperationOutcome":
            return "OperationOutcome"
        if body["resourceType"] != "Bundle":
            self._name(body)
            return _timeless(body)
        rows = [entry["resource"] for entry in body.get("entry", [])]
        for row in rows:
            self._name(row)
        more = any(link["relation"] == "next" for link in body.get("link", []))
        return {"total": body["total"], "more": more, "rows": [_timeless(row) for row in rows]}

    def _name(self, row: Resource) -> None:
        kind, key = row["resourceType"], row.get("id")
        if kind in ("Patient", "Appointment") and key not in self._names:
            self._names[key] = f"{kind}#{len(self._names)}"

    def _named(self, text: str) -> str:
        for key, name in self._names.items():
            text = text.replace(f'/{key}"', f'/{name}"').replace(f'"{key}"', f'"{name}"')
        return text


def _query(url: str) -> list[list[str]]:
    """Without times, and without what each server calls its page."""
    pairs = [pair for pair in parse_qsl(urlsplit(url).query) if pair[0] not in ("_page", "_offset")]
    return sorted([name, value[:2] if name == "_lastUpdated" else value] for name, value in pairs)


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k not in ("meta", "authoredOn", "time", "created")}
        return {k: _timeless(v) for k, v in kept.items()}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def on_sale(desk: Desk) -> None:
    """A doctor's half day of seven slots, more than a page, one of them taken."""
    desk.put({"resourceType": "HealthcareService", "id": "eye", "name": "眼科"})
    desk.put({"resourceType": "Practitioner", "id": "qian"})
    actors = [{"reference": "HealthcareService/eye"}, {"reference": "Practitioner/qian"}]
    desk.put({"resourceType": "Schedule", "id": "sch1", "active": True, "actor": actors})
    for number in range(1, 8):
        desk.put(
            {
                "resourceType": "Slot",
                "id": f"s{number}",
                "schedule": {"reference": "Schedule/sch1"},
                "status": "busy" if number == 4 else "free",
                "start": f"2026-03-02T09:{number}0:00+08:00" if number < 6 else f"2026-03-02T0{number}:00:00Z",
                "end": "2026-03-02T18:00:00+08:00",
            }
        )


def task(desk: Desk, task_id: str, code: str, status: str, members: Resource, **inputs: Any) -> Resource:
    """One of the Tasks that docs/connectors.md asks for; ``inputs`` as they are called there, with an underscore."""
    return desk.put(
        {
            "resourceType": "Task",
            "id": task_id,
            "status": status,
            "intent": "order",
            "code": {"coding": [{"system": TASK, "code": code}]},
            "encounter": {"reference": "Encounter/e1"},
            "authoredOn": (desk.now - timedelta(minutes=1)).isoformat(timespec="seconds"),
            **members,
            "input": [
                {"type": {"coding": [{"system": TASK, "code": name.replace("_", "-")}]}, **value}
                for name, value in inputs.items()
            ],
        }
    )


class Visit:
    """The visit in acts; after each, ``told`` holds what the connector has heard of it, each event once, without times."""

    def __init__(self, desk: Desk, hospital: FhirConnector) -> None:
        self.desk, self.hospital, self.since = desk, hospital, desk.now - timedelta(hours=1)
        self.told: list[tuple[str, Any]] = []
        self.answers: list[Acknowledgement] = []
        self._heard: set[str] = set()

    def listen(self) -> None:
        poll = self.hospital.poll(HOSPITAL, self.since)
        assert poll.unusable == 0 and {event.appointment_id for event in poll.events} <= {VISIT}
        for event in poll.events:
            if event.event_id not in self._heard:
                self.told.append((str(event.type), event.data))
        self._heard |= {event.event_id for event in poll.events}

    def offers(self) -> Offers:
        reached = {"Schedule": self.since, "Slot": self.since, "until": SLOTS_UNTIL}
        return self.hospital.offers(reached, start=SLOTS_FROM, until=SLOTS_UNTIL)[0]

    def book(self) -> None:
        self.answers.append(self.hospital.execute(BOOK))
        reference = f"Appointment/{self.answers[-1].reference}"
        self.desk.change("Slot/s1", status="busy")
        self.desk.change(reference, status="booked")
        self.answers.append(self.hospital.execute(BOOK))

    def arrive(self) -> None:
        self.answers.append(self.hospital.execute(CHECK_IN))
        self.desk.put(
            {
                "resourceType": "Encounter",
                "id": "e1",
                "status": "arrived",
                "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
                "appointment": [{"reference": f"Appointment/{self.answers[0].reference}"}],
            }
        )
        room = {"resourceType": "Location", "id": "r1", "name": "眼科一诊室", "description": "1号楼2楼"}
        self.desk.put({**room, "identifier": [{"value": "B1-2-E1"}]})

    def queue(self) -> None:
        here = {"location": {"reference": "Location/r1"}}
        for status, ahead in (("accepted", 2), ("ready", 0)):
            ticket = {"ticket": {"valueString": "70"}, "ahead": {"valueInteger": ahead}}
            task(self.desk, "q1", "queue", status, here, **ticket)
            self.listen()
        self.desk.change("Encounter/e1", status="in-progress")

    def examine(self) -> None:
        patient = {"reference": f"Patient/{self.desk.of_kind('Patient')[0]['id']}"}
        order = {"resourceType": "ServiceRequest", "id": "x1", "status": "active", "intent": "order"}
        self.desk.put({**order, "subject": patient})
        more = {"focus": {"reference": "ServiceRequest/x1"}, "description": "眼底照相"}
        task(self.desk, "t1", "examination", "requested", more, kind={"valueString": "imaging"})
        charge = {"resourceType": "ChargeItem", "id": "c1", "status": "billed", "code": {"text": "眼底照相"}}
        self.desk.put({**charge, "subject": patient})
        price = {"type": "base", "amount": {"value": 80.55, "currency": "CNY"}}
        self.desk.put(
            {
                "resourceType": "Invoice",
                "id": "i1",
                "status": "issued",
                "identifier": [{"system": "urn:health-companion:appointment", "value": VISIT}],
                "lineItem": [{"chargeItemReference": {"reference": "ChargeItem/c1"}, "priceComponent": [price]}],
                "totalNet": {"value": 80.55, "currency": "CNY"},
            }
        )
        self.listen()
        pay = command(CommandKind.PAY, invoice_id="i1", receipt="R-1")
        self.answers += [self.hospital.execute(pay), self.hospital.execute(pay)]
        self.desk.change("Task/t1", status="completed")
        seen = {"resourceType": "Observation", "id": "o1", "status": "final", "code": {"text": "眼压"}}
        self.desk.put({**seen, "valueQuantity": {"value": 25.1, "unit": "mmHg"}})
        self.desk.put(
            {
                "resourceType": "DiagnosticReport",
                "id": "d1",
                "status": "final",
                "code": {"text": "眼底报告"},
                "encounter": {"reference": "Encounter/e1"},
                "basedOn": [{"reference": "ServiceRequest/x1"}],
                "issued": "2026-03-02T10:00:00+08:00",
                "result": [{"reference": "Observation/o1"}],
            }
        )

    def medicines(self) -> None:
        patient = {"reference": f"Patient/{self.desk.of_kind('Patient')[0]['id']}"}
        for number, name in enumerate(("玻璃酸钠滴眼液", "左氧氟沙星滴眼液"), 1):
            self.desk.put(
                {
                    "resourceType": "MedicationRequest",
                    "id": f"m{number}",
                    "status": "active",
                    "intent": "order",
                    "groupIdentifier": {"value": "RX-7"},
                    "medicationCodeableConcept": {"text": name},
                    "subject": patient,
                    "encounter": {"reference": "Encounter/e1"},
                    "dosageInstruction": [{"text": "每次1滴,每日4次"}],
                }
            )
        self.listen()
        for number in (1, 2):
            self.desk.change(f"MedicationRequest/m{number}", status="completed")

    def leave(self) -> None:
        again = {"restriction": {"period": {"start": "2026-03-16"}}, "description": "复查眼压"}
        task(
            self.desk,
            "f1",
            "follow-up",
            "requested",
            {**again, "owner": {"display": "眼科"}},
            note={"valueString": "-"},
        )
        self.desk.change("Encounter/e1", status="finished")
        task(self.desk, "v1", "visit", "completed", {}, note={"valueString": "-"})

    def whole(self) -> None:
        for act in (self.book, self.arrive, self.queue, self.examine, self.medicines, self.leave):
            act()
            self.listen()
