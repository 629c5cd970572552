"""Applying, claiming and using credentials over HTTP: shown once, scoped, limited, refused in the right words."""

import base64
from typing import Any
from urllib.parse import urlencode

import pytest
import structlog
from django.core.cache import cache
from django.test import Client

from hospitals.audit import Actor
from hospitals.models import AccessToken
from hospitals.services import limits, onboarding

FORM = "application/x-www-form-urlencoded"
V1 = "/api/hospitals/v1"
OFFICER = Actor("commission", "officer-li")
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_counters() -> None:
    cache.clear()


APPLICATION = {
    "code": "river",
    "name": "江畔医院",
    "city": "岚州市",
    "licence_number": "PDY00012345",
    "connector": "sandbox",
    "contact": {"name": "王工", "phone": "13900000001", "email": "it@river.example"},
}


def post(path: str, body: Any, **headers: str) -> Any:
    return Client().post(V1 + path, body, content_type="application/json", headers=headers)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def join(**changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """An application and its sandbox credentials."""
    applied = post("/applications/", APPLICATION | changes).json()
    onboarding.verify(hospital_id=applied["hospital_id"], actor=OFFICER, reason="证照齐全")
    path = f"/applications/{applied['hospital_id']}/credentials/"
    got = post(path, {"environment": "sandbox"}, **bearer(applied["claim"]))
    assert got.status_code == 201, got.content
    return applied, got.json()


def token_answer(**form: str) -> Any:
    return Client().post(f"{V1}/token/", urlencode({"grant_type": "client_credentials"} | form), content_type=FORM)


def token(credentials: dict[str, Any], **form: str) -> str:
    pair = {"client_id": credentials["client_id"], "client_secret": credentials["client_secret"]}
    answer = token_answer(**pair, **form)
    assert answer.status_code == 200, answer.content
    return answer.json()["access_token"]


def problem(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.content
    assert answer["content-type"] == "application/problem+json"
    return answer.json()["code"]


def test_an_application_is_answered_with_a_claim_shown_once() -> None:
    applied = post("/applications/", APPLICATION)
    assert applied.status_code == 201
    body = applied.json()
    again = Client().get(f"{V1}/applications/{body['hospital_id']}/", headers=bearer(body["claim"]))
    assert again.json() == {"hospital_id": body["hospital_id"], "code": "river", "state": "applied"}
    assert problem(post("/applications/", APPLICATION), 409) == "already_applied"


def test_an_application_names_what_is_wrong_with_it() -> None:
    answer = post("/applications/", APPLICATION | {"code": "River!", "contact": {"name": "王工"}})
    assert problem(answer, 400) == "invalid_input"
    places = {e["pointer"] for e in answer.json()["errors"]}
    assert places == {"/code", "/contact/phone", "/contact/email"}


def test_nobody_applies_without_end() -> None:
    for number in range(limits.APPLICATIONS.quota):
        assert (
            post("/applications/", APPLICATION | {"code": f"h-{number:03}", "name": f"{number}院"}).status_code == 201
        )
    answer = post("/applications/", APPLICATION)
    assert problem(answer, 429) == "too_many_requests"
    assert int(answer["Retry-After"]) > 0


def test_credentials_only_for_the_claim_and_only_after_verification() -> None:
    body = post("/applications/", APPLICATION).json()
    path = f"/applications/{body['hospital_id']}/credentials/"
    wanted = {"environment": "sandbox"}
    assert problem(post(path, wanted, **bearer(body["claim"])), 409) == "not_verified"
    assert problem(post(path, wanted, **bearer("hcc_wrong")), 401) == "unauthenticated"
    assert problem(post(path, wanted), 401) == "unauthenticated"


@pytest.mark.services
@pytest.mark.parametrize("client_id", ["\0", "hc-sandbox-\0", "x" * 65, "医院"])
def test_a_client_id_that_no_database_can_look_for_is_refused_like_any_unknown_one(client_id: str) -> None:
    assert token_answer(client_id=client_id, client_secret="x").status_code == 401
    basic = "Basic " + base64.b64encode(f"{client_id}:x".encode()).decode()
    form = urlencode({"grant_type": "client_credentials"})
    answer = Client().post(f"{V1}/token/", form, content_type=FORM, headers={"authorization": basic})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_a_token_by_form_or_by_basic_is_short_lived_and_kept_hashed() -> None:
    _applied, credentials = join()
    pair = f"{credentials['client_id']}:{credentials['client_secret']}".encode()
    answer = Client().post(
        f"{V1}/token/",
        urlencode({"grant_type": "client_credentials", "scope": "directory:read"}),
        content_type=FORM,
        headers={"authorization": "Basic " + base64.b64encode(pair).decode()},
    )
    body = answer.json()
    assert answer.status_code == 200
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 900, "directory:read")
    assert answer["Cache-Control"] == "no-store"
    assert not AccessToken.objects.filter(digest=body["access_token"]).exists()
    assert token(credentials) != token(credentials)


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_secret": "hcs_wrong"}, 401, "invalid_client"),
        ({"client_id": "hc-sandbox-nobody"}, 401, "invalid_client"),
        ({"scope": "directory:read everything"}, 400, "invalid_scope"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_token_errors_are_those_of_the_standard(form: dict[str, str], status: int, error: str) -> None:
    _applied, credentials = join()
    pair = {"client_id": credentials["client_id"], "client_secret": credentials["client_secret"]}
    answer = token_answer(**(pair | form))
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert not AccessToken.objects.exists()


def test_tokens_given_and_refused_and_scopes_that_lack_are_in_the_log() -> None:
    applied, credentials = join()
    with structlog.testing.capture_logs() as lines:
        narrow = token(credentials, scope="directory:read")
        token_answer(client_id=credentials["client_id"], client_secret="wrong")
        post("/credentials/rotate/", {"kind": "client"}, **bearer(narrow))
    given = next(line for line in lines if line["event"] == "hospital_token_issued")
    assert given["hospital"] == applied["hospital_id"]
    assert [(line["status"], line["code"]) for line in lines if line["event"] == "request" and line["status"] >= 400] == [(401, "invalid_client"), (403, "insufficient_scope")]  # fmt: skip
    assert credentials["client_secret"] not in str(lines) and narrow not in str(lines)


def test_a_token_of_fewer_scopes_does_no_more_than_those() -> None:
    _applied, credentials = join()
    weak = token(credentials, scope="directory:read")
    answer = post("/credentials/rotate/", {"kind": "client"}, **bearer(weak))
    assert problem(answer, 403) == "insufficient_scope"


def test_rotating_over_http_shows_the_secret_once_and_never_replays_it() -> None:
    _applied, credentials = join()
    held = bearer(token(credentials)) | {"idempotency-key": "same"}
    first = post("/credentials/rotate/", {"kind": "client"}, **held).json()
    second = post("/credentials/rotate/", {"kind": "client", "overlap_s": 0}, **held).json()
    assert first["secret"] != second["secret"]
    renewed = credentials | {"client_secret": second["secret"]}
    assert token(renewed)
    pair = {"client_id": credentials["client_id"], "client_secret": credentials["client_secret"]}
    assert token_answer(**pair).status_code == 401


def test_every_answer_tells_what_is_left_and_the_limit_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    _applied, credentials = join()
    held = bearer(token(credentials))
    answer = post("/credentials/rotate/", {"kind": "nonsense"}, **held)
    assert answer["RateLimit-Policy"] == '"credential";q=600;w=60'
    assert answer["RateLimit"].startswith('"credential";r=599;t=')
    monkeypatch.setattr(limits, "CREDENTIAL", limits.Limit("credential", 1, 3600))
    assert problem(post("/credentials/rotate/", {"kind": "nonsense"}, **held), 400) == "invalid_input"
    answer = post("/credentials/rotate/", {"kind": "client"}, **held)
    assert problem(answer, 429) == "too_many_requests" and "Retry-After" in answer
    assert answer["RateLimit-Policy"] == '"credential";q=1;w=3600' and answer["RateLimit"].startswith(
        '"credential";r=0'
    )


def test_tokens_are_counted_by_client_so_that_a_neighbour_still_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    _applied, credentials = join()
    monkeypatch.setattr(limits, "TOKENS", limits.Limit("tokens", 2, 3600))
    for _ in range(2):
        assert token_answer(client_id="hc-sandbox-nobody", client_secret="x").status_code == 401
    refused = token_answer(client_id="hc-sandbox-nobody", client_secret="x")
    assert problem(refused, 429) == "too_many_requests"
    assert '"tokens";r=0;t=' in refused["RateLimit"] and '"tokens-address";r=1197;t=' in refused["RateLimit"]
    assert token(credentials)
    pair = base64.b64encode(b"hc-sandbox-nobody:x").decode()
    form = {"content_type": FORM, "headers": {"authorization": f"Basic {pair}"}}
    assert Client().post(f"{V1}/token/", "grant_type=client_credentials", **form).status_code == 429
    monkeypatch.setattr(limits, "TOKENS_ADDRESS", limits.Limit("tokens-address", 0, 60))
    assert token_answer(client_id="hc-sandbox-another", client_secret="x").status_code == 429


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer hct_wrong"}, {"authorization": "Basic abc"}])
def test_without_a_token_that_holds_it_is_401_with_a_challenge(header: dict[str, str]) -> None:
    answer = post("/credentials/rotate/", {"kind": "client"}, **header)
    assert problem(answer, 401) == "unauthenticated"
    assert answer["WWW-Authenticate"] == "Bearer"
