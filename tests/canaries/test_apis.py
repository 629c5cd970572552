"""Both APIs, operation by operation as their documents tell them; and every other address that there is."""

from collections.abc import Iterable
from functools import cache
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from hospitals import tenancy
from hospitals.connectors import push
from hospitals.models import Delivery
from hospitals.services import limits, webhooks
from tests.canaries import clear
from tests.canaries.asking import Operation, Request, anywhere, operations, requests
from tests.canaries.places import Watch
from tests.canaries.words import PHONE
from tests.companion.people import Person
from tests.hospitals.joining import V1, Joined, fill, joined, rows

pytestmark = pytest.mark.services
HOSPITALS = operations("hospitals.api.published")
RESIDENTS = tuple(one for one in operations(None) if not one.path.startswith("/api/hospitals/"))
SIGNED = ("/events/", "/events/batch/")
ENDS_IT = "/credentials/rotate/"  # called last: it ends the credential that the others are called with
ROWS = {row["kind"]: row for row in rows()}
# Of a row: what names others, and times and counts that must fit each other.
REFERRING = {
    "campus",
    "building",
    "department",
    "practitioner",
    "schedule",
    "day",
    "period",
    "start",
    "end",
    "starts_at",
    "ends_at",
}
DIRECTORY = f"{V1}/directory"
# What takes nothing that is sent here, and why; its refusals are searched like all others.
NEVER_TAKEN = {
    f"POST {V1}/applications/{{hospital_id}}/credentials/": "they were claimed",
    f"GET {V1}/conformance-runs/{{run_id}}/": "a run's id is ours",
    f"POST {V1}/conformance-runs/{{run_id}}/abort/": "a run's id is ours",
    f"POST {V1}/conformance-runs/{{run_id}}/look/": "a run's id is ours",
    f"POST {V1}/deliveries/{{delivery_id}}/replay/": "a ping is not sent again",
    f"PUT {DIRECTORY}/departments/{{identifier}}/": "its standard name is chosen from a list",
    f"PATCH {DIRECTORY}/departments/{{identifier}}/": "its standard name is chosen from a list",
    f"PATCH {DIRECTORY}/floors/{{identifier}}/": "what fits a row is no change of one",
    f"PATCH {DIRECTORY}/practitioners/{{identifier}}/": "what fits a row is no change of one",
    f"PUT {DIRECTORY}/map/": "words are no map",
    f"GET {DIRECTORY}/map/doors/": "there is no map",
    f"POST {V1}/events/": "of an unknown visit; known ones are told of in test_sockets.py",
    f"PATCH {V1}/hospital/": "opening hours and the avatar are chosen",
    f"GET {V1}/imports/{{run_id}}/": "a run's id is ours",
    f"POST {V1}/test-appointments/": "words are no slot",
    f"GET {V1}/test-appointments/{{appointment_id}}/": "its id is ours",
    f"DELETE {V1}/test-appointments/{{appointment_id}}/": "its id is ours",
    f"POST {V1}/token/": "words are no secret",
    f"POST {V1}/webhooks/{{environment}}/ping/": "the address is not in use; answers to it are in test_webhooks.py",
}
HERSELF = ("DELETE /api/session/", "DELETE /api/session/sign-ins/{session}/")


@pytest.fixture(autouse=True)
def without_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name, value in vars(limits).items() if isinstance(value, limits.Limit)]:
        monkeypatch.setattr(limits, name, limits.Limit(name.lower(), 10**6, 60))
    monkeypatch.setattr(webhooks, "system_resolve", lambda _host, _port: ["1.1.1.1"])


@cache
def asking() -> Client:
    """One for all: each new one would load the middlewares anew."""
    return Client(raise_request_exception=False)


def ask(watch: Watch, one: Operation, sent: Request, held: dict[str, str]) -> int:
    """Its status; what a refusal says is kept to be searched."""
    headers = {name: value.encode().decode("latin-1") for name, value in (held | sent.headers).items()}
    client = asking()
    client.cookies.clear()
    answer = client.generic(one.method, sent.path, sent.body, content_type=sent.media, headers=headers)
    if answer.status_code >= 400:
        name = f"{one} {answer.status_code}"
        watch.answers[name] = watch.answers.get(name, b"") + b"".join(answer)
        for header, value in answer.items():
            watch.answers[name] += f"\n{header}: {value}".encode()
    return int(answer.status_code)


def drive(
    watch: Watch, all_of_them: Iterable[Operation], known: dict[str, str], held: dict[str, str], signer: Any = None
) -> dict[str, set[int]]:
    """Operation → the statuses it answered with."""
    seen: dict[str, set[int]] = {}
    for one in all_of_them:
        row = ROWS.get(one.path.removeprefix(f"{V1}/directory/").partition("/")[0], {})
        parts = known | ({"identifier": row["identifier"]} if row else {})
        for sent in requests(one, parts, {name: row[name] for name in REFERRING & row.keys()}):
            more = signer(one, sent) if signer else {}
            seen.setdefault(str(one), set()).add(ask(watch, one, sent, held | more))
    return seen


def with_everything(code: str) -> tuple[Joined, dict[str, str]]:
    """A hospital with a row of each kind, and the parts of addresses that lead to them."""
    river = joined(code)
    fill(river)
    assert river.put("/webhooks/live/", {"url": "https://hooks.river.example/", "enabled": False}).status_code == 201
    with tenancy.scope(river.hospital_id):
        delivery = Delivery.objects.create(environment="live", kind="ping", outcome="failed", number=1, duration_ms=1)
    parts = {"hospital_id": str(river.hospital_id), "delivery_id": str(delivery.id), "environment": "live"}
    return river, parts | {"identifier": "P1"}


def test_every_operation_of_the_hospitals(watch: Watch) -> None:
    river, known = with_everything("river")

    def signer(one: Operation, sent: Request) -> dict[str, str]:
        if not one.path.endswith(SIGNED):
            return {"authorization": f"Bearer {river.claim}"} if "{hospital_id}" in one.path else {}
        return push.sign(river.signing_secret, f"m-{uuid4().hex}", sent.body) | {"hospital-code": river.code}

    held = {"authorization": f"Bearer {river.token}"}
    ordered = sorted(HOSPITALS, key=lambda one: (one.path.endswith(ENDS_IT), one.method == "DELETE"))
    seen = drive(watch, ordered, known, held, signer)
    watch.work()
    assert seen.keys() == {str(one) for one in HOSPITALS} and len(seen) >= 60
    assert {name: codes for name, codes in seen.items() if max(codes) >= 500} == {}
    never = {name for name, codes in seen.items() if min(codes) >= 400}
    assert never <= NEVER_TAKEN.keys(), "driven, but only to be refused: make it fit, or say why"
    assert watch.found(clear.PUBLISHED, clear.IDS) == {}


def test_every_operation_of_the_residents(watch: Watch) -> None:
    her = Person("canary")
    known = {"patient": str(her.patient.id), "session": str(her.session_id), "consent": "1", "code": PHONE}
    held = {"authorization": f"Bearer {her.token}"}
    ordered = sorted(RESIDENTS, key=lambda one: (str(one) in HERSELF, one.method == "DELETE"))
    seen = drive(watch, ordered, known, held)
    watch.work()
    assert seen.keys() == {str(one) for one in RESIDENTS} and len(seen) >= 18
    assert {name: codes for name, codes in seen.items() if max(codes) >= 500} == {}
    assert watch.found() == {}


def test_what_is_refused_before_any_view(watch: Watch) -> None:
    nowhere = Operation("POST", "", {}, {})
    codes = [ask(watch, nowhere, sent, {}) for sent in anywhere()]
    assert codes and [code for code in codes if code >= 500] == []
    assert watch.found() == {}
