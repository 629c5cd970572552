"""What a FHIR server has on sale, as half days and slots of the directory."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache

from hospitals import tenancy
from hospitals.connectors.fhir import FhirConnector, changes, connector
from hospitals.connectors.fhir.offers import OfferedHalfDay, OfferedSlot
from hospitals.exceptions import ConnectorUnavailable
from hospitals.models import Appointment, Department, Hospital, Practitioner, Schedule, Slot
from hospitals.services import booking, connecting, offering
from tests.hospitals import fhir_server
from tests.hospitals.fhir_server import START, FhirServer
from tests.hospitals.own_rows import a_hospital, change, make

LOCAL = {"networks": ["127.0.0.0/8"], "plain_hosts": ["127.0.0.1"]}
UNTIL = START + timedelta(days=14)
CHANGED = {"Schedule": START, "Slot": START, "until": UNTIL}  # all that changed since then


@pytest.fixture
def server() -> Iterator[FhirServer]:
    made = FhirServer()
    made.put({"resourceType": "HealthcareService", "id": "eye", "name": "眼科"})
    made.put({"resourceType": "Practitioner", "id": "qian"})
    yield made
    made.close()


def schedule(server: FhirServer, key: str = "sch1", *, active: bool = True, who: str = "Practitioner/qian") -> None:
    actors = [{"reference": r} for r in ("HealthcareService/eye", who) if r]
    server.put({"resourceType": "Schedule", "id": key, "active": active, "actor": actors})


def slot(server: FhirServer, key: str, start: str, status: str = "free", of: str = "sch1") -> dict[str, Any]:
    end = (datetime.fromisoformat(start) + timedelta(minutes=30)).isoformat()
    mine = {"reference": f"Schedule/{of}"}
    return server.put(
        {"resourceType": "Slot", "id": key, "schedule": mine, "status": status, "start": start, "end": end}
    )


def test_slots_bring_their_half_days_by_the_hospital_s_own_clock(server: FhirServer) -> None:
    schedule(server)
    slot(server, "a", "2026-03-02T11:30:00+08:00")
    slot(server, "b", "2026-03-02T04:00:00Z", "busy")  # noon in China
    slot(server, "c", "2026-03-02T19:00:00+08:00", "busy-unavailable")
    slot(server, "far", "2026-04-02T09:00:00+08:00")
    found, reached = FhirConnector(base_url=server.base, **LOCAL).offers(CHANGED, start=START, until=UNTIL)
    day = date(2026, 3, 2)
    assert found.half_days == tuple(
        OfferedHalfDay(f"sch1.20260302.{period}", "eye", "qian", day, period, False)
        for period in ("morning", "afternoon", "evening")
    )
    assert [(s.identifier, s.half_day.split(".")[2], s.free, s.stopped) for s in found.slots] == [
        ("a", "morning", True, False),
        ("b", "afternoon", False, False),
        ("c", "evening", False, True),
    ]
    assert found.slots[1].start == datetime(2026, 3, 2, 4, tzinfo=UTC)
    settled = server.now - changes.OVERLAP
    assert reached == {"Schedule": START + timedelta(seconds=30, milliseconds=1), "Slot": settled, "until": UNTIL}
    assert isinstance(found.slots[0], OfferedSlot) and found.unusable == 0


def test_only_what_changed_is_read_again_and_a_stopped_schedule_takes_its_slots_along(server: FhirServer) -> None:
    schedule(server)
    schedule(server, "sch2")
    slot(server, "a", "2026-03-02T09:00:00+08:00")
    slot(server, "b", "2026-03-02T09:00:00+08:00", of="sch2")
    hospital = FhirConnector(base_url=server.base, **LOCAL)
    server._ticks += 10
    _all, reached = hospital.offers(None, start=START, until=UNTIL)
    schedule(server, active=False)
    found, _reached = hospital.offers(reached, start=START, until=UNTIL)
    assert [(s.identifier, s.stopped) for s in found.slots] == [("a", True)]
    assert [h.stopped for h in found.half_days] == [True]


def test_a_slot_of_nobody_is_counted_and_left_out(server: FhirServer) -> None:
    schedule(server, who="")
    slot(server, "a", "2026-03-02T09:00:00+08:00")
    schedule(server, "s" * 64)
    slot(server, "b", "2026-03-02T09:00:00+08:00", of="s" * 64)
    found, _reached = FhirConnector(base_url=server.base, **LOCAL).offers(CHANGED, start=START, until=UNTIL)
    assert found.unusable == 1 and [s.identifier for s in found.slots] == ["b"]
    assert len(found.half_days[0].identifier) <= 64


def clinic(server: FhirServer, slots: int) -> list[str]:
    """A schedule with so many slots; the time of its writing lies behind."""
    schedule(server)
    names = [f"s{number}" for number in range(slots)]
    for number, name in enumerate(names):
        slot(server, name, (START + timedelta(minutes=number)).isoformat())
    server._ticks += 100
    return names


def test_the_first_reading_takes_every_place_in_however_many_pages_they_are(
    server: FhirServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fhir_server, "PAGE", 2)
    names = clinic(server, 250)
    server.log.clear()
    found, _reached = FhirConnector(base_url=server.base, **LOCAL).offers(None, start=START, until=UNTIL)
    assert [s.identifier for s in found.slots] == names
    assert server.log == ["GET /fhir/Schedule"] + ["GET /fhir/Slot"] * 249


def test_a_place_that_is_taken_while_they_are_read_hides_no_other(server: FhirServer) -> None:
    names = clinic(server, 8)
    server.after_search = [lambda: None, lambda: server.change("Slot/s0", status="busy")]
    found, _reached = FhirConnector(base_url=server.base, **LOCAL).offers(None, start=START, until=UNTIL)
    assert {s.identifier for s in found.slots} == set(names)
    assert next(s for s in found.slots if s.identifier == "s0").free is False


def test_what_is_more_than_one_reading_takes_is_read_by_the_next(
    server: FhirServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connector, "OFFERS_PAGES_MAX", 2)
    names = clinic(server, 12)
    hospital = FhirConnector(base_url=server.base, **LOCAL)
    reached: dict[str, datetime] | None = None
    seen: list[set[str]] = []
    for _ in range(4):
        found, reached = hospital.offers(reached, start=START, until=UNTIL)
        seen.append({s.identifier for s in found.slots})
    assert set.union(*seen) == set(names) and max(map(len, seen)) <= 2 * fhir_server.PAGE


def test_a_place_that_was_written_long_ago_is_read_when_its_day_comes_within_reach(server: FhirServer) -> None:
    clinic(server, 1)
    slot(server, "far", (UNTIL + timedelta(hours=1)).isoformat())
    server._ticks += 100
    slot(server, "later", START.isoformat())
    server._ticks += 100
    hospital = FhirConnector(base_url=server.base, **LOCAL)
    _all, reached = hospital.offers(None, start=START, until=UNTIL)
    found, reached = hospital.offers(reached, start=START, until=UNTIL + timedelta(days=1))
    assert [s.identifier for s in found.slots] == ["far"]
    found, _reached = hospital.offers(reached, start=START, until=UNTIL + timedelta(days=1))
    assert found.slots == ()


def test_a_server_that_is_away_is_tried_again(server: FhirServer) -> None:
    hospital = FhirConnector(base_url=server.base, **LOCAL)
    server.faults = ["500"]
    with pytest.raises(ConnectorUnavailable):
        hospital.offers(CHANGED, start=START, until=UNTIL)


# --- into the directory -----------------------------------------------------------------------------------------


@pytest.fixture
def hospital(server: FhirServer, settings: Any) -> Iterator[Hospital]:
    options = {"base_url": server.base, **LOCAL}
    settings.HOSPITALS_CONNECTORS = {"one-fhir": {"BACKEND": "fhir", "OPTIONS": options}}
    connecting.forget()
    cache.clear()
    row = a_hospital(code="one", name="第一医院", city="甲市", state="live", connector="one-fhir")
    eye = make(Department, hospital=row, identifier="eye", name="眼科", standard_name="眼科", national_code="10")
    make(Practitioner, hospital=row, identifier="qian", department=eye, name="钱医生")
    yield row
    connecting.forget()
    cache.clear()


@pytest.mark.django_db
class TestDirectory:
    def test_slots_come_into_the_directory_and_go_off_sale_with_their_schedule(
        self, server: FhirServer, hospital: Hospital
    ) -> None:
        schedule(server)
        slot(server, "a", "2026-03-02T09:00:00+08:00")
        slot(server, "b", "2026-03-02T09:30:00+08:00", "busy")
        assert offering.refresh(hospital.id, now=START) == 2
        assert list(Slot.objects.order_by("start").values_list("identifier", "capacity", "free", "stopped")) == [
            ("a", 1, 1, False),
            ("b", 1, 0, False),
        ]
        assert Schedule.objects.get().practitioner.name == "钱医生"
        assert offering.refresh(hospital.id, now=START) == 0
        schedule(server, active=False)
        offering.refresh(hospital.id, now=START)
        assert Schedule.objects.get().stopped_at and not Slot.objects.filter(stopped=False).exists()

    def test_a_half_day_that_an_event_stopped_stays_off_sale_until_its_schedule_is_written_again(
        self, server: FhirServer, hospital: Hospital
    ) -> None:
        schedule(server)
        slot(server, "a", "2026-03-02T09:00:00+08:00")
        offering.refresh(hospital.id, now=START)
        with tenancy.scope(hospital.id):
            booking.stop(schedule_id=Schedule.objects.get().id, now=server.now + timedelta(hours=1))
        slot(server, "b", "2026-03-02T09:30:00+08:00")
        offering.refresh(hospital.id, now=START)
        assert Slot.objects.count() == 2 and not Slot.objects.filter(stopped=False).exists()
        server._ticks += 7200
        schedule(server)
        offering.refresh(hospital.id, now=START)
        assert not Slot.objects.filter(stopped=True).exists()

    def test_a_slot_that_still_reads_free_is_not_sold_twice(self, server: FhirServer, hospital: Hospital) -> None:
        schedule(server)
        slot(server, "a", "2026-03-02T09:00:00+08:00")
        offering.refresh(hospital.id, now=START)
        row = Slot.objects.get()
        change(Slot, row.id, free=0)
        with tenancy.scope(hospital.id):
            common = {"hospital": hospital, "slot": row, "card": {}, "id_number_index": "0" * 64}
            Appointment.objects.create(**common, subject=uuid4(), idempotency_key="a", state="booked")
        slot(server, "a", "2026-03-02T09:00:00+08:00")
        offering.refresh(hospital.id, now=START)
        assert Slot.objects.get().free == 0

    def test_a_fee_that_the_hospital_set_stays_and_new_slots_have_it_too(
        self, server: FhirServer, hospital: Hospital
    ) -> None:
        schedule(server)
        slot(server, "a", "2026-03-02T09:00:00+08:00")
        offering.refresh(hospital.id, now=START)
        change(Slot, Slot.objects.get().id, fee_fen=1200)
        slot(server, "a", "2026-03-02T09:00:00+08:00", "busy")
        slot(server, "b", "2026-03-03T09:00:00+08:00")
        offering.refresh(hospital.id, now=START)
        assert set(Slot.objects.values_list("identifier", "fee_fen")) == {("a", 1200), ("b", 1200)}

    def test_slots_of_people_who_were_not_uploaded_hinder_no_others(
        self, server: FhirServer, hospital: Hospital
    ) -> None:
        server.put({"resourceType": "Practitioner", "id": "sun"})
        schedule(server)
        schedule(server, "sch2", who="Practitioner/sun")
        slot(server, "a", "2026-03-02T09:00:00+08:00")
        slot(server, "b", "2026-03-02T09:00:00+08:00", of="sch2")
        assert offering.refresh(hospital.id, now=START) == 1
        assert list(Slot.objects.values_list("identifier", flat=True)) == ["a"]

    def test_a_server_that_is_away_changes_nothing(self, server: FhirServer, hospital: Hospital) -> None:
        server.faults = ["500"]
        assert offering.refresh(hospital.id, now=START) == 0 and not Slot.objects.exists()
