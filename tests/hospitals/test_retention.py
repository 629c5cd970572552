"""What stands between us and hospitals is kept only so long: bodies go, what makes a thing once stays, visits lose nothing."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from companion import visits
from companion.models import Invitation, ResidentSession, Visit
from companion.tasks import forget_old_sessions
from hospitals import audit, tasks, tenancy
from hospitals.checks import retention_can_be_read
from hospitals.models import (
    AccessToken,
    ApiClient,
    Appointment,
    Delivery,
    IdempotentAnswer,
    InboxEvent,
    OutboxCommand,
    SlotHold,
    WaitingEntry,
)
from hospitals.services import inbox, outbox, retention
from tests.hospitals.clinics import Clinic, a_clinic
from tests.hospitals.lives import Life, a_life, a_whole_visit, waits
from tests.hospitals.own_rows import make
from tests.hospitals.test_inbox_order import OneVisit

pytestmark = pytest.mark.django_db


def in_days(days: float) -> datetime:
    return timezone.now() + timedelta(days=days)


@pytest.fixture()
def clinic() -> Clinic:
    return a_clinic()


@pytest.fixture()
def life(clinic: Clinic) -> Life:
    made = a_life("林晚照", "甲甲", born="19610115", phone="13900001111")
    a_whole_visit(made, clinic)
    clinic.answers("pay", accepted=True)
    return made


def bodies(clinic: Clinic) -> tuple[int, int, int]:
    """How many events, commands and appointments there are of which what they said is kept."""
    with tenancy.scope(clinic.hospital.id):
        return (
            InboxEvent.objects.filter(body__isnull=False).count(),
            OutboxCommand.objects.filter(data__isnull=False).count(),
            Appointment.objects.filter(card__isnull=False).count(),
        )


class TestEventsAndCommands:
    def test_bodies_go_after_their_time_and_not_before(self, clinic: Clinic, life: Life, settings: Any) -> None:
        settings.HOSPITALS_KEPT_DAYS = {**settings.HOSPITALS_KEPT_DAYS, "events": 10, "commands": 20}
        before = bodies(clinic)
        assert before == (8, 2, 1)
        assert not retention.sweep(in_days(9.9)) and bodies(clinic) == before
        retention.sweep(in_days(10.1))
        assert bodies(clinic) == (0, 2, 1)
        retention.sweep(in_days(20.1))
        assert bodies(clinic) == (0, 0, 0)

    def test_the_visit_loses_nothing_and_a_copy_is_still_known(self, clinic: Clinic, life: Life) -> None:
        visit = Visit.objects.get()
        stood = visits.shown(visit)
        with tenancy.scope(clinic.hospital.id):
            first = InboxEvent.objects.order_by("sequence").first()
            state = inbox.state_told(str(visit.id))
        retention.sweep(in_days(31))
        assert visits.shown(visit) == stood
        with tenancy.scope(clinic.hospital.id):
            assert inbox.state_told(str(visit.id)) == state
            assert InboxEvent.objects.get(id=first.id).digest == first.digest

    def test_what_is_gone_is_not_taken_up_again(self, clinic: Clinic, life: Life) -> None:
        with tenancy.scope(clinic.hospital.id):
            InboxEvent.objects.filter(type="report.issued").update(state="dead")
            letter = InboxEvent.objects.get(state="dead")
            OutboxCommand.objects.filter(kind="pay").update(state="given_up")
            command = OutboxCommand.objects.get(kind="pay")
        retention.sweep(in_days(31))
        assert not inbox.replay(clinic.hospital.id, letter.id, actor=audit.SERVICE)
        assert not outbox.replay(clinic.hospital.id, command.id, actor=audit.SERVICE)

    def test_what_waits_is_kept_and_nothing_behind_it_is_passed_over(self, clinic: Clinic, life: Life) -> None:
        with tenancy.scope(clinic.hospital.id):
            second = InboxEvent.objects.order_by("received_at", "id")[1]
            InboxEvent.objects.filter(id=second.id).update(state="received")
        retention.sweep(in_days(31))
        assert bodies(clinic)[0] == 7
        with tenancy.scope(clinic.hospital.id):
            InboxEvent.objects.filter(id=second.id).update(state="done")
        retention.sweep(in_days(31))
        assert bodies(clinic)[0] == 0

    def test_it_does_a_bounded_amount_and_goes_on_where_it_was(self, clinic: Clinic, life: Life) -> None:
        left = []
        while retention.sweep(in_days(31), limit=3):
            left.append(bodies(clinic)[0])
        assert left == [5, 2] and bodies(clinic) == (0, 0, 0)

    def test_events_of_one_instant_are_all_found(self, clinic: Clinic, life: Life) -> None:
        with tenancy.scope(clinic.hospital.id):
            InboxEvent.objects.update(received_at=timezone.now())
        while retention.sweep(in_days(31), limit=3):
            pass
        assert bodies(clinic)[0] == 0

    def test_killed_in_the_middle_it_begins_that_page_again(
        self, clinic: Clinic, life: Life, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        retention.sweep(in_days(31), limit=3)

        def dies(_found: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(retention, "_empty_events", dies)
            retention.sweep(in_days(31), limit=3)
        assert bodies(clinic)[0] == 5
        while retention.sweep(in_days(31), limit=3):
            pass
        assert bodies(clinic) == (0, 0, 0)

    def test_every_hospital_s_are_found(self, clinic: Clinic) -> None:
        clinics = [clinic, a_clinic("hill"), a_clinic("river")]
        for each in clinics:
            one = OneVisit(each, [])
            with tenancy.scope(each.hospital.id):
                assert Appointment.objects.get(id=one.visit.id).card
        each.told_the_hospital()
        retention.sweep(in_days(31))
        assert [bodies(each)[2] for each in clinics] == [1, 1, 1]  # the first two still wait to be told
        for each in clinics:
            each.told_the_hospital()
        retention.sweep(in_days(31))
        assert [bodies(each)[1:] for each in clinics] == [(0, 0)] * 3


class TestRowsThatGo:
    def test_deliveries_answers_tokens_and_lines(self, clinic: Clinic, life: Life) -> None:
        hospital = clinic.hospital
        waits(life, clinic)
        client = make(ApiClient, id="hc-lake", hospital=hospital, environment="live")
        with tenancy.scope(hospital.id):
            token = AccessToken.objects.create(digest="d", client=client, expires_at=in_days(0.5))
            SlotHold.objects.update(state="released")
            about = {"environment": "live", "kind": "book", "number": 1, "duration_ms": 1}
            Delivery.objects.create(hospital=hospital, idempotency_key="k", **about)
            IdempotentAnswer.objects.create(hospital=hospital, client=client, key="k", fingerprint="f", body={})
            kinds = (Delivery, IdempotentAnswer, SlotHold, WaitingEntry)
            for days, stay in ((0.4, [1, 1, 1, 1]), (2, [1, 0, 1, 1]), (31, [0, 0, 1, 1]), (120, [0, 0, 0, 0])):
                retention.sweep(in_days(days))
                assert [model.objects.count() for model in kinds] == stay, days
                assert AccessToken.objects.filter(digest=token.digest).exists() == (days < 0.5)

    def test_tokens_go_at_every_hospital_a_bounded_number_at_a_time(self) -> None:
        for code in ("hill", "river"):
            client = make(ApiClient, id=f"hc-{code}", hospital=a_clinic(code).hospital, environment="live")
            with tenancy.scope(client.hospital_id):
                for number in range(2):
                    AccessToken.objects.create(digest=f"{code}-{number}", client=client, expires_at=in_days(0))
        left = []
        while retention.sweep(in_days(1), limit=1):
            left.append(AccessToken.objects.count())
        assert left == [2, 0]

    def test_hospitals_of_which_nothing_is_due_are_not_asked(self, clinic: Clinic) -> None:
        retention.sweep()
        with CaptureQueriesContext(connection) as one:
            retention.sweep()
        a_clinic("hill")
        a_clinic("river")
        with CaptureQueriesContext(connection) as three:
            retention.sweep()
        assert len(three) == len(one)

    def test_a_place_that_is_held_is_nobody_s_to_take_away(self, clinic: Clinic, life: Life) -> None:
        waits(life, clinic)
        retention.sweep(in_days(400))
        with tenancy.scope(clinic.hospital.id):
            assert SlotHold.objects.filter(state="held").exists()

    def test_sign_ins_and_invitations_that_ended_long_ago(self, life: Life) -> None:
        about = {"resident": life.person.resident, "relation": "mother", "code_index": uuid4().hex}
        Invitation.objects.create(expires_at=in_days(3), **about)
        store = SessionStore()
        store.set_expiry(-1)
        store.save()
        assert forget_old_sessions(in_days(90)) == 0 and not Session.objects.exists()
        assert ResidentSession.objects.exists()
        assert forget_old_sessions(in_days(94)) == 2
        assert not ResidentSession.objects.exists() and not Invitation.objects.exists()


def test_the_task_calls_itself_while_something_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    again: list[bool] = []
    answers = iter([True, False])
    monkeypatch.setattr(retention, "sweep", lambda: next(answers))
    monkeypatch.setattr(tasks.keep_no_longer, "delay", lambda: again.append(True))
    tasks.keep_no_longer()
    tasks.keep_no_longer()
    assert again == [True]


def test_sign_ins_are_forgotten_at_once_again_while_there_may_be_more(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    again: list[bool] = []
    monkeypatch.setattr("companion.tasks.FORGOTTEN_AT_ONCE", 2)
    monkeypatch.setattr(forget_old_sessions, "delay", lambda: again.append(True))
    for _ in range(2):
        ResidentSession.objects.create(resident=life.person.resident, expires_at=timezone.now())
    counts = [forget_old_sessions(in_days(94)) for _ in range(3)]
    assert counts == [2, 1, 0] and again == [True]


def test_a_time_that_cannot_be_read_is_found_at_start(settings: Any) -> None:
    assert retention_can_be_read(None) == []
    settings.HOSPITALS_KEPT_DAYS = {**settings.HOSPITALS_KEPT_DAYS, "events": 0, "evnts": 3, "lines": "1"}
    assert len(retention_can_be_read(None)) == 3
