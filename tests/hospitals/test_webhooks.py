"""A hospital that can only speak HTTPS sets itself up by the API alone: its address, its secret, its log, and replay."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.module_loading import import_string

from hospitals import tenancy
from hospitals.addresses import Policy
from hospitals.checks import webhook_allowance_can_be_read
from hospitals.connectors import push
from hospitals.exceptions import AddressRefused, ConnectorUnavailable, WrongState
from hospitals.models import AuditEvent, Hospital, WebhookEndpoint
from hospitals.outgoing import Outgoing
from hospitals.services import (
    conformance,
    connecting,
    inbox,
    limits,
    onboarding,
    redelivery,
    rotation,
    webhooks,
)
from tests.hospitals.clinics import card
from tests.hospitals.joining import OFFICER, V1, Joined, fill, joined
from tests.hospitals.own_rows import change
from tests.hospitals.pushing import LOCAL, PUBLIC, booked, command, due_now, endpoint, live, log
from tests.hospitals.webhook_peer import WebhookPeer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unhurried")]


@pytest.fixture
def river() -> Joined:
    return joined("river", connector="push")


# --- the whole way ----------------------------------------------------------------------------------------------


def told(hospital: Joined, peer: WebhookPeer, sent: int) -> int:
    """What the small hospital has to tell, at our door; the default worker's part too."""
    for number, event in enumerate(peer.told[sent:], sent):
        raw = json.dumps(event).encode()
        headers = push.sign(hospital.signing_secret, f"m-{number}", raw) | {"hospital-code": hospital.code}
        assert Client().post(f"{V1}/events/", raw, content_type="application/json", headers=headers).status_code == 202
    inbox.sweep(after_s=-1)
    return len(peer.told)


def test_from_the_application_to_a_booking_that_arrives_signed_is_tried_again_logged_and_replayed(
    river: Joined, peer: WebhookPeer, allowed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(river)
    peer.secret = endpoint(river, "sandbox", peer.url).json()["secret"]

    run, sent = river.call("POST", "/conformance-runs/").json(), 0
    for _ in range(20):
        if run["finished_at"]:
            break
        sent = told(river, peer, sent)
        peer.live()
        sent = told(river, peer, sent)
        looked = conformance.look(hospital_id=river.hospital_id, run_id=UUID(run["id"]), actor=OFFICER)
        run = river.get(f"/conformance-runs/{looked.id}/").json()
    assert run["passed"], [point for point in run["points"] if not point["passed"]]
    assert {(row["environment"], row["outcome"]) for row in log(river)} == {
        ("sandbox", "accepted"),
        ("sandbox", "refused"),
    }

    with pytest.raises(WrongState) as missing:
        onboarding.go_live(hospital_id=river.hospital_id, actor=OFFICER, reason="同意")
    assert missing.value.code == "webhook_missing" and "webhooks/live/" in missing.value.detail
    monkeypatch.setattr(connecting, "policy", lambda environment: Policy.of(**LOCAL))
    peer.secret = endpoint(river, "live", peer.url).json()["secret"]
    onboarding.go_live(hospital_id=river.hospital_id, actor=OFFICER, reason="同意")

    claimed = onboarding.claim_credentials(hospital_id=river.hospital_id, environment="live").client
    river = river.with_token_of(claimed.client_id)
    before = len(peer.received)
    peer.moods = ["503", "silence"]
    appointment = booked(river)
    assert [due_now(river) for _ in range(3)] == [0, 0, 1]

    messages = peer.received[before:]
    assert [m["kind"] for m in messages] == ["book"] * 3 and len({m["idempotency_key"] for m in messages}) == 1
    assert messages[0]["patient"]["name"] == card().name
    rows = log(river, f"?appointment_id={appointment}")
    seen = [(r["number"], r["outcome"], r["http_status"], r["code"]) for r in reversed(rows)]
    assert seen == [
        (1, "failed", 503, "http_503"),
        (2, "unknown", None, "outcome_unknown"),
        (3, "accepted", 200, ""),
    ]
    assert rows[0]["command_state"] == "accepted" and rows[0]["environment"] == "live"

    tasks: list[tuple[str, ...]] = []
    monkeypatch.setattr(redelivery, "after_commit", lambda *task: tasks.append(task))
    done = len(peer.done)
    answer = river.call("POST", f"/deliveries/{rows[0]['id']}/replay/")
    assert answer.status_code == 202, answer.content
    ((task, *ids),) = tasks
    assert task == "hospitals.tasks.redeliver_command"
    import_string(task).apply(args=ids)
    assert len(peer.received) == before + 4 and len(peer.done) == done
    again = log(river)[0]
    assert (again["number"], again["outcome"], again["kind"]) == (4, "accepted", "book")


# --- the endpoint -----------------------------------------------------------------------------------------------


def test_the_secret_is_shown_once_and_kept_sealed(river: Joined) -> None:
    made = endpoint(river)
    assert made.status_code == 201 and made.json()["secret"].startswith(push.PREFIX)
    again = endpoint(river, url=PUBLIC + "?v=2")
    assert again.status_code == 200 and again.json()["secret"] == ""
    shown = river.get("/webhooks/live/")
    assert "secret" not in shown.json() and shown["ETag"] == again["ETag"]
    assert river.get("/webhooks/sandbox/").status_code == 404 == river.get("/webhooks/elsewhere/").status_code
    with tenancy.scope(river.hospital_id):
        sealed = bytes(WebhookEndpoint.objects.values_list("secret", flat=True).get())
        assert WebhookEndpoint.objects.get().secret == made.json()["secret"]
    assert made.json()["secret"].encode() not in sealed
    assert (
        list(AuditEvent.objects.filter(action="webhook.write").values_list("actor", flat=True)) == [river.client_id] * 2
    )


def test_a_change_over_somebody_elses_change_is_refused(river: Joined) -> None:
    old = endpoint(river)["ETag"]
    endpoint(river, url=PUBLIC + "?v=2")
    answer = river.put("/webhooks/live/", {"url": PUBLIC}, if_match=old)
    assert (answer.status_code, answer.json()["code"]) == (412, "outdated")
    assert river.put("/webhooks/sandbox/", {"url": PUBLIC}, if_match=old).status_code == 412


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://hooks.river.example/", "not_https"),
        ("https://127.0.0.1/", "private_address"),
        ("https://[::1]/", "private_address"),
        ("https://10.1.2.3/", "private_address"),
        ("https://169.254.169.254/latest/", "private_address"),
        ("https://user:pass@hooks.river.example/", "userinfo"),
        ("https://localhost/", "private_name"),
        ("https://0x7f.1/", "bad_host"),
        ("ftp://hooks.river.example/", "invalid_input"),
    ],
)
def test_an_address_inside_is_refused_at_once(river: Joined, url: str, code: str) -> None:
    for environment in ("sandbox", "live"):
        answer = endpoint(river, environment, url)
        assert (answer.status_code, answer.json()["code"]) == (400, code)
        assert answer.json()["detail"] != AddressRefused.detail  # it says which rule
    with tenancy.scope(river.hospital_id):
        assert not WebhookEndpoint.objects.exists()


def test_a_name_that_leads_inside_is_refused_at_once_and_later(
    river: Joined, peer: WebhookPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "system_resolve", lambda _host, _port: ["1.1.1.1", "10.0.0.7"])
    assert endpoint(river).json()["code"] == "private_address"
    monkeypatch.setattr(webhooks, "system_resolve", lambda _host, _port: ["1.1.1.1"])
    assert endpoint(river).status_code == 201

    def rebound(_endpoint_id: UUID, allowed: Policy) -> Outgoing:
        return Outgoing(allowed, attempts=1, resolve=lambda _host, _port: ["127.0.0.1"])

    monkeypatch.setattr(connecting, "_connections", rebound)
    answer = river.call("POST", "/webhooks/live/ping/")
    assert answer.status_code == 201
    assert (answer.json()["outcome"], answer.json()["code"]) == ("failed", "private_address")
    assert peer.received == []


def test_what_the_operator_allows_holds_for_rehearsals_alone(river: Joined, peer: WebhookPeer, settings: Any) -> None:
    assert endpoint(river, "sandbox", peer.url).json()["code"] == "not_https"
    settings.HOSPITALS_WEBHOOK_SANDBOX = LOCAL
    assert endpoint(river, "sandbox", peer.url).status_code == 201
    assert endpoint(river, "live", peer.url).json()["code"] == "not_https"
    assert endpoint(river, "live", peer.url.replace("http:", "https:")).json()["code"] == "private_address"
    assert webhook_allowance_can_be_read(None) == []
    settings.HOSPITALS_WEBHOOK_SANDBOX = {"networks": ["here"], "plain_hosts": []}
    assert [message.id for message in webhook_allowance_can_be_read(None)] == ["hospitals.E005"]


def test_both_secrets_sign_while_one_is_changed_and_then_the_new_one_alone(
    river: Joined, peer: WebhookPeer, allowed: None
) -> None:
    old = endpoint(river, "sandbox", peer.url).json()["secret"]
    made = river.call("POST", "/webhooks/sandbox/rotate/", {"overlap_s": 600}).json()
    assert made["secret"] != old
    for secret in (old, made["secret"]):
        peer.secret = secret
        assert river.call("POST", "/webhooks/sandbox/ping/").json()["outcome"] == "accepted"
    with tenancy.scope(river.hospital_id):
        WebhookEndpoint.objects.update(previous_until=timezone.now() - timedelta(seconds=1))
    assert river.call("POST", "/webhooks/sandbox/ping/").json()["outcome"] == "accepted"
    assert [len(head["webhook-signature"].split()) for head in peer.heads] == [2, 2, 1]


def test_the_hospitals_key_can_be_changed_under_it(river: Joined, peer: WebhookPeer, allowed: None) -> None:
    peer.secret = endpoint(river, "sandbox", peer.url).json()["secret"]
    rotation.rotate("hospital", river.hospital_id, actor=OFFICER, now=timezone.now() + timedelta(hours=1))
    assert river.call("POST", "/webhooks/sandbox/ping/").json()["outcome"] == "accepted"


def test_a_ping_says_how_it_went(river: Joined, peer: WebhookPeer, allowed: None) -> None:
    assert river.call("POST", "/webhooks/sandbox/ping/").json()["code"] == "webhook_missing"
    peer.secret = endpoint(river, "sandbox", peer.url).json()["secret"]
    peer.moods = ["503", "silence", "elsewhere"]
    seen = [river.call("POST", "/webhooks/sandbox/ping/").json() for _ in range(4)]
    assert [(each["outcome"], each["code"]) for each in seen] == [
        ("failed", "http_503"),
        ("unknown", "outcome_unknown"),
        ("failed", "redirect_refused"),
        ("accepted", ""),
    ]
    assert [each["id"] for each in reversed(seen)] == [row["id"] for row in log(river)]
    peer.close()
    assert river.call("POST", "/webhooks/sandbox/ping/").json()["code"] == "no_connection"
    endpoint(river, "sandbox", peer.url, enabled=False)
    assert river.call("POST", "/webhooks/sandbox/ping/").json()["code"] == "webhook_disabled"


def test_a_ping_with_a_key_is_sent_once_and_many_are_refused(
    river: Joined, peer: WebhookPeer, allowed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "OUTWARD", limits.Limit("outward", 10, 3600))  # however slow the machine
    peer.secret = endpoint(river, "sandbox", peer.url).json()["secret"]
    first, again = (river.call("POST", "/webhooks/sandbox/ping/", idempotency_key="p") for _ in range(2))
    assert first.json() == again.json() and again["Idempotent-Replayed"] == "true" and len(peer.received) == 1
    codes = [river.call("POST", "/webhooks/sandbox/ping/").status_code for _ in range(10)]
    assert codes[0] == 201 and codes[-1] == 429


def test_without_an_endpoint_it_is_said_what_to_do(river: Joined) -> None:
    fill(river)
    answer = river.call("POST", "/conformance-runs/")
    assert (answer.status_code, answer.json()["code"]) == (409, "webhook_missing")
    assert "PUT /api/hospitals/v1/webhooks/sandbox/" in answer.json()["detail"]
    with pytest.raises(ConnectorUnavailable) as error:
        connecting.connector(Hospital.objects.get(id=river.hospital_id))
    assert error.value.code == "webhook_missing" and error.value.retryable


def test_what_residents_do_never_goes_to_the_test_system(river: Joined, peer: WebhookPeer, allowed: None) -> None:
    peer.secret = endpoint(river, "sandbox", peer.url).json()["secret"]
    fill(river)
    change(Hospital, river.hospital_id, state="live")
    booked(river)
    assert due_now(river) == 0 and peer.received == []
    assert command(river).reason == "webhook_missing"
    assert log(river.as_live()) == [], "nothing was sent"


def test_the_operators_entry_of_that_name_comes_first(river: Joined, settings: Any) -> None:
    settings.HOSPITALS_CONNECTORS = {"push": {"BACKEND": "hospitals.connectors.sandbox.connector.SandboxConnector"}}
    connecting.forget()
    found = connecting.connector(Hospital.objects.get(id=river.hospital_id))
    connecting.forget()
    assert type(found).__name__ == "SandboxConnector"


def test_a_hospital_that_has_left_is_sent_nothing(river: Joined, peer: WebhookPeer, everywhere: None) -> None:
    live(river, peer)
    booked(river)
    onboarding.leave(hospital_id=river.hospital_id, actor=OFFICER, reason="撤并")
    assert due_now(river) == 0 and peer.received == []
    assert command(river).reason == "hospital_left"


def test_after_going_live_the_live_client_alone_sets_it_up(river: Joined) -> None:
    change(Hospital, river.hospital_id, state="live")
    for method, path in (("GET", "/webhooks/live/"), ("PUT", "/webhooks/live/"), ("GET", "/deliveries/")):
        assert river.call(method, path, {"url": PUBLIC}).json()["code"] == "insufficient_scope"
