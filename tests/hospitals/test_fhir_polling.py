"""A hospital that is asked: a booking goes out, its confirmation is found by polling, and each thing is stored once."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache

from hospitals import tasks, tenancy
from hospitals.connectors.base import CommandKind
from hospitals.connectors.fhir import FhirConnector, connector
from hospitals.models import Appointment, Hospital, InboxEvent, OutboxCommand
from hospitals.services import circuit, connecting, inbox, outbox, polling
from tests.hospitals.appointments import an_appointment
from tests.hospitals.fhir_server import START, FhirServer
from tests.hospitals.fhir_visit import bill
from tests.hospitals.own_rows import change

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(settings: Any) -> Iterator[FhirServer]:
    made = FhirServer()
    made.slot("s1")
    options = {"base_url": made.base, "networks": ["127.0.0.0/8"], "plain_hosts": ["127.0.0.1"]}
    settings.HOSPITALS_CONNECTORS = {"one-fhir": {"BACKEND": "fhir", "OPTIONS": options}}
    settings.HOSPITALS_EVENT_SINK = "builtins.id"
    connecting.forget()
    cache.clear()
    yield made
    connecting.forget()
    cache.clear()
    made.close()


def delivered(row: Appointment, kind: CommandKind) -> bool:
    with tenancy.scope(row.hospital_id):
        outbox.put(row, kind, key=f"{kind}:{row.id}")
        command = OutboxCommand.objects.get(kind=kind.value)
    return outbox.deliver(row.hospital_id, command.id)


def events(row: Appointment) -> list[tuple[str, str]]:
    """(type, state) of all events kept, after each has been handed on."""
    with tenancy.scope(row.hospital_id):
        for waiting in InboxEvent.objects.filter(state=InboxEvent.State.RECEIVED).order_by("sequence"):
            inbox.handle(row.hospital_id, waiting.id)
        return list(InboxEvent.objects.order_by("sequence").values_list("type", "state"))


def test_from_the_booking_to_the_queue(server: FhirServer) -> None:
    row = an_appointment("one-fhir")
    assert delivered(row, CommandKind.BOOK)
    assert polling.poll(row.hospital_id, now=START) == 1
    assert events(row) == [("appointment.booked", "done")]
    assert delivered(row, CommandKind.CHECK_IN)
    assert polling.poll(row.hospital_id) == 2
    assert polling.poll(row.hospital_id) >= 1  # read again, and told to nobody again
    assert events(row) == [("appointment.booked", "done"), ("encounter.checked_in", "done")]
    with tenancy.scope(row.hospital_id):
        row.refresh_from_db()
        assert row.state == Appointment.State.CHECKED_IN and row.reference


def test_a_lost_cursor_costs_a_reading_and_no_event(server: FhirServer) -> None:
    row = an_appointment("one-fhir")
    delivered(row, CommandKind.BOOK)
    polling.poll(row.hospital_id, now=START)
    cache.clear()
    assert polling.poll(row.hospital_id, now=START + timedelta(hours=1)) == 1
    assert len(events(row)) == 1


def test_where_a_poll_ended_outlives_however_long_the_hospital_is_away(server: FhirServer) -> None:
    row = an_appointment("one-fhir")
    polling.poll(row.hospital_id, now=START)
    key = polling._cursor(row.hospital_id)
    assert cache.get(key)["Appointment"] == START - polling.LOOK_BACK
    assert cache._cache.get_client(key).ttl(cache.make_key(key)) == -1  # kept without end


def test_what_is_more_than_one_poll_takes_is_told_by_the_next(
    server: FhirServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connector, "POLL_PAGES_MAX", 2)
    row = an_appointment("one-fhir")
    delivered(row, CommandKind.BOOK)
    mine = [{"system": "urn:health-companion:appointment", "value": str(row.id)}]
    for number in range(10):
        bill(server, id=f"i{number}", identifier=mine)
    server._ticks += 100
    told = [polling.poll(row.hospital_id, now=START) for _ in range(4)]
    assert told[0] <= 6 and told[-1] <= 1
    assert len(events(row)) == 11


def test_a_hospital_that_fails_is_left_alone_for_a_while(server: FhirServer) -> None:
    row = an_appointment("one-fhir")
    for _ in range(circuit.OPENS_AFTER):
        server.faults = ["500"]
        assert polling.poll(row.hospital_id, now=START) == 0
    asked = len(server.log)
    assert polling.poll(row.hospital_id, now=START) == 0 and len(server.log) == asked


def test_one_worker_at_a_time_asks(server: FhirServer, monkeypatch: pytest.MonkeyPatch) -> None:
    row = an_appointment("one-fhir")
    whole = FhirConnector.poll
    inner: list[int] = []

    def again(self: FhirConnector, *args: Any) -> Any:
        inner.append(polling.poll(row.hospital_id))
        return whole(self, *args)

    monkeypatch.setattr(FhirConnector, "poll", again)
    polling.poll(row.hospital_id, now=START)
    assert inner == [0]


def test_the_clock_asks_each_hospital_in_a_task_of_its_own(server: FhirServer, monkeypatch: pytest.MonkeyPatch) -> None:
    row = an_appointment("one-fhir")
    delivered(row, CommandKind.BOOK)
    sent: list[str] = []
    for task in (tasks.poll_hospital, tasks.refresh_offer):
        monkeypatch.setattr(task, "apply_async", lambda args, expires: sent.extend(args))
    tasks.poll_hospitals()
    tasks.refresh_offers()
    assert sent == [str(row.hospital_id)] * 2
    cache.set(polling._cursor(row.hospital_id), {"Appointment": START})
    tasks.poll_hospital(sent[0])
    tasks.refresh_offer(sent[1])
    assert events(row) == [("appointment.booked", "done")]


@pytest.mark.parametrize("state", [Hospital.State.APPLIED, Hospital.State.SUSPENDED, Hospital.State.LEFT])
def test_only_connected_hospitals_are_asked(server: FhirServer, state: str) -> None:
    row = an_appointment("one-fhir")
    an_appointment("sandbox", "other")
    assert polling.asked() == [row.hospital_id]
    change(Hospital, row.hospital_id, state=state)
    assert polling.asked() == []


@pytest.mark.parametrize("value", ["not-one-of-ours", "11111111-1111-4111-8111-111111111111", ""])
def test_nothing_is_kept_of_an_appointment_that_is_another_hospital_s(server: FhirServer, value: str) -> None:
    row = an_appointment("one-fhir")
    value = value or str(an_appointment("sandbox", "other").id)
    delivered(row, CommandKind.BOOK)
    (theirs,) = server.of_kind("Appointment")
    stranger = [{"system": "urn:health-companion:appointment", "value": value}]
    server.change(f"Appointment/{theirs['id']}", identifier=stranger)
    assert polling.poll(row.hospital_id, now=START) == 0 and events(row) == []
