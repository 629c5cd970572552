"""Every attempt to deliver is on the hospital's log, and what it lost is sent to it once more."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from hospitals import tenancy
from hospitals.models import Appointment, AuditEvent, Delivery, OutboxCommand
from hospitals.services import (
    booking,
    outbox,
    redelivery,
    retention,
)
from tests.hospitals.clinics import card
from tests.hospitals.joining import Joined, joined
from tests.hospitals.paid import paid
from tests.hospitals.pushing import booked, command, due_now, live, log
from tests.hospitals.webhook_peer import WebhookPeer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unhurried")]


@pytest.fixture
def river() -> Joined:
    return joined("river", connector="push")


def test_the_log_is_read_page_by_page_and_by_outcome(river: Joined, peer: WebhookPeer, everywhere: None) -> None:
    live(river, peer)
    river = river.as_live()
    peer.moods = ["503", "", "503", "refuse"]
    appointments = []
    for number in (1, 2):
        appointments.append(str(booked(river, number)))
        due_now(river)
        due_now(river)
    rows = log(river)
    assert [row["outcome"] for row in rows] == ["refused", "failed", "accepted", "failed"]
    first = river.get("/deliveries/?limit=3").json()
    rest = river.get(f"/deliveries/?limit=3&cursor={first['cursor']}").json()
    assert (first["more"], rest["more"]) == (True, False) and first["items"] + rest["items"] == rows
    assert [row["appointment_id"] for row in log(river, "?outcome=failed")] == appointments[::-1]
    assert len(log(river, f"?appointment_id={appointments[0]}")) == 2
    assert river.get(f"/deliveries/{rows[0]['id']}/").json() == rows[0]
    for wrong in ("?outcome=good", "?cursor=x", f"?cursor={UUID(int=1)}", "?limit=0"):
        assert river.get(f"/deliveries/{wrong}").status_code == 400
    assert river.get(f"/deliveries/{UUID(int=1)}/").status_code == 404


def test_it_holds_nobody_s_name_and_forgets_after_a_month(
    river: Joined, peer: WebhookPeer, everywhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(river, peer)
    booked(river)
    due_now(river)
    with tenancy.scope(river.hospital_id):
        kept = str(list(Delivery.objects.values()))
        assert card().name not in kept and card().id_number not in kept
        Delivery.objects.update(at=timezone.now() - timedelta(days=31))
        booked(river, 2)
    due_now(river)
    retention.sweep()
    assert [row["kind"] for row in log(river.as_live())] == ["book"]


# --- replay -----------------------------------------------------------------------------------------------------


def replay(hospital: Joined, delivery: dict[str, Any], **headers: str) -> Any:
    return hospital.call("POST", f"/deliveries/{delivery['id']}/replay/", **headers)


def test_what_waits_long_is_due_at_once_and_what_may_be_under_way_is_left(
    river: Joined, peer: WebhookPeer, everywhere: None
) -> None:
    live(river, peer)
    river = river.as_live()
    peer.moods = ["503"]
    booked(river)
    due_now(river)
    for wait_s, moved in ((30, False), (300, True)):
        when = timezone.now() + timedelta(seconds=wait_s)
        with tenancy.scope(river.hospital_id):
            OutboxCommand.objects.update(next_attempt_at=when)
        assert replay(river, log(river)[0]).status_code == 202
        assert (command(river).next_attempt_at < when) is moved
    outbox.sweep()
    assert command(river).state == "accepted"


def test_what_was_given_up_is_taken_up_again(river: Joined, peer: WebhookPeer, everywhere: None) -> None:
    live(river, peer)
    river = river.as_live()
    peer.moods = ["", "503"]
    appointment = booked(river)
    due_now(river)
    booking.check_in(appointment_id=appointment)
    due_now(river)
    with tenancy.scope(river.hospital_id):
        mine = OutboxCommand.objects.filter(kind="check_in")
        mine.update(state="given_up")
        assert replay(river, log(river)[0]).json()["command_state"] == "waiting"
        outbox.sweep()
        assert mine.get().state == "accepted"
    assert AuditEvent.objects.filter(action="delivery.replay", actor=river.client_id).count() == 1


def test_a_booking_that_was_given_up_is_over(river: Joined, peer: WebhookPeer, everywhere: None) -> None:
    live(river, peer)
    river = river.as_live()
    peer.moods = ["503"]
    booked(river)
    due_now(river)
    with tenancy.scope(river.hospital_id):
        OutboxCommand.objects.update(state="given_up")
    assert replay(river, log(river)[0]).json()["code"] == "given_up_for_good"
    assert command(river).state == "given_up"


def test_what_cannot_be_replayed_is_said(river: Joined, peer: WebhookPeer, everywhere: None) -> None:
    live(river, peer)
    river = river.as_live()
    river.call("POST", "/webhooks/live/ping/")
    assert replay(river, log(river)[0]).json()["code"] == "nothing_to_replay"
    booked(river)
    due_now(river)
    sent = log(river)[0]
    with tenancy.scope(river.hospital_id):
        Appointment.objects.update(state="cancelled")
    assert replay(river, sent).json()["code"] == "appointment_ended"
    with tenancy.scope(river.hospital_id):
        OutboxCommand.objects.update(state="refused")
    assert replay(river, sent).json()["code"] == "command_refused"


@pytest.mark.parametrize("kind", ["book", "check_in", "pay"])
def test_what_is_no_longer_kept_is_not_sent_again(
    river: Joined, peer: WebhookPeer, everywhere: None, kind: str
) -> None:
    live(river, peer)
    river = river.as_live()
    appointment = booked(river)
    due_now(river)
    booking.check_in(appointment_id=appointment)
    due_now(river)
    booking.pay(appointment_id=appointment, paid=paid(peer.bill(str(appointment))))
    due_now(river)
    with tenancy.scope(river.hospital_id):
        OutboxCommand.objects.update(created_at=timezone.now() - timedelta(days=31))
        mine = OutboxCommand.objects.get(kind=kind)
    (sent,) = [row for row in log(river) if row["kind"] == kind]
    assert replay(river, sent).status_code == 202 and redelivery.send(river.hospital_id, mine.id)
    retention.sweep()  # between the wish and the sending
    before = len(peer.received)
    assert redelivery.send(river.hospital_id, mine.id)
    answer = replay(river, sent)
    assert (answer.status_code, answer.json()["code"]) == (409, "no_longer_kept")
    assert len(peer.received) == before


def test_what_a_hospital_says_to_a_replay_changes_nothing_here(
    river: Joined, peer: WebhookPeer, everywhere: None
) -> None:
    live(river, peer)
    booked(river)
    due_now(river)
    peer.moods = ["refuse", "503"]
    for _ in range(2):
        assert redelivery.send(river.hospital_id, command(river).id)
    assert command(river).state == "accepted"
    assert [row["outcome"] for row in log(river.as_live())] == ["failed", "refused", "accepted"]
