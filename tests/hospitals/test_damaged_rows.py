"""What is damaged in the database is lost by itself: nobody else waits for it, and whoever it is about can still be erased."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import models
from django.utils import timezone

from hospitals import tenancy, vault
from hospitals.audit import SERVICE
from hospitals.models import Appointment, Circuit, DataKey, OutboxCommand
from hospitals.services import erasure, outbox
from tests.hospitals.clinics import Clinic, a_clinic
from tests.hospitals.lives import Life, a_life, full
from tests.hospitals.sealed_rows import put
from tests.hospitals.sealed_rows import sealed as columns
from tests.hospitals.walking import rows, sealed

pytestmark = pytest.mark.django_db


@pytest.fixture
def clinics() -> tuple[Clinic, Clinic]:
    return a_clinic("lake"), a_clinic("hill")


@pytest.fixture
def hers(clinics: tuple[Clinic, Clinic]) -> Life:
    return full(a_life("林晚照", "甲甲", born="19610115", phone="13900001111"), *clinics)


def damage(*but: type[models.Model]) -> None:
    """One bit of every sealed value there is."""
    for row in list(rows()):
        if type(row) in columns() and type(row) not in but:
            for field, value in sealed(row):
                put(row, field, bytes(value[:-1]) + bytes([value[-1] ^ 1]))
    vault.forget()


def test_she_can_be_erased_though_all_of_hers_is_damaged(hers: Life) -> None:
    damage()
    assert erasure.erase_resident(hers.person.resident_id, actor=SERVICE, reason="本人申请") == 1
    assert not models.QuerySet(Appointment).filter(erased_at=None).exists()


def test_she_can_be_erased_though_her_key_is_damaged(hers: Life) -> None:
    DataKey.objects.filter(owner_id=str(hers.person.resident_id)).update(wrapped=bytes(60))
    vault.forget()
    assert erasure.erase_resident(hers.person.resident_id, actor=SERVICE, reason="本人申请") == 1


def test_a_hospital_can_leave_and_be_erased_though_what_waits_for_it_is_damaged(
    hers: Life, clinics: tuple[Clinic, Clinic]
) -> None:
    damage()
    here = clinics[1].hospital.id
    assert erasure.leave_and_erase(here, actor=SERVICE, reason="合并") >= 1
    with tenancy.scope(here):
        assert not OutboxCommand.objects.filter(state=OutboxCommand.State.WAITING).exists()


def test_a_damaged_command_is_no_fault_of_its_hospital_s(
    clinics: tuple[Clinic, Clinic], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox.connecting, "connector", lambda _hospital: None)  # never gets to be asked
    clinic = clinics[0]
    clinic.book(clinic.slot(start=timezone.now() + timedelta(days=2)), number=7)
    with tenancy.scope(clinic.hospital.id):
        card = Appointment.objects.get()
        field: Any = Appointment._meta.get_field("card")
        value = bytes(card.__dict__["card"])
        put(card, field, value[:-1] + bytes([value[-1] ^ 1]))
    outbox.sweep()
    with tenancy.scope(clinic.hospital.id):
        assert OutboxCommand.objects.get().reason == "ciphertext_invalid"
        assert not Circuit.objects.filter(failures__gt=0).exists()
