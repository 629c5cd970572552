"""The commission's pages about hospitals: they open with data in them, move a hospital with a reason, and show no person."""

import json
import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from hospitals import tenancy
from hospitals.admin.deeds import DEEDS
from hospitals.models import (
    ApiClient,
    AuditEvent,
    ConformanceRun,
    Delivery,
    Hospital,
    HospitalApplication,
    InboxEvent,
    OnboardingStep,
    OutboxCommand,
    WebhookEndpoint,
)
from hospitals.services import erasure, onboarding
from tests.hospitals.appointments import CARD, an_appointment
from tests.hospitals.joining import CONTACT, OFFICER
from tests.hospitals.own_rows import change

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
    for model in (
        *("hospital", "hospitalapplication", "conformancerun", "inboxevent", "outboxcommand", "auditevent"),
        *("importrun", "apiclient", "circuit", "department", "practitioner", "schedule", "slot", "notice", "indoormap"),
    ):
        answer = commission.get(reverse(f"admin:hospitals_{model}_changelist"))
        assert answer.status_code == 200, model
        page = answer.content.decode()
        assert CARD["name"] not in page and CARD["id_number"] not in page and CONTACT.phone not in page


def test_looking_across_hospitals_is_on_the_audit_log_before_anything_is_shown(commission: Client) -> None:
    commission.get(reverse("admin:hospitals_inboxevent_changelist"))
    seen = AuditEvent.objects.get(action="report")
    assert seen.entity_id == "admin:inboxevent" and "commission" in seen.why


@pytest.mark.parametrize("model", ["inboxevent", "hospitalapplication"])
def test_the_history_that_a_page_links_to_opens_and_nobody_deletes(
    commission: Client, applied: Hospital, model: str
) -> None:
    with tenancy.scope(applied.id):
        row = HospitalApplication.objects.get() if model == "hospitalapplication" else event("dead")
    address = {
        name: reverse(f"admin:hospitals_{model}_{name}", args=[row.pk]) for name in ("change", "history", "delete")
    }
    assert address["history"] in commission.get(address["change"]).content.decode()
    assert commission.get(address["history"]).status_code == 200
    assert commission.post(address["delete"], {"post": "yes"}).status_code == 403


def test_the_contact_is_shown_on_the_one_application(commission: Client, applied: Hospital) -> None:
    with tenancy.scope(applied.id):
        row = HospitalApplication.objects.get()
    page = commission.get(reverse("admin:hospitals_hospitalapplication_change", args=[row.id])).content.decode()
    assert CONTACT.phone in page


def test_a_hospital_that_was_erased_is_shown_without_its_contact(commission: Client, applied: Hospital) -> None:
    erasure.leave_and_erase(applied.id, actor=OFFICER, reason="合并")
    page = commission.get(reverse("admin:hospitals_hospital_change", args=[applied.id])).content.decode()
    assert "已清除" in page and CONTACT.phone not in page


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
    seen = AuditEvent.objects.get(action="inbox.replay")
    assert (seen.actor, seen.hospital_id, seen.entity_id) == ("commission", row.hospital_id, str(row.id))


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
    seen = AuditEvent.objects.get(action="outbox.replay")
    assert (seen.actor, seen.hospital_id, seen.entity_id) == ("commission", row.hospital_id, str(row.id))


# --- what may be done with a hospital -------------------------------------------------------------------------


def page_of(client: Client, hospital: Hospital) -> str:
    return client.get(reverse("admin:hospitals_hospital_change", args=[hospital.id])).content.decode()


def do(client: Client, hospital: Hospital, deed: str, **given: str) -> str:
    address = reverse("admin:hospitals_move", args=[hospital.id, deed])
    return client.post(address, {"reason": "经过核实", **given}, follow=True).content.decode()


@pytest.mark.parametrize(
    ("state", "offered"),
    [
        ("applied", {"verify", "refuse", "connector", "correct", "claim"}),
        (
            "verified",
            {"take-back", "suspend", "leave", "connector", "correct", "claim", "end-client", "end-signing"},
        ),
        ("live", {"suspend", "leave", "connector", "correct", "claim", "end-client", "end-signing"}),
        ("suspended", {"resume", "leave", "connector", "correct", "claim", "end-client", "end-signing"}),
        ("left", set()),
    ],
)
def test_only_what_can_be_done_now_is_offered(
    commission: Client, applied: Hospital, state: str, offered: set[str]
) -> None:
    change(Hospital, applied.id, state=state)
    page = page_of(commission, applied)
    assert {name for name in DEEDS if reverse("admin:hospitals_move", args=[applied.id, name]) in page} == offered


def test_who_may_only_read_is_offered_nothing_and_sees_no_contact(applied: Hospital) -> None:
    reader = User.objects.create_user("reader", password="a-long-password", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_hospital"))
    client = Client()
    client.force_login(reader)
    page = page_of(client, applied)
    assert applied.name in page and "/move/" not in page and CONTACT.phone not in page


def test_the_page_and_the_question_show_licence_contact_and_the_last_test(
    commission: Client, applied: Hospital
) -> None:
    points = [("预约被接受", True), ("发来叫号事件", None), ("没有的号源被明确拒绝", False)]
    with tenancy.scope(applied.id):
        ConformanceRun.objects.create(
            connector="push", points=[{"name": name, "passed": passed, "mend": "改法"} for name, passed in points]
        )
    for page in (
        page_of(commission, applied),
        commission.get(reverse("admin:hospitals_move", args=[applied.id, "verify"])).content.decode(),
    ):
        assert "L-1" in page and CONTACT.phone in page
        assert "✓ 预约被接受" in page and "… 发来叫号事件" in page and "✗ 没有的号源被明确拒绝 改法" in page
    assert AuditEvent.objects.filter(action="report", entity_id="admin:hospital").exists()


def test_refusing_is_called_so_and_needs_the_code(commission: Client, applied: Hospital) -> None:
    assert "驳回" in page_of(commission, applied)
    for code in ("", "rivers"):
        do(commission, applied, "refuse", code=code)
        applied.refresh_from_db()
        assert applied.state == "applied"
    do(commission, applied, "refuse", code="river")
    applied.refresh_from_db()
    assert applied.state == "left"


def test_a_verification_is_taken_back_on_the_page(commission: Client, applied: Hospital) -> None:
    do(commission, applied, "verify")
    do(commission, applied, "take-back")
    applied.refresh_from_db()
    assert applied.state == "applied"


def test_the_connector_is_chosen_from_what_is_set_up_here(commission: Client, applied: Hospital, settings: Any) -> None:
    settings.HOSPITALS_CONNECTORS = {"river-fhir": {"BACKEND": "fhir", "OPTIONS": {"base_url": "https://a.example"}}}
    do(commission, applied, "connector", name="nowhere")
    applied.refresh_from_db()
    assert applied.connector == "push"
    do(commission, applied, "connector", name="river-fhir")
    applied.refresh_from_db()
    assert applied.connector == "river-fhir"


def test_a_wrong_name_is_corrected(commission: Client, applied: Hospital) -> None:
    do(commission, applied, "correct", name="河口市医院", city="甲市")
    applied.refresh_from_db()
    assert applied.name == "河口市医院"


def test_a_new_claim_is_shown_once_and_stored_nowhere(commission: Client, applied: Hospital) -> None:
    address = reverse("admin:hospitals_move", args=[applied.id, "claim"])
    assert "hcc_" not in commission.get(address).content.decode()
    answer = commission.post(address, {"reason": "凭证遗失"})
    claim = re.search(r"hcc_[\w-]+", answer.content.decode())
    assert claim and "no-store" in answer["Cache-Control"]
    assert onboarding.applicant(applied.id, claim[0]).code == "river"
    assert "hcc_" not in page_of(commission, applied)


def test_a_client_is_ended_on_the_page(commission: Client, applied: Hospital) -> None:
    do(commission, applied, "verify")
    onboarding.claim_credentials(hospital_id=applied.id, environment="sandbox")
    do(commission, applied, "end-client", environment="sandbox")
    assert ApiClient.objects.get().revoked_at is not None
    assert AuditEvent.objects.get(action="onboarding.client_ended").actor == "commission"


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


def test_the_page_of_a_hospital_tells_whether_its_keys_were_destroyed(commission: Client, applied: Hospital) -> None:
    assert "第1版" in page_of(commission, applied)
    do(commission, applied, "verify")
    do(commission, applied, "leave", code="river")
    assert "尚未销毁:请运维人员执行 manage.py erase hospital river" in page_of(commission, applied)
    erasure.erase_hospital(applied.id, actor=OFFICER, reason="已交接完毕")
    assert "销毁,内容无法恢复" in page_of(commission, applied)


@pytest.mark.parametrize("deed", DEEDS)
def test_every_deed_that_shuts_or_opens_a_door_says_what_follows(deed: str) -> None:
    assert DEEDS[deed].warning or deed in ("take-back", "correct")
