"""What residents find: free places of a department over hospitals, her own city first, the soonest first, few of each doctor."""

from datetime import timedelta
from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from hospitals.models import Department, Hospital, Slot
from hospitals.services import directory, offering
from tests.hospitals.clinics import Clinic, a_clinic
from tests.hospitals.own_rows import change, make

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def at(days: int, hour: int) -> Any:
    return timezone.localtime().replace(hour=hour, minute=0, second=0, microsecond=0) + days * DAY


def search(**changes: Any) -> list[directory.SlotOffer]:
    values = {"departments": ("眼科",), "start": at(0, 0), "end": at(15, 0), **changes}
    return directory.search_slots(**values)


@pytest.fixture()
def lake() -> Clinic:
    return a_clinic("lake")


@pytest.fixture()
def hill(lake: Clinic) -> Clinic:
    made = a_clinic("hill")
    change(Hospital, made.hospital.id, city="临海市")
    return made


def test_her_own_city_comes_before_a_sooner_place_elsewhere(lake: Clinic, hill: Clinic) -> None:
    sooner, near = hill.slot(start=at(1, 9)), lake.slot(start=at(2, 9))
    assert [o.slot_id for o in search(near_city="岚州市")] == [near.id, sooner.id]
    assert [o.slot_id for o in search()] == [sooner.id, near.id]
    assert [o.slot_id for o in search(city="临海市")] == [sooner.id]


def test_one_doctor_s_half_day_is_offered_once_at_its_first_free_time(lake: Clinic) -> None:
    half_day = lake.schedule(at(1, 8).date())
    full, first, _second = (lake.slot(of=half_day, start=at(1, hour)) for hour in (8, 9, 10))
    change(Slot, full.id, free=0)
    afternoon = lake.slot(start=at(1, 14))
    assert [o.slot_id for o in search()] == [first.id, afternoon.id]


def test_what_cannot_be_booked_is_not_offered(lake: Clinic, hill: Clinic) -> None:
    stopped, _past = lake.slot(start=at(1, 9)), lake.slot(start=at(-1, 9))
    change(Slot, stopped.id, stopped=True)
    hill.slot(start=at(1, 9))
    change(Hospital, hill.hospital.id, state="suspended")
    assert search() == []


def test_the_department_named_first_comes_first(lake: Clinic) -> None:
    bones = make(
        Department, hospital=lake.hospital, identifier="bone", name="骨伤科", standard_name="骨科", national_code="04"
    )
    eye = lake.slot(start=at(1, 9))
    bone = lake.slot(of=lake.schedule(at(2, 9).date(), department=bones), start=at(2, 9))
    assert [o.slot_id for o in search(departments=("骨科", "眼科"))] == [bone.id, eye.id]
    assert [o.department for o in search(departments=(), department_codes=("04",))] == ["骨科"]


def test_an_offer_says_all_that_she_is_told(lake: Clinic) -> None:
    slot = lake.slot(start=at(1, 9), capacity=3)
    (offer,) = search()
    assert (offer.hospital, offer.department_name, offer.practitioner) == ("lake医院", "眼科", "钱医生")
    assert (offer.start, offer.free, offer.slot_id) == (slot.start, 3, slot.id)


def test_many_places_are_read_in_three_statements(lake: Clinic) -> None:
    from django.db import connection

    for day in range(1, 8):
        lake.slot(start=at(day, 9))
    with CaptureQueriesContext(connection) as asked:
        assert len(search(near_city="岚州市", limit=5)) == 5
    assert len(asked) == 3


def test_a_hospital_that_is_not_asked_has_nothing_refreshed(lake: Clinic) -> None:
    assert offering.refresh(lake.hospital.id) == 0
