"""Every operation with another hospital's credential on this hospital's ids: 403 or 404, not one byte of hers, nothing changed.

The list of operations is the API's own document: an operation that is added and not tried here fails the first test.
"""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.db import connection

from hospitals import tenancy
from hospitals.models import Delivery, ImportRun, WebhookEndpoint
from hospitals.services import conformance, idempotency, rehearsal
from tests.hospitals.joining import OFFICER, Joined, fill, joined, rows
from tests.hospitals.test_api_schema import operations
from tests.obedient import as_owner

pytestmark = pytest.mark.django_db
ROOT = "/api/hospitals/v1"
MARK = "机密标记"  # stands in every text of the hospital that is being spied on

BODIES: dict[str, dict[str, Any]] = {
    row["kind"]: {k: v for k, v in row.items() if k not in ("kind", "identifier")} for row in rows()
}
# Operations that name no row: they work for the caller's own hospital whatever is asked (shown below, one by one).
OWN = {
    ("GET", "/hospital/"),
    ("PATCH", "/hospital/"),
    ("GET", "/directory/lexicon/"),
    ("PUT", "/directory/lexicon/"),
    ("GET", "/directory/map/"),
    ("PUT", "/directory/map/"),
    ("GET", "/directory/map/doors/"),
    ("POST", "/test-appointments/"),
    ("GET", "/conformance-runs/"),
    ("POST", "/conformance-runs/"),
    ("POST", "/credentials/rotate/"),
    ("GET", "/webhooks/{environment}/"),
    ("PUT", "/webhooks/{environment}/"),
    ("POST", "/webhooks/{environment}/rotate/"),
    ("POST", "/webhooks/{environment}/ping/"),
    ("GET", "/deliveries/"),
    *(("GET", f"/directory/{kind}/") for kind in BODIES),
}
# Open ones have credentials of their own kind: tests/hospitals/test_api_access.py and test_api_events.py.
OPEN = {
    ("POST", "/applications/"),
    ("GET", "/applications/{hospital_id}/"),
    ("POST", "/applications/{hospital_id}/credentials/"),
    ("POST", "/token/"),
    ("POST", "/events/"),
    ("POST", "/events/batch/"),
}


@pytest.fixture
def river() -> Joined:
    """The hospital that is spied on: one row of each kind, all marked, with ids that only she has."""
    cache.clear()
    found = joined("river")
    fill(found)
    for kind, text in (
        ("campuses", "name"),
        ("practitioners", "specialty"),
        ("notices", "text"),
        ("departments", "place"),
    ):
        identifier = next(row["identifier"] for row in rows() if row["kind"] == kind)
        assert found.call("PATCH", f"/directory/{kind}/{identifier}/", {text: MARK}).status_code == 200
    found.put("/directory/lexicon/", {"entries": [{"written": MARK, "spoken": "jī mì"}]})
    found.call("PATCH", "/hospital/", {"address": MARK})
    with tenancy.scope(found.hospital_id):
        WebhookEndpoint.objects.create(environment="sandbox", url=f"https://hooks.{found.code}.example/", secret="x")
        Delivery.objects.create(environment="live", kind="book", idempotency_key=MARK, number=1, duration_ms=1)
    return found


@pytest.fixture
def spy() -> Joined:
    return joined("spy")


@pytest.fixture
def ids(river: Joined) -> dict[str, str]:
    """What a foreign id may be in an address."""
    with tenancy.scope(river.hospital_id):
        made = rehearsal.create(hospital_id=river.hospital_id, actor=OFFICER)
        run = ImportRun.objects.create(hospital_id=river.hospital_id, faults=[{"line": 1, "detail": MARK}])
        sent = Delivery.objects.get(idempotency_key=MARK)
    trial = conformance.start(hospital_id=river.hospital_id, actor=OFFICER)
    found = {"appointment_id": made.appointment_id, "import": run.id, "conformance": trial.id, "delivery": sent.id}
    return {name: str(value) for name, value in found.items()}


def everything_of(hospital: Joined) -> str:
    """All rows of a hospital as the database has them, but for when somebody last called."""
    found = []
    with as_owner(), connection.cursor() as cursor:
        for table in sorted(connection.introspection.table_names(cursor)):
            columns = [c.name for c in connection.introspection.get_table_description(cursor, table)]
            if table.startswith("hospitals_") and "hospital_id" in columns:
                mine = [hospital.hospital_id.hex, str(hospital.hospital_id)]
                cursor.execute(f'SELECT * FROM "{table}" WHERE CAST(hospital_id AS varchar) IN (%s, %s)', mine)
                found.append((table, sorted(map(repr, cursor.fetchall()))))
    return repr(found)


def foreign_calls(ids: dict[str, str]) -> Iterator[tuple[str, str, Any]]:
    """(method, path, body) of every operation that names a row, with the ids of the hospital that is spied on."""
    named = {row["kind"]: row["identifier"] for row in rows()}
    # PUT last: it may make a row of the spy's own under the same identifier
    for method, template in sorted(operations(), key=lambda o: o[0] == "PUT" and not o[1].endswith("/fee/")):
        operation = (method, template.removeprefix(ROOT))
        if operation in OWN | OPEN:
            continue
        path = operation[1]
        body: Any = {}
        if path.startswith("/directory/"):
            kind = path.split("/")[2]
            path = path.replace("{identifier}", named[kind])
            body = {"fee_fen": 1} if path.endswith("/fee/") else BODIES[kind] if method == "PUT" else {}
        elif path.startswith("/imports/"):
            path = path.replace("{run_id}", ids["import"])
        elif path.startswith("/deliveries/"):
            path = path.replace("{delivery_id}", ids["delivery"])
        else:
            path = path.replace("{run_id}", ids["conformance"]).replace("{appointment_id}", ids["appointment_id"])
        assert "{" not in path, f"no foreign id for {path}"
        yield method, path, body


def foreign_answers(spy: Joined, ids: dict[str, str]) -> Iterator[tuple[str, str, Any]]:
    """(method, path, answer) of each of them with the spy's credential."""
    for method, path, body in foreign_calls(ids):
        media = "application/x-ndjson" if path.startswith("/imports/") and method == "PUT" else "application/json"
        yield method, path, spy.call(method, path, b"\n" if "ndjson" in media else body, media=media)


def nothing_told_of(river: Joined, answer: Any) -> bool:
    told = answer.content.decode() + repr(dict(answer.headers))
    hers = [MARK, json.dumps(MARK)[1:-1], river.code, river.hospital_id.hex, str(river.hospital_id), river.client_id]
    return not [secret for secret in hers if secret in told]


def test_every_operation_is_tried_or_named() -> None:
    known = {(method, path.removeprefix(ROOT)) for method, path in operations()}
    assert known >= OWN | OPEN
    ids = {"appointment_id": "a", "import": "i", "conformance": "c", "delivery": "d"}
    tried = [path for _method, path, _body in foreign_calls(ids)]
    assert len(tried) == len(known) - len(OWN | OPEN) >= 30


def test_a_foreign_id_is_403_or_404_and_nothing_of_hers_is_told_or_changed(
    river: Joined, spy: Joined, ids: dict[str, str]
) -> None:
    before = everything_of(river)
    assert MARK in before
    tried = 0
    for method, path, answer in foreign_answers(spy, ids):
        creates = method == "PUT" and path.startswith("/directory/") and not path.endswith("/fee/")
        if creates:
            # an identifier is the hospital's own: the spy may use the same one for a row of its own, or is told that
            # what the row names is not there
            assert answer.status_code in (201, 400), (method, path, answer.status_code)
        else:
            assert answer.status_code in (403, 404), (method, path, answer.status_code)
        assert nothing_told_of(river, answer), (method, path)
        assert everything_of(river) == before, (method, path)
        tried += 1
    assert tried >= 30


def own_call(river: Joined, spy: Joined, method: str, path: str) -> Any:
    """The spy's call for its own hospital, with the other's name wherever one could stand."""
    bodies = {
        "/hospital/": {"phone": "0990-1", "hospital_id": str(river.hospital_id), "code": river.code},
        "/directory/lexicon/": {"entries": []},
        "/directory/map/": {"type": "FeatureCollection", "features": [], "hospital_id": str(river.hospital_id)},
        "/credentials/rotate/": {"kind": "client", "client_id": river.client_id},
        "/test-appointments/": {"slot": "T1", "hospital_id": str(river.hospital_id)},
        "/webhooks/sandbox/": {"url": "https://1.1.1.1/", "hospital_id": str(river.hospital_id)},
    }
    path = path.replace("{environment}", "sandbox")
    asked = f"{path}?hospital_id={river.hospital_id}&hospital={river.code}"
    return spy.call(method, asked, bodies.get(path, {}), hospital_code=river.code, x_hospital=str(river.hospital_id))


@pytest.mark.parametrize(("method", "path"), sorted(OWN), ids=lambda value: value)
def test_what_names_no_row_is_about_the_callers_own_hospital(
    river: Joined, spy: Joined, method: str, path: str
) -> None:
    before = everything_of(river)
    answer = own_call(river, spy, method, path)
    assert answer.status_code < 500
    assert nothing_told_of(river, answer)
    assert everything_of(river) == before


def test_a_cursor_of_another_hospital_opens_nothing(river: Joined, spy: Joined) -> None:
    cursor = river.get("/directory/campuses/").json()["cursor"]
    assert spy.get(f"/directory/campuses/?cursor={cursor}").json()["items"] == []


@pytest.mark.parametrize(("place", "name"), [("deliveries", "delivery"), ("conformance-runs", "conformance")])
def test_a_row_of_another_hospital_is_no_cursor(
    river: Joined, spy: Joined, ids: dict[str, str], place: str, name: str
) -> None:
    assert river.get(f"/{place}/?cursor={ids[name]}").status_code == 200
    answer = spy.get(f"/{place}/?cursor={ids[name]}")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_cursor")
    assert spy.get(f"/{place}/").json()["items"] == []


def test_a_row_cannot_be_hung_onto_another_hospitals(river: Joined, spy: Joined) -> None:
    for kind in ("buildings", "floors", "practitioners", "schedules", "slots"):
        answer = spy.put(f"/directory/{kind}/mine/", BODIES[kind])
        assert (answer.status_code, answer.json()["code"]) == (400, "unknown_reference")


def test_an_answer_kept_under_a_key_is_given_to_its_own_hospital_only(river: Joined, spy: Joined) -> None:
    river.put("/directory/campuses/main/", {"name": MARK}, idempotency_key="shared")
    answer = spy.put("/directory/campuses/main/", {"name": MARK}, idempotency_key="shared")
    assert answer.status_code == 201 and "Idempotent-Replayed" not in answer
    assert idempotency.fingerprint("a", "b") != idempotency.fingerprint("ab")


def test_another_hospitals_events_secret_signs_nothing_here(river: Joined, spy: Joined, ids: dict[str, str]) -> None:
    from tests.hospitals.test_api_events import message, send

    body = message(ids["appointment_id"])
    assert send(body, river.code, spy.signing_secret).status_code == 401
    assert send(body, spy.code, spy.signing_secret).status_code == 404


def test_a_claim_of_one_is_no_claim_of_another(river: Joined, spy: Joined) -> None:
    from dataclasses import replace

    thief = replace(spy, token=spy.claim)
    assert thief.get(f"/applications/{river.hospital_id}/").status_code == 401
    answer = thief.call("POST", f"/applications/{river.hospital_id}/credentials/", {"environment": "live"})
    assert answer.status_code == 401
    assert thief.get(f"/applications/{uuid4()}/").status_code == 401
