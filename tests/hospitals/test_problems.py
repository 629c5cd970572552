"""A database that is away or full is a refusal that may be tried again, and never an error without a code."""

from typing import Any

import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client

from companion.asking import asking
from companion.exceptions import Unavailable
from hospitals.connectors import push
from hospitals.services import inbox
from tests.hospitals.test_api_events import DOOR, hospital, message

FAULTS = [
    OperationalError("could not extend file: No space left on device"),
    InterfaceError("connection already closed"),
]


@pytest.mark.django_db
@pytest.mark.parametrize("fault", FAULTS, ids=["full", "gone"])
def test_a_hospital_is_told_when_to_send_again(
    client: Client, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def full(*_: object, **__: object) -> None:
        raise fault

    row, secret = hospital()
    monkeypatch.setattr(inbox, "accept", full)
    body = message("0" * 8 + "-0000-4000-8000-" + "0" * 12)
    headers = push.sign(secret, "m1", body) | {"hospital-code": row.code}
    answer = client.post(DOOR, body, content_type="application/json", headers=headers)
    assert (answer.status_code, answer["retry-after"]) == (503, "5")
    assert (answer.json()["code"], answer.json()["retryable"]) == ("storage_unavailable", True)
    assert "No space" not in answer.content.decode()


@pytest.mark.parametrize("fault", FAULTS, ids=["full", "gone"])
async def test_a_resident_is_told_that_she_may_try_again(fault: Exception) -> None:
    def full() -> None:
        raise fault

    with pytest.raises(Unavailable) as raised:
        await asking(full)
    assert (raised.value.status_code, raised.value.retryable) == (503, True)


def told(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.content
    assert answer["content-type"] == "application/problem+json"
    body = answer.json()
    assert set(body) >= {"type", "title", "status", "detail", "code", "retryable"} and body["status"] == status
    assert body["type"] == f"urn:health-companion:problem:{body['code']}"
    return body["code"]


@pytest.mark.django_db
class TestWhatNoViewRefused:
    @pytest.mark.parametrize(
        "address",
        [
            "/api/nowhere/",
            "/api/hospitals/v1/nowhere/",
            "/api/hospitals/v1/imports/not-a-uuid/",
            "/api/hospitals/v1/applications/123/",
            "/api/avatar/nobody/manifest.json",
        ],
    )
    def test_an_address_that_leads_nowhere(self, client: Client, address: str) -> None:
        assert told(client.get(address), 404) in ("not_found", "avatar_not_found")
        assert "text/html" in client.get("/nowhere")["content-type"]

    def test_a_method_and_a_media_type_that_are_not_taken(self, client: Client) -> None:
        answer = client.post("/api/avatar/xiaolan/manifest.json")
        assert told(answer, 405) == "method_not_allowed" and "GET" in answer["Allow"]
        assert told(client.get("/api/session/"), 405) == "method_not_allowed"
        assert told(client.post("/api/session/", "a=1", content_type="text/plain"), 415) == "unsupported_media_type"

    def test_an_address_without_its_slash_loses_no_body(self, client: Client) -> None:
        """Followed, the redirect would be a GET."""
        answer = client.post("/api/hospitals/v1/events", "{}", content_type="application/json")
        assert told(answer, 404) == "missing_slash"
        assert client.get("/api/hospitals/developers").status_code == 301

    def test_a_media_type_that_is_not_taken_is_told_which_are(self, client: Client) -> None:
        answer = client.post("/api/hospitals/v1/applications/", "a=1", content_type="text/plain")
        assert answer["Accept"] == "application/json" and "application/json" in answer.json()["detail"]

    def test_every_member_that_is_refused_says_what_is_wrong(self, client: Client) -> None:
        body = {"code": "x", "name": "", "connector": "river", "contact": {"email": None}}
        answer = client.post("/api/hospitals/v1/applications/", body, content_type="application/json")
        faults = {fault["pointer"]: fault["detail"] for fault in answer.json()["errors"]}
        assert {"/code", "/name", "/city", "/connector", "/contact/email"} <= set(faults) and all(faults.values())
        assert faults["/city"] == "缺少这一项。"

    def test_a_body_beyond_every_limit(self, client: Client, settings: Any) -> None:
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
        answer = client.post("/api/session/", b"{" + b" " * 200 + b"}", content_type="application/json")
        assert told(answer, 413) == "too_large"
        form = client.post("/api/hospitals/v1/token/", "a=" + "b" * 200, "application/x-www-form-urlencoded")
        assert told(form, 413) == "too_large"

    def test_a_request_that_cannot_be_read(self, client: Client) -> None:
        assert told(client.get("/api/hospitals/v1/hospital/", headers={"host": "elsewhere.example"}), 400)
        assert told(client.post("/api/session/", b"\xff{", content_type="application/json"), 400) == "parse_error"
        fields = "&".join(f"f{number}=1" for number in range(1500))
        form = client.post("/api/hospitals/v1/token/", fields, "application/x-www-form-urlencoded")
        assert told(form, 400) == "parse_error"

    @pytest.mark.django_db
    def test_a_body_nested_deeper_than_anybody_reads(self, client: Client) -> None:
        answer = client.post("/api/hospitals/v1/applications/", "[" * 100_000, content_type="application/json")
        assert (answer.status_code, answer.json()["code"]) == (400, "parse_error")

    def test_a_fault_of_ours_says_nothing_of_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("secret words")

        monkeypatch.setattr("companion.signin.verify", broken)
        client = Client(raise_request_exception=False)
        answer = client.post("/api/session/ticket/", headers={"authorization": "Bearer x"})
        assert told(answer, 500) == "server_error" and b"secret" not in answer.content

    def test_a_resident_s_refusal_is_of_the_same_form(self, client: Client) -> None:
        answer = client.post("/api/session/ticket/")
        assert told(answer, 401) == "not_signed_in" and answer["WWW-Authenticate"] == "Bearer"
