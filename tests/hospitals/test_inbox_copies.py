"""One webhook in fifty copies from twenty threads at once, on PostgreSQL: one answer, one row, one effect."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client

from companion.models import VisitEvent
from hospitals import tenancy
from hospitals.connectors import codec, push
from hospitals.models import HospitalCredential, InboxEvent
from hospitals.services import inbox
from tests.embedded import ON_SERVICES
from tests.hospitals.clinics import a_clinic
from tests.hospitals.test_inbox_order import VISITS, OneVisit

DOOR = "/api/hospitals/v1/events/"
THREADS, COPIES = 20, 50
pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not ON_SERVICES, reason="needs PostgreSQL"),
    pytest.mark.django_db(transaction=True),
]


@pytest.fixture()
def visit() -> OneVisit:
    clinic = a_clinic(code=f"lake-{uuid4().hex[:8]}")
    made = OneVisit(clinic, VISITS["the whole visit"])
    with tenancy.scope(made.hospital_id):
        HospitalCredential.objects.create(
            kind=HospitalCredential.Kind.EVENTS, secret=push.new_secret(), hospital=clinic.hospital
        )
    made.code = clinic.hospital.code  # type: ignore[attr-defined]
    return made


def at_once(work: Callable[[int], Any], count: int = COPIES) -> list[Any]:
    """``work`` ``count`` times from ``THREADS`` threads that begin together."""
    together = Barrier(THREADS)

    def run(number: int) -> Any:
        if number < THREADS:
            together.wait(30)
        try:
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(run, range(count)))


def post(visit: OneVisit, body: bytes) -> tuple[int, Any]:
    with tenancy.scope(visit.hospital_id):
        secret = HospitalCredential.objects.get().secret
    signed = push.sign(secret, "m-1", body) | {"hospital-code": visit.code}  # type: ignore[attr-defined]
    answer = Client().post(DOOR, body, content_type="application/json", headers=signed)
    return answer.status_code, answer.json()


def test_copies_of_an_event_have_one_answer_and_one_effect(visit: OneVisit) -> None:
    event = visit.events[0]
    body = codec.dump_event(event)
    answers = at_once(lambda _n: post(visit, body))
    assert answers == [(202, {"event_id": event.event_id, "status": "accepted"})] * COPIES
    with tenancy.scope(visit.hospital_id):
        (row,) = InboxEvent.objects.filter(event_id=event.event_id)
    # twenty workers are given the same row
    at_once(lambda _n: inbox.handle(visit.hospital_id, row.id), THREADS)
    assert VisitEvent.objects.filter(visit=visit.visit, key=event.event_id).count() == 1


def test_copies_about_an_unknown_visit_are_refused_alike(visit: OneVisit) -> None:
    body = json.dumps(json.loads(codec.dump_event(visit.events[0])) | {"appointment_id": str(uuid4())}).encode()
    answers = at_once(lambda _n: post(visit, body))
    assert {(status, seen["code"]) for status, seen in answers} == {(404, "unknown_appointment")}
    with tenancy.scope(visit.hospital_id):
        assert InboxEvent.objects.filter(state=InboxEvent.State.DEAD).count() == 1


def test_events_of_one_visit_handled_at_the_same_moment_end_as_in_order(visit: OneVisit) -> None:
    rows = []
    for number in range(len(visit.events)):
        visit.store(number)
    rows = visit.waiting()
    at_once(lambda n: visit.hand_over(rows[n % len(rows)]), 2 * len(rows))
    for row in visit.waiting():  # whoever met a lock and gave up is taken up by the sweep
        visit.hand_over(row)
    outcome = visit.outcome()
    assert (outcome["visit"], outcome["appointment"], outcome["dead"]) == ("follow_up", "finished", 0)
