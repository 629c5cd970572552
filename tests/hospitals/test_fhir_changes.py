"""What changes at a hospital is told whole, whatever it writes while we read, and however much that is."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from hospitals.connectors.base import EventType
from hospitals.connectors.fhir import FhirConnector, connector
from hospitals.exceptions import ConnectorUnavailable
from tests.hospitals.fhir_server import PAGE, START, FhirServer
from tests.hospitals.fhir_visit import HOSPITAL, LOCAL, bill, quick


@pytest.fixture
def server() -> Iterator[FhirServer]:
    made = FhirServer()
    made.slot("s1")
    yield made
    made.close()


@pytest.fixture
def hospital(server: FhirServer) -> FhirConnector:
    return FhirConnector(base_url=server.base, outgoing=quick, **LOCAL)


def booked(server: FhirServer, name: str) -> str:
    """An appointment of ours, as the hospital has it; the visit."""
    visit = str(uuid4())
    server.put(
        {
            "resourceType": "Appointment",
            "id": name,
            "status": "booked",
            "identifier": [{"system": "urn:health-companion:appointment", "value": visit}],
            "slot": [{"reference": "Slot/s1"}],
            "participant": [{"actor": {"reference": "HealthcareService/eye"}, "status": "accepted"}],
        }
    )
    return visit


def some(server: FhirServer, count: int, *, at_once: bool = False) -> list[str]:
    """So many appointments, written one after the other or in one moment, some time ago."""
    server.at_once = at_once
    visits = [booked(server, f"a{number}") for number in range(count)]
    server.at_once = False
    server._ticks += 100
    return visits


class Polls:
    """One poll after the other, each where the last one ended."""

    def __init__(self, hospital: FhirConnector) -> None:
        self.hospital = hospital
        self.reached: dict[str, datetime] = {}

    def __call__(self) -> set[str]:
        """The visits that are told of."""
        poll = self.hospital.poll(HOSPITAL, START, self.reached)
        assert all(at >= self.reached.get(kind, START) for kind, at in poll.reached.items()), "it never goes back"
        self.reached = poll.reached
        return {event.appointment_id for event in poll.events}


def test_a_resource_that_moves_while_pages_are_read_hides_no_other(server: FhirServer, hospital: FhirConnector) -> None:
    visits = some(server, 8)
    server.after_search = [lambda: server.change("Appointment/a0", comment="请带病历")]
    polls = Polls(hospital)
    assert polls() | polls() == set(visits)


@pytest.mark.parametrize("leaves", ["a0", "a4", "a7"])
def test_nor_where_all_of_them_were_written_in_one_moment(
    server: FhirServer, hospital: FhirConnector, leaves: str
) -> None:
    visits = some(server, 3 * PAGE, at_once=True)
    server.after_search = [lambda: None, lambda: server.change(f"Appointment/{leaves}", comment="请带病历")]
    polls = Polls(hospital)
    assert polls() | polls() == set(visits)


def test_a_moment_that_fills_pages_holds_up_nothing_behind_it(server: FhirServer, hospital: FhirConnector) -> None:
    visits = some(server, 2 * PAGE, at_once=True) + [booked(server, "later"), booked(server, "latest")]
    server._ticks += 100
    polls = Polls(hospital)
    assert polls() == set(visits)
    server.log.clear()
    assert polls() == set() and server.log.count("GET /fhir/Appointment") == 1


def test_a_server_that_gives_one_moment_in_another_order_each_time_is_told_so(
    server: FhirServer, hospital: FhirConnector
) -> None:
    some(server, 4 * PAGE, at_once=True)
    server.unsteady = True
    with pytest.raises(ConnectorUnavailable, match="never_settled"):
        hospital.poll(HOSPITAL, START)


def test_so_is_one_that_sorts_as_it_likes(server: FhirServer, hospital: FhirConnector) -> None:
    visits = some(server, PAGE)
    server.latest_first = True
    assert Polls(hospital)() == set(visits), "one page is put in order here"
    some(server, PAGE + 1)
    with pytest.raises(ConnectorUnavailable, match="not_in_order"):
        hospital.poll(HOSPITAL, START)


def test_a_write_that_was_under_way_while_it_was_read_past_is_told_by_the_next(
    server: FhirServer, hospital: FhirConnector
) -> None:
    visits = some(server, 2)
    late = booked(server, "late")
    under_way = server.rows.pop("Appointment/late")  # its time is set, and nobody sees it yet
    visits += [late, booked(server, "next")]
    polls = Polls(hospital)
    assert polls() == set(visits) - {late}
    server.rows["Appointment/late"] = under_way
    assert late in polls()


def test_a_poll_ends_after_so_many_pages_and_the_next_goes_on_from_there(
    server: FhirServer, hospital: FhirConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connector, "POLL_PAGES_MAX", 2)
    visits = some(server, 12)
    polls = Polls(hospital)
    told = [polls() for _ in range(4)]
    assert set.union(*told) == set(visits) and max(map(len, told)) <= 2 * PAGE
    assert polls() == set()


def test_a_poll_ends_when_its_time_is_up_and_no_kind_keeps_another_waiting_for_ever(
    server: FhirServer, hospital: FhirConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    visits = some(server, 6)
    server.put({"resourceType": "Patient", "id": "p1"})
    bill(server, identifier=[{"system": "urn:health-companion:appointment", "value": visits[0]}])
    server._ticks += 100
    left = 0

    def remaining() -> float:
        nonlocal left
        left -= 1
        return connector.LAST_S if left >= 0 else 0.0

    monkeypatch.setattr(connector, "remaining", remaining)
    reached: dict[str, datetime] = {}
    told: list[EventType] = []
    for _ in range(8):
        left = 4  # so often it is asked before the time is up
        poll = hospital.poll(HOSPITAL, START, reached)
        told += [event.type for event in poll.events]
        reached = poll.reached
        server.change("Appointment/a0", comment=f"{len(told)}")  # one kind always has something new
    assert EventType.INVOICE_ISSUED in told


@pytest.mark.parametrize("digits", [0, 6])
def test_a_clock_that_counts_whole_seconds_or_millionths_loses_nothing(
    server: FhirServer, hospital: FhirConnector, digits: int
) -> None:
    visits = some(server, 7)
    for number, row in enumerate(server.of_kind("Appointment")):
        at = START + timedelta(seconds=60) + timedelta(microseconds=300 * number if digits else 0)
        row["meta"]["lastUpdated"] = at.isoformat(timespec="microseconds" if digits else "seconds")
    assert Polls(hospital)() == set(visits)
