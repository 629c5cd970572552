"""The commission's pages about hospitals: they open with data in them, move a hospital with a reason, and show no person."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from hospitals import tenancy
from hospitals.models import (
    AuditEvent,
    Delivery,
    Hospital,
    HospitalApplication,
    InboxEvent,
    OnboardingStep,
    OutboxCommand,
    WebhookEndpoint,
)
from hospitals.services import onboarding
from tests.hospitals.appointments import CARD, an_appointment
from tests.hospitals.joining import CONTACT

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture()
def commission() -> Client:
    User.objects.create_superuser("commission", password="a-long-password")
    client = Client()
    client.login(username="commission", password="a-long-password")
    return client


@pytest.fixture()
def applied() -> Hospital:
    made = onboarding.apply(code="river", name="河口医院", city="甲市", licence_number="L-1", contact=CONTACT)
    return Hospital.objects.get(id=made.hospital_id)


def event(state: str) -> Any:
    row = an_appointment("push")
    with tenancy.scope(row.hospital_id):
        return InboxEvent.objects.create(
            hospital_id=row.hospital_id,
            event_id="e1",
            type="queue.changed",
            appointment_key=str(row.id),
            sequence=1,
            body=json.dumps({"who": CARD["name"]}),
            state=state,
        )


def test_every_list_opens_and_shows_nobodys_name(commission: Client, applied: Hospital) -> None:
    event("dead")
    for model in ("hospital", "hospitalapplication", "conformancerun", "inboxevent", "outboxcommand", "auditevent"):
        answer = commission.get(reverse(f"admin:hospitals_{model}_changelist"))
        assert answer.status_code == 200, model
        page = answer.content.decode()
        assert CARD["name"] not in page and CARD["id_number"] not in page and CONTACT.phone not in page


def test_looking_across_hospitals_is_on_the_audit_log_before_anything_is_shown(commission: Client) -> None:
    commission.get(reverse("admin:hospitals_inboxevent_changelist"))
    seen = AuditEvent.objects.get(action="report")
    assert seen.entity_id == "admin:inboxevent" and "commission" in seen.why


def test_the_contact_is_shown_on_the_one_application(commission: Client, applied: Hospital) -> None:
    with tenancy.scope(applied.id):
        row = HospitalApplication.objects.get()
    page = commission.get(reverse("admin:hospitals_hospitalapplication_change", args=[row.id])).content.decode()
    assert CONTACT.phone in page


def test_a_hospital_is_verified_with_a_reason_that_stays(commission: Client, applied: Hospital) -> None:
    address = reverse("admin:hospitals_move", args=[applied.id, "verify"])
    assert "核验通过" in commission.get(address).content.decode()
    commission.post(address, {"reason": "证"})  # too short to be one
    applied.refresh_from_db()
    assert applied.state == "applied"
    commission.post(address, {"reason": "许可证已核对原件"})
    applied.refresh_from_db()
    assert applied.state == "verified"
    step = OnboardingStep.objects.latest("at")
    assert (step.actor, step.reason) == ("commission", "许可证已核对原件")


def test_what_cannot_be_done_now_is_said_and_changes_nothing(commission: Client, applied: Hospital) -> None:
    answer = commission.post(
        reverse("admin:hospitals_move", args=[applied.id, "go-live"]), {"reason": "着急上线"}, follow=True
    )
    assert "不能准予上线" in answer.content.decode()
    applied.refresh_from_db()
    assert applied.state == "applied"


def test_an_account_without_the_permission_moves_nobody(applied: Hospital) -> None:
    User.objects.create_user("reader", password="a-long-password", is_staff=True)
    client = Client()
    client.login(username="reader", password="a-long-password")
    client.post(reverse("admin:hospitals_move", args=[applied.id, "verify"]), {"reason": "许可证已核对"})
    applied.refresh_from_db()
    assert applied.state == "applied"


def test_a_dead_letter_is_taken_up_again(commission: Client) -> None:
    row = event("dead")
    commission.post(
        reverse("admin:hospitals_inboxevent_changelist"), {"action": "replay", "_selected_action": [str(row.id)]}
    )
    with tenancy.scope(row.hospital_id):
        row.refresh_from_db()
    assert row.state == "received" and row.attempts == 0


def test_a_command_that_was_given_up_is_sent_again(commission: Client) -> None:
    appointment = an_appointment("push")
    with tenancy.scope(appointment.hospital_id):
        row = OutboxCommand.objects.create(
            hospital_id=appointment.hospital_id,
            appointment=appointment,
            kind="cancel",
            idempotency_key="k",
            state="given_up",
        )
    commission.post(
        reverse("admin:hospitals_outboxcommand_changelist"), {"action": "replay", "_selected_action": [str(row.id)]}
    )
    with tenancy.scope(row.hospital_id):
        row.refresh_from_db()
    assert row.state == "waiting"


def test_endpoints_and_deliveries_are_seen_without_a_secret_and_found(commission: Client) -> None:
    row = delivered("given_up")
    with tenancy.scope(row.hospital_id):
        url = "https://hooks.one.example/commands?token=T0KEN"
        endpoint = WebhookEndpoint.objects.create(environment="live", url=url, secret="whsec_T0KEN")
    list_of = reverse("admin:hospitals_webhookendpoint_changelist")
    one = reverse("admin:hospitals_webhookendpoint_change", args=[endpoint.id])
    for address in (list_of, one):
        page = commission.get(address).content.decode()
        assert "https://hooks.one.example/commands" in page and "T0KEN" not in page
    deliveries = reverse("admin:hospitals_delivery_changelist")
    for query, shown in (("", True), ("q=http_503", True), ("q=%E7%AC%ACone", True), ("q=nobody", False)):
        assert (str(row.id) in commission.get(f"{deliveries}?{query}").content.decode()) is shown, query
    assert str(row.id) not in commission.get(f"{deliveries}?outcome__exact=accepted").content.decode()
    assert commission.get(reverse("admin:hospitals_delivery_change", args=[row.id])).status_code == 200


def test_a_delivery_is_replayed_with_a_record_of_who_did_it(commission: Client) -> None:
    row = delivered("given_up")
    address = reverse("admin:hospitals_delivery_changelist")
    replay = {"action": "replay", "_selected_action": [str(row.id)]}
    assert "1条会重新送达" in commission.post(address, replay, follow=True).content.decode()
    with tenancy.scope(row.hospital_id):
        assert OutboxCommand.objects.get().state == "waiting"
        OutboxCommand.objects.update(state="refused")
    assert "不能重新送达" in commission.post(address, replay, follow=True).content.decode()
    (seen,) = AuditEvent.objects.filter(action="delivery.replay")
    assert (seen.actor, seen.entity_id, seen.hospital_id) == ("commission", str(row.id), row.hospital_id)


def delivered(state: str) -> Delivery:
    appointment = an_appointment("push")
    whose: Any = {"hospital_id": appointment.hospital_id, "idempotency_key": "k", "kind": "cancel"}
    with tenancy.scope(appointment.hospital_id):
        command = OutboxCommand.objects.create(appointment=appointment, state=state, **whose)
        how = {"number": 1, "outcome": "failed", "code": "http_503", "duration_ms": 20}
        return Delivery.objects.create(command=command, environment="live", **whose, **how)
