"""What hospitals' messages cost: reading HL7 v2 and FHIR, the MLLP door, and checking an address. No database, no network."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from hospitals.addresses import Policy
from hospitals.connectors.fhir import events as fhir_events
from hospitals.connectors.hl7v2 import events as hl7_events
from hospitals.connectors.hl7v2 import messages
from hospitals.connectors.hl7v2.listener import Listener
from hospitals.connectors.hl7v2.mllp import Unframer, frame

HOSPITAL, VISIT = UUID(int=1), "22222222-2222-4222-8222-222222222222"
LINES, SECONDS, TRIPS = 20, 2.0, 2000
HEAD = "MSH|^~\\&|HIS|H1|COMPANION||20260302093000||ORU^R01|M1|P|2.5.1||||||{}"
BODY = (
    f"PV1|1|O|EYE^B1||||||||||||||||{VISIT}^^^COMPANION^VN",
    "OBR|1|x1|d1|CBC^血常规||||||||||||||||||20260302100000|||F",
    *(f"OBX|{n}|NM|{n}^白细胞计数{n}||{n}.5|10*9/L|3.5-9.5|N|||F" for n in range(1, LINES + 1)),
)


def _rate(work: Callable[[], Any]) -> float:
    """How often a second."""
    work()
    count, ends = 0, time.perf_counter() + SECONDS
    started = time.perf_counter()
    while time.perf_counter() < ends:
        work()
        count += 1
    return round(count / (time.perf_counter() - started), 1)


def _report() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    rows = {
        f"Observation/{n}": {
            "resourceType": "Observation",
            "id": str(n),
            "code": {"coding": [{"code": str(n)}], "text": f"白细胞计数{n}"},
            "valueQuantity": {"value": n + 0.5, "unit": "10*9/L"},
            "referenceRange": [{"low": {"value": 3.5}, "high": {"value": 9.5}}],
        }
        for n in range(LINES)
    }
    report = {
        "resourceType": "DiagnosticReport",
        "id": "d1",
        "status": "final",
        "code": {"text": "血常规"},
        "meta": {"lastUpdated": "2026-03-02T10:00:00+08:00"},
        "result": [{"reference": key} for key in rows],
    }
    return report, rows


async def _trips() -> list[float]:
    """Seconds from a message's first byte to the last of its acknowledgement, one after another on one connection."""

    async def admit(_peer: str) -> bool:
        return True

    async def take(_who: bool, raw: bytes) -> bytes:
        message = messages.read(raw)
        hl7_events.happened(message, hospital_id=HOSPITAL)
        return messages.acknowledge(message, "AA")

    door = Listener(admit, take)
    reader, writer = await asyncio.open_connection("127.0.0.1", await door.start("127.0.0.1", 0))
    raw = frame("\r".join((HEAD.format("UNICODE UTF-8"), *BODY)).encode())
    unframer = Unframer()
    taken = []
    for _ in range(TRIPS):
        started = time.perf_counter()
        writer.write(raw)
        while not unframer.feed(await reader.read(65536)):
            pass
        taken.append(time.perf_counter() - started)
    writer.close()
    await door.stop()
    return sorted(taken)


def figures() -> Iterator[dict[str, Any]]:
    for charset, codec in (("UNICODE UTF-8", "utf-8"), ("GB 18030-2000", "gb18030")):
        raw = "\r".join((HEAD.format(charset), *BODY)).encode(codec)
        rate = _rate(lambda raw=raw: hl7_events.happened(messages.read(raw), hospital_id=HOSPITAL))  # type: ignore[misc]
        yield {"name": f"connectors.hl7v2.report_of_{LINES}.{codec}", "value": rate, "unit": "messages/s"}
    report, rows = _report()

    def fhir() -> None:
        for told in fhir_events.told(report, lambda reference: rows[reference]):
            fhir_events.finished(
                told, hospital_id=HOSPITAL, appointment_id=VISIT, kind="DiagnosticReport", resource_id="d1"
            )

    yield {"name": f"connectors.fhir.report_of_{LINES}", "value": _rate(fhir), "unit": "reports/s"}
    policy = Policy.of(networks=["10.20.0.0/16"])
    rate = _rate(lambda: policy.check_url("https://fhir.river-hospital.example/r4/Slot"))
    yield {"name": "connectors.address_check", "value": rate, "unit": "checks/s"}
    trips = asyncio.run(_trips())
    yield {"name": "connectors.mllp.trip_p50", "value": round(trips[len(trips) // 2] * 1000, 3), "unit": "ms"}
    yield {"name": "connectors.mllp.trip_p99", "value": round(trips[len(trips) * 99 // 100] * 1000, 3), "unit": "ms"}
