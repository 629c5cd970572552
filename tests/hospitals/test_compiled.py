"""Compiled queries: put together once, true for every later call, whoever's hospital it is."""

from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from hospitals import tenancy
from hospitals.compiled import Compiled
from hospitals.models import Appointment, Slot
from hospitals.services import booking_rules
from tests.hospitals.clinics import Clinic, a_clinic

pytestmark = pytest.mark.django_db


def test_each_call_has_its_own_parts() -> None:
    clinic = a_clinic()
    first, second = clinic.slot(capacity=1), clinic.slot(capacity=2)
    query = Compiled(lambda slot: Slot.objects.filter(id=slot, stopped=False).values_list("id", "capacity", "start"))
    assert query.rows(slot=first.id) == [(first.id, 1, first.start)]
    assert query.rows(slot=second.id) == [(second.id, 2, second.start)]
    assert query.rows(slot=uuid4()) == []


def test_the_first_caller_s_hospital_is_not_kept() -> None:
    person = UUID(int=1)
    here, there = a_clinic("here"), a_clinic("there")
    here.book(here.slot(), person, key="k1")

    def seen(clinic: Clinic) -> list[str]:
        with tenancy.scope(clinic.hospital.id):
            return [row.idempotency_key for row in booking_rules.earlier(subject=person)]

    assert [seen(here), seen(there), seen(here)] == [["k1"], [], ["k1"]]


def test_it_is_put_together_once_and_then_one_statement() -> None:
    slot, built = a_clinic().slot(), []

    def build(slot: UUID) -> object:
        built.append(slot)
        return Slot.objects.filter(id=slot).values_list("free")

    query = Compiled(build)  # type: ignore[arg-type]
    with CaptureQueriesContext(connection) as asked:
        assert [query.rows(slot=slot.id) for _ in range(3)] == [[(1,)]] * 3
    assert (len(built), len(asked)) == (1, 3)


def test_a_part_that_the_query_does_not_use_is_a_mistake() -> None:
    query = Compiled(lambda slot, other: Appointment.objects.filter(slot=slot).values_list("id"))
    with pytest.raises(ValueError, match="part"):
        query.rows(slot=uuid4(), other=uuid4())
