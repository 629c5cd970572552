"""A hospital is erased with all that waits for it: residents hear of it, and nothing of it holds up anybody afterwards."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from companion import visits
from companion.models import Visit, VisitEvent
from hospitals import tenancy, vault
from hospitals.audit import SERVICE
from hospitals.connectors.base import EventType, Invoice, InvoiceLine
from hospitals.models import Appointment, InboxEvent, OutboxCommand
from hospitals.services import booking, erasure, outbox, retention
from tests.hospitals.clinics import Clinic, a_clinic
from tests.hospitals.lives import Life, a_booking, a_life, a_whole_visit, happens

pytestmark = pytest.mark.django_db


@pytest.fixture()
def lake() -> Clinic:
    return a_clinic("lake")


@pytest.fixture()
def life() -> Life:
    return a_life("林晚照", "甲甲", born="19610115", phone="13900001111")


def goes(clinic: Clinic) -> None:
    erasure.leave_and_erase(clinic.hospital.id, actor=SERVICE, reason="退出并清除")
    vault.forget()


def erased(life: Life) -> int:
    return erasure.erase_resident(life.person.resident_id, actor=SERVICE, reason="本人申请")


def commands(clinic: Clinic, **which: Any) -> list[tuple[str, str]]:
    with tenancy.scope(clinic.hospital.id):
        return list(OutboxCommand.objects.filter(**which).values_list("kind", "state"))


def put_back(clinic: Clinic, **which: Any) -> None:
    """As if another process had written it at that moment, with the key that it remembered."""
    with tenancy.scope(clinic.hospital.id):
        assert OutboxCommand.objects.filter(**which).update(state="waiting", next_attempt_at=timezone.now())


def asked_to_cancel(life: Life, clinic: Clinic, days: int) -> UUID:
    wanted = a_booking(life, clinic, days=days)
    clinic.told_the_hospital()
    booking.cancel(appointment_id=wanted, reason="改期")
    return wanted


def told(visit_id: UUID, kind: str) -> list[Any]:
    return [row.data for row in VisitEvent.objects.filter(visit_id=visit_id, type=kind)]


class TestWhatWaited:
    def test_bookings_come_to_nothing_and_she_hears_why(self, life: Life, lake: Clinic) -> None:
        never_sent, sent = a_booking(life, lake, days=2), a_booking(life, lake, days=3)
        with tenancy.scope(lake.hospital.id):
            OutboxCommand.objects.filter(appointment_id=sent).update(sent_at=timezone.now())
        goes(lake)
        for visit_id in (never_sent, sent):
            assert Visit.objects.get(id=visit_id).state == "refused"
            assert [data["text"] for data in told(visit_id, "appointment.refused")] == ["这家医院已经退出本平台"]
        assert lake.states() == ["refused", "refused"]
        assert commands(lake) == [("book", "given_up")] * 2  # and nothing is to be undone at a hospital that is gone

    def test_a_cancellation_and_a_payment_were_never_delivered(self, life: Life, lake: Clinic) -> None:
        paid = a_whole_visit(life, lake)
        wanted = asked_to_cancel(life, lake, days=3)
        goes(lake)
        assert [data["text"] for data in told(wanted, "own.cancel_refused")] == ["这家医院已经退出本平台"]
        assert [data["id"] for data in told(paid, "own.payment_held")] == ["i1"]
        assert not commands(lake, state="waiting")

    def test_what_it_had_told_before_still_reaches_the_visit(self, life: Life, lake: Clinic) -> None:
        visit_id = a_whole_visit(life, lake)
        bill = Invoice("i2", "药费", (InvoiceLine("药", 100),), 100, 0, 100)
        happens(lake, visit_id, EventType.INVOICE_ISSUED, bill, 9)
        goes(lake)
        bills = [payment.invoice.id for payment in visits.journey_of(Visit.objects.get(id=visit_id)).payments]
        assert bills == ["i1", "i2"]
        with tenancy.scope(lake.hospital.id):
            assert set(InboxEvent.objects.values_list("state", flat=True)) == {"done"}

    def test_other_hospitals_commands_and_cards_are_kept_no_longer_for_it(self, life: Life, lake: Clinic) -> None:
        a_booking(life, lake, days=2)
        hill = a_clinic("hill")
        a_booking(life, hill, days=3)
        hill.told_the_hospital()
        goes(lake)
        retention.sweep(timezone.now() + timedelta(days=31))
        for clinic in (lake, hill):
            with tenancy.scope(clinic.hospital.id):
                assert not OutboxCommand.objects.filter(data__isnull=False).exists()
                assert not Appointment.objects.filter(card__isnull=False).exists()


class TestWhatWasWrittenAtThatMoment:
    def test_the_next_sweep_ends_it_and_she_hears_of_it(self, life: Life, lake: Clinic) -> None:
        paid = a_whole_visit(life, lake)
        wanted, waits = asked_to_cancel(life, lake, days=3), a_booking(life, lake, days=4)
        with tenancy.scope(lake.hospital.id):
            OutboxCommand.objects.filter(state="waiting").update(state="withdrawn")
        goes(lake)
        put_back(lake, state="withdrawn")
        outbox.sweep()
        assert sorted(commands(lake, state="given_up")) == [
            ("book", "given_up"),
            ("cancel", "given_up"),
            ("pay", "given_up"),
        ]
        assert Visit.objects.get(id=waits).state == "refused"
        assert told(wanted, "own.cancel_refused") and told(paid, "own.payment_held")


class TestAResidentWhoWasThere:
    def test_is_erased_though_her_place_there_can_no_longer_be_cancelled(self, life: Life, lake: Clinic) -> None:
        a_booking(life, lake, days=3)
        lake.told_the_hospital()
        goes(lake)
        assert erased(life) == 1
        with tenancy.scope(lake.hospital.id):
            assert Appointment.objects.exclude(erased_at=None).count() == 1

    def test_is_erased_though_a_command_of_hers_waits_that_nobody_can_read(self, life: Life, lake: Clinic) -> None:
        a_whole_visit(life, lake)
        asked_to_cancel(life, lake, days=3)
        goes(lake)
        put_back(lake, kind__in=["cancel", "pay"])
        assert erased(life) == 1
        assert commands(lake, kind__in=["cancel", "pay"]) == [("pay", "withdrawn"), ("cancel", "withdrawn")]
        with tenancy.scope(lake.hospital.id):
            assert not OutboxCommand.objects.filter(data__isnull=False).exists()
