"""Signing in from a browser: a super-app's answer counts in the tab where it was begun, once, within five minutes."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import structlog
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from companion import api, identity
from companion.identity import browser
from companion.identity.base import Identity
from hospitals.services import limits
from hospitals.services.limits import Limit
from tests.companion.test_identity import alipay

pytestmark = pytest.mark.django_db
PHONE = {"origin": "https://health.example.org", "user-agent": "Mozilla/5.0 (iPhone) AlipayClient/10.8"}
IN_MINI_PROGRAM = PHONE | {"user-agent": "Mozilla/5.0 (iPhone) MicroMessenger/8.0.50 miniProgram/wx123"}
BY_ITSELF = {"user-agent": "Mozilla/5.0 (iPhone) MicroMessenger/8.0.50"}


@pytest.fixture(autouse=True)
def super_app(settings: LazySettings) -> Iterator[None]:
    """An Alipay that takes every code."""
    settings.IDENTITY_ENABLED, settings.PUBLIC_URL = ["alipay", "development"], "https://health.example.org"
    backend = alipay("https://gateway.example")

    async def exchange(code: str) -> Identity:
        return Identity("alipay", "app", f"open-id-{code}")

    with patch.object(backend, "exchange", exchange), patch.object(identity, "backend", lambda name: backend):
        yield


def begun(client: Client) -> tuple[str, str]:
    """State and secret."""
    answer = client.post("/api/session/begin/", {"provider": "alipay"}, content_type="application/json", headers=PHONE)
    assert answer.status_code == 201
    body = answer.json()
    asked = parse_qs(urlsplit(body["address"]).query)
    assert body["secret"] not in body["address"]
    return asked["state"][0], body["secret"]


def comes_back(client: Client, headers: dict[str, str] = PHONE, **given: Any) -> tuple[int, str]:
    body = {"provider": "alipay", "code": "code-1"} | given
    answer = client.post("/api/session/", body, content_type="application/json", headers=headers)
    return answer.status_code, answer.json().get("code", "")


def test_who_comes_back_to_the_tab_where_it_was_begun_is_signed_in_once(client: Client) -> None:
    state, secret = begun(client)
    assert comes_back(client, state=state, secret=secret, code="code-1\n") == (400, "invalid_input")
    assert comes_back(client, state=state, secret=secret) == (201, "")
    assert comes_back(client, state=state, secret=secret) == (401, "sign_in_not_begun")


def test_she_is_led_to_the_super_app_and_back_to_the_page(client: Client) -> None:
    answer = client.post("/api/session/begin/", {"provider": "alipay"}, content_type="application/json")
    address = urlsplit(answer.json()["address"])
    asked = parse_qs(address.query)
    assert (address.scheme, address.netloc) == ("https", "openauth.alipay.com")
    assert asked["redirect_uri"] == ["https://health.example.org/"] and asked["scope"] == ["auth_base"]
    assert asked["state"][0].isalnum() and len(asked["state"][0]) <= 100


def test_a_link_with_a_stranger_s_code_signs_nobody_in(client: Client) -> None:
    his_state, _his_secret = begun(client)
    assert comes_back(client) == (401, "sign_in_not_begun")
    assert comes_back(client, state=his_state) == (401, "sign_in_not_begun")
    _her_state, her_secret = begun(client)
    assert comes_back(client, state=his_state, secret=her_secret) == (401, "sign_in_not_begun")


def test_a_state_is_for_one_super_app_and_five_minutes(client: Client) -> None:
    state, secret = begun(client)
    assert comes_back(client, provider="wechat", state=state, secret=secret) == (401, "sign_in_not_begun")
    with patch.object(browser, "LIFE_S", 0):
        state, secret = begun(client)
    assert comes_back(client, state=state, secret=secret) == (401, "sign_in_not_begun")


@pytest.mark.parametrize("headers", [IN_MINI_PROGRAM, BY_ITSELF], ids=["web-view", "by itself"])
def test_a_mini_program_which_has_no_state_signs_in_as_it_does(client: Client, headers: dict[str, str]) -> None:
    assert comes_back(client, headers) == (201, "")


def test_a_state_that_is_given_must_hold_in_a_mini_program_too(client: Client) -> None:
    assert comes_back(client, IN_MINI_PROGRAM, state="0" * 32, secret="x" * 32) == (401, "sign_in_not_begun")


def test_a_super_app_without_a_page_for_browsers_says_so(client: Client) -> None:
    with patch.object(identity, "backend", lambda name: object()):
        answer = client.post("/api/session/begin/", {"provider": "wechat"}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (401, "no_browser_sign_in")


def test_beginning_without_end_is_held_back(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    monkeypatch.setattr(limits.timezone, "now", lambda: now)
    monkeypatch.setattr(api, "BEGINNINGS", Limit(f"begin-{uuid4()}", 2, 60))
    begun(client)
    begun(client)
    answer = client.post("/api/session/begin/", {"provider": "alipay"}, content_type="application/json")
    assert answer.status_code == 429 and 0 < int(answer["retry-after"]) <= 60


def test_each_sign_in_and_each_refusal_is_in_the_log_by_its_way_and_code_alone(client: Client) -> None:
    with structlog.testing.capture_logs() as lines:
        comes_back(client, BY_ITSELF)
        comes_back(client)
    signed_in, _request, refused = lines
    assert (signed_in["event"], signed_in["backend"], len(signed_in["session"])) == ("resident_signed_in", "alipay", 36)
    assert (refused["event"], refused["route"], refused["status"], refused["code"]) == ("request", "session", 401, "sign_in_not_begun")  # fmt: skip
    assert "code-1" not in str(lines) and "open-id" not in str(lines)
