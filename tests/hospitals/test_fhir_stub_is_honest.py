"""Our own FHIR server answers as the one that others made: what the other tests learn from it holds elsewhere too."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hospitals.connectors.fhir import FhirConnector
from tests.hospitals.fhir_script import Tape, Visit, on_sale
from tests.hospitals.fhir_server import JSON, FhirServer
from tests.hospitals.fhir_visit import CANCEL, LOCAL, VISIT
from tests.hospitals.medplum_peer import MedplumPeer, needs_medplum

pytestmark = needs_medplum
Both = tuple[FhirServer, MedplumPeer]


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def both(medplum: MedplumPeer) -> Iterator[Both]:
    stub = FhirServer(acts=False)
    medplum.begin()
    for server in (stub, medplum):
        on_sale(server)
    yield stub, medplum
    stub.close()


@pytest.fixture(scope="module")
def visits(both: Both) -> list[tuple[Visit, Tape]]:
    """The same visit at each, one after the other."""
    played = []
    for server in both:
        tape = Tape(server)
        visit = Visit(server, FhirConnector(base_url=server.base, outgoing=tape.outgoing, **LOCAL))
        visit.offers()
        visit.whole()
        visit.answers.append(visit.hospital.execute(CANCEL))
        played.append((visit, tape))
    return played


def test_a_whole_visit_goes_over_the_wire_in_the_same_way(visits: list[tuple[Visit, Tape]]) -> None:
    (_stub, ours), (_peer, theirs) = visits
    assert len(ours.exchanges) > 50
    for mine, other in zip(ours.exchanges, theirs.exchanges, strict=True):
        assert mine == other


# --- what the visit does not ask ------------------------------------------------------------------------------

NEW = {"resourceType": "Patient", "identifier": [{"system": "a", "value": "new"}]}
APPOINTMENT = "urn:health-companion:appointment"
STALE = {"if-match": 'W/"of-long-ago"'}
DOCTOR = {"resourceType": "Practitioner", "id": "qian"}
SLOT = {
    "resourceType": "Slot",
    "id": "s2",
    "schedule": {"reference": "Schedule/sch1"},
    "status": "free",
    "start": "2026-03-02T09:20:00+08:00",
    "end": "2026-03-02T18:00:00+08:00",
}


def status(
    http: httpx.Client, server: FhirServer | MedplumPeer, method: str, path: str, headers: dict[str, str], body: Any
) -> int:
    content = body if isinstance(body, str) else json.dumps(body) if body else ""
    sent = {"content-type": JSON, **headers} if content else headers
    answer = http.request(method, f"{server.base}/{path}", headers=sent, content=content)
    assert answer.status_code < 300 or answer.json()["resourceType"] == "OperationOutcome"
    return answer.status_code


@pytest.mark.parametrize(
    ("expected", "method", "path", "headers", "body"),
    [
        (200, "GET", "metadata", {}, None),
        (404, "GET", "Slot/nowhere", {}, None),
        (400, "GET", "Slot?colour=green", {}, None),
        (400, "GET", f"DiagnosticReport?encounter.appointment.identifier={APPOINTMENT}|", {}, None),
        (201, "POST", "Patient", {"if-none-exist": "identifier=a|once"}, {**NEW, "identifier": [{"value": "x"}]}),
        (412, "POST", "Slot", {"if-none-exist": "schedule=Schedule/sch1"}, {**SLOT, "id": None}),
        (400, "POST", "Slot", {}, NEW),
        (400, "POST", "Patient", {}, "{"),
        (415, "POST", "Patient", {"content-type": "application/json"}, NEW),
        (412, "PUT", "Slot/s2", STALE, SLOT),
        (400, "PUT", "Slot/s3", STALE, SLOT),
        (404, "PUT", "Slot/nowhere", STALE, {**SLOT, "id": "nowhere"}),
    ],
)
def test_both_answer_with_the_same_status(
    http: httpx.Client, both: Both, expected: int, method: str, path: str, headers: dict[str, str], body: Any
) -> None:
    sent = {k: v for k, v in body.items() if v is not None} if isinstance(body, dict) else body
    assert [status(http, server, method, path, headers, sent) for server in both] == [expected, expected]


@pytest.mark.parametrize(
    ("ours", "theirs", "method", "path", "body"),
    [
        pytest.param(428, 200, "PUT", "Practitioner/qian", DOCTOR, id="If-Match must be there"),
        pytest.param(400, 201, "POST", "Patient", {**NEW, "id": "mine"}, id="no id is chosen by a client"),
        pytest.param(
            422,
            201,
            "POST",
            "Encounter",
            {
                "resourceType": "Encounter",
                "status": "arrived",
                "class": {"code": "AMB"},
                "subject": {"reference": "Patient/nobody"},
            },
            id="every reference leads somewhere",
        ),
        pytest.param(
            422, 400, "POST", "Task", {"resourceType": "Task", "status": "waiting", "intent": "order"}, id="codes"
        ),
        pytest.param(422, 400, "POST", "Slot", {"resourceType": "Slot", "status": "free"}, id="what is required"),
        pytest.param(422, 400, "POST", "Patient", {**NEW, "colour": "green"}, id="nothing is made up"),
    ],
)
def test_where_they_differ_ours_is_the_stricter(
    http: httpx.Client, both: Both, ours: int, theirs: int, method: str, path: str, body: Any
) -> None:
    assert [status(http, server, method, path, {}, body) for server in both] == [ours, theirs]


OFFSETS = [timezone(timedelta(hours=hours)) for hours in (8, 0, -5)]
TIMES = st.builds(
    lambda minute, offset: (datetime(2026, 3, 2, 0, 55, tzinfo=UTC) + timedelta(minutes=minute)).astimezone(offset),
    st.integers(0, 500),
    st.sampled_from(OFFSETS),
)
STARTS = st.builds(
    lambda prefix, at: f"{prefix}{at.isoformat(timespec='seconds')}", st.sampled_from(["ge", "lt"]), TIMES
)
TOKENS = st.sampled_from([f"{APPOINTMENT}|", f"{APPOINTMENT}|{VISIT}", f"{APPOINTMENT}|another", "urn:other|", "x"])
CHAINS = {
    "Appointment": "identifier",
    "Invoice": "identifier",
    "Encounter": "appointment.identifier",
    "Task": "encounter:Encounter.appointment.identifier",
    "DiagnosticReport": "encounter:Encounter.appointment.identifier",
    "MedicationRequest": "encounter.appointment.identifier",
}
SEARCHES = st.one_of(
    st.builds(
        lambda starts, more: ("Slot", {"start": starts, **more}),
        st.lists(STARTS, max_size=2),
        st.sampled_from([{}, {"schedule": "Schedule/sch1"}, {"schedule": "Schedule/none"}]),
    ),
    st.builds(lambda kind, token: (kind, {CHAINS[kind]: token}), st.sampled_from(sorted(CHAINS)), TOKENS),
)


def found(
    http: httpx.Client, server: FhirServer | MedplumPeer, kind: str, query: dict[str, Any]
) -> tuple[int, set[str], bool]:
    """(how many, the visit's own rows of the first page, whether there are more)."""
    asked = urlencode({**query, "_sort": "_lastUpdated"}, doseq=True)
    bundle = http.get(f"{server.base}/{kind}?{asked}").json()
    rows = {entry["resource"]["id"] for entry in bundle.get("entry", [])} if kind != "Appointment" else set()
    return bundle["total"], rows, any(link["relation"] == "next" for link in bundle["link"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(search=SEARCHES)
def test_both_find_the_same(http: httpx.Client, both: Both, visits: Any, search: tuple[str, dict[str, Any]]) -> None:
    assert found(http, both[0], *search) == found(http, both[1], *search)
