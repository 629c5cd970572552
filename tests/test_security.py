"""The doors as an attacker tries them: headers on every answer, staff's sign-in and sessions, what production refuses."""

import ast
import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import structlog
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.test import Client

from companion import checks, middleware, observability, signin, staff
from companion.identity.base import Identity
from hospitals.models import AuditEvent
from hospitals.services import limits
from tests.production import as_production

ROOT = Path(__file__).resolve().parents[1]
PASSWORD = "蓝色 lamp under 7 stairs"
SCRIPTS = [*sorted((ROOT / "static").rglob("*.js")), *sorted((ROOT / "hospitals" / "static").rglob("*.js"))]
CODE = [path for app in ("companion", "avatar", "hospitals") for path in sorted((ROOT / app).rglob("*.py"))]


@pytest.fixture(autouse=True)
def nobody_tried_before(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Limits counted in the shared cache start anew in each test."""
    original = limits._window
    monkeypatch.setattr(
        limits,
        "_window",
        lambda limit, caller: (f"{request.node.nodeid}{original(limit, caller)[0]}", original(limit, caller)[1]),
    )


@pytest.fixture()
def officer(db: None, settings: Any) -> User:
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.MD5PasswordHasher"
    ]  # quick; the real one has its own test
    return User.objects.create_superuser("officer", password=PASSWORD)


def sign_in(client: Client, password: str = PASSWORD, where: str = "/admin/login/", **more: str):
    return client.post(where, {"username": "officer", "password": password}, **more)


# --- every answer ---------------------------------------------------------------------------------------------
ANSWERS = {
    "page": "/",
    "file": "/static/app/main.js",
    "not found": "/nowhere",
    "schema": "/api/schema/",
    "API page": "/api/docs/",
    "developers": "/api/hospitals/v1/",
    "refused": "/api/session/ticket/",
    "admin": "/admin/login/",
    "redirect": "/admin/",
    "health": "/health/",
}


@pytest.mark.django_db
@pytest.mark.parametrize("address", ANSWERS.values(), ids=ANSWERS.keys())
def test_every_kind_of_answer_carries_the_headers(client: Client, address: str) -> None:
    answer = client.get(address)
    policy = answer["Content-Security-Policy"]
    assert "object-src 'none'" in policy and "base-uri 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "default-src 'self'" in policy and "*" not in policy and "http" not in policy
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert "microphone=()" in answer["Permissions-Policy"]
    assert "Access-Control-Allow-Origin" not in answer
    kind = answer["Content-Type"].replace('"', "").lower()
    assert not kind.startswith("text/") or "charset=utf-8" in kind


@pytest.mark.django_db
def test_a_refused_host_still_gets_the_headers(client: Client) -> None:
    answer = client.get("/", headers={"host": "elsewhere.example"})
    assert answer.status_code == 400
    assert "default-src 'self'" in answer["Content-Security-Policy"]


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/", "/nowhere", "/api/session/ticket/", "/api/hospitals/v1/"])
def test_only_the_admin_and_the_viewer_may_run_inline_scripts(client: Client, address: str) -> None:
    policy = client.get(address)["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "'unsafe-eval'" not in client.get("/api/docs/")["Content-Security-Policy"]


@pytest.mark.django_db
def test_personal_answers_are_stored_nowhere(client: Client) -> None:
    token, _signed_in = signin.open_session(Identity("alipay", "app", "somebody"))
    ticket = client.post("/api/session/ticket/", headers={"authorization": f"Bearer {token}"})
    refused = client.post("/api/session/ticket/")
    ended = client.delete("/api/session/", headers={"authorization": f"Bearer {token}"})
    assert (ticket.status_code, refused.status_code, ended.status_code) == (201, 401, 204)
    for answer in (ticket, refused, ended, client.get("/api/hospitals/v1/hospital/")):
        assert "no-store" in answer["Cache-Control"]
    assert "no-store" in client.get("/admin/login/")["Cache-Control"]


@pytest.mark.django_db
def test_a_fault_of_ours_tells_nothing_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object) -> None:
        raise RuntimeError("secret words of somebody")

    monkeypatch.setattr(signin, "verify", broken)
    heard = StringIO()
    monkeypatch.setattr("sys.stderr", heard)
    answer = Client(raise_request_exception=False).post(
        "/api/session/ticket/", headers={"authorization": "Bearer something"}
    )
    assert answer.status_code == 500
    for told in (answer.content.decode(), heard.getvalue()):
        assert "secret words" not in told and "Traceback" not in told and "signin.py" not in told


@pytest.mark.django_db
def test_trace_is_refused(client: Client) -> None:
    answers = [client.trace(address) for address in ("/", "/api/session/", "/api/hospitals/v1/hospital/", "/health/")]
    assert {answer.status_code for answer in answers} <= {401, 405}


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/static/", "/static/app/", "/static/../manage.py", "/static/%2e%2e/manage.py"])
def test_folders_are_not_listed(client: Client, address: str) -> None:
    assert client.get(address).status_code == 404


@pytest.mark.django_db
def test_a_form_is_no_body_for_the_resident_s_door(client: Client) -> None:
    """What a foreign page can send without asking first (a form, plain text) is not read."""
    for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"):
        answer = client.post("/api/session/", '{"provider":"development","code":"demo"}', content_type=kind)
        assert answer.status_code == 415


@pytest.mark.django_db
def test_a_body_without_end_is_refused(client: Client, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    body = json.dumps({"provider": "development", "code": "x" * 2000})
    assert client.post("/api/session/", body, content_type="application/json").status_code in (400, 413)


# --- staff ----------------------------------------------------------------------------------------------------
def test_signing_in_is_written_down_and_sets_closed_cookies(client: Client, officer: User) -> None:
    assert sign_in(client).status_code == 302
    event = AuditEvent.objects.get(action="staff.sign_in")
    assert (event.actor_kind, event.actor) == ("commission", "officer")
    cookie = client.cookies["sessionid"]
    assert cookie["httponly"] and cookie["samesite"] == "Lax" and cookie["path"] == "/" and not cookie["domain"]


def test_guessing_is_held_back_and_says_always_the_same(client: Client, officer: User) -> None:
    said = set()
    for _ in range(staff.WRONG_FOR_ACCOUNT.quota):
        answer = sign_in(client, "wrong-password")
        said.add(tuple(answer.context["form"].non_field_errors()))
    held = sign_in(client)  # even with the right one
    said.add(tuple(held.context["form"].non_field_errors()))
    unknown = client.post("/admin/login/", {"username": "nobody", "password": "wrong"})
    said.add(tuple(unknown.context["form"].non_field_errors()))
    assert held.status_code == 200 and "_auth_user_id" not in client.session
    assert len(said) == 1
    # who comes from another address is not locked out by the guesser
    assert sign_in(client, REMOTE_ADDR="192.0.2.7").status_code == 302


def test_a_list_of_accounts_is_held_back_by_its_address(client: Client, officer: User) -> None:
    for _ in range(staff.WRONG_FROM_ADDRESS.quota - 1):
        limits.count(staff.WRONG_FROM_ADDRESS, "127.0.0.1")
    client.post("/admin/login/", {"username": "nobody", "password": "wrong"})
    assert sign_in(client).status_code == 200
    assert "_auth_user_id" not in client.session


def test_signing_in_to_the_admin_changes_the_session(client: Client, officer: User) -> None:
    session = client.session
    session["before"] = 1
    session.save()
    before = session.session_key
    sign_in(client)
    assert client.session.session_key != before
    assert not session.exists(before)


def test_signing_in_leads_nowhere_else(client: Client, officer: User) -> None:
    answer = sign_in(client, where="/admin/login/?next=https://elsewhere.example/")
    assert answer.status_code == 302 and answer["Location"].startswith("/")


def test_a_busy_session_ends_after_its_longest_time(
    client: Client, officer: User, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    sign_in(client)
    assert client.get("/admin/").status_code == 200
    began = client.session[middleware.SIGNED_IN_AT]
    monkeypatch.setattr(middleware.time, "time", lambda: began + settings.STAFF_SESSION_LONGEST_S - 1)
    assert client.get("/admin/").status_code == 200
    monkeypatch.setattr(middleware.time, "time", lambda: began + settings.STAFF_SESSION_LONGEST_S)
    assert client.get("/admin/").status_code == 302
    assert "_auth_user_id" not in client.session


def test_an_idle_session_ends_after_half_an_hour(client: Client, officer: User, settings: Any) -> None:
    sign_in(client)
    assert settings.SESSION_COOKIE_AGE == 1800 and settings.SESSION_SAVE_EVERY_REQUEST
    assert client.get("/admin/").cookies["sessionid"]["max-age"] == ""  # ends with the browser as well
    assert client.session.get_expiry_age() <= 1800


def test_an_account_that_is_closed_is_out_at_once(client: Client, officer: User) -> None:
    sign_in(client)
    User.objects.filter(id=officer.id).update(is_active=False)
    assert client.get("/admin/").status_code == 302


def test_changing_a_password_needs_the_old_one(client: Client, officer: User) -> None:
    sign_in(client)
    new = "another long lamp 8"
    for old, status in (("guessed", 200), (PASSWORD, 302)):
        given = {"old_password": old, "new_password1": new, "new_password2": new}
        assert client.post("/admin/password_change/", given).status_code == status
    officer.refresh_from_db()
    assert officer.check_password(new)


def test_a_new_password_ends_the_other_sessions(client: Client, officer: User) -> None:
    other = Client()
    sign_in(client), sign_in(other)
    given = {"old_password": PASSWORD, "new_password1": "another long lamp 8", "new_password2": "another long lamp 8"}
    client.post("/admin/password_change/", given)
    assert client.get("/admin/").status_code == 200
    assert other.get("/admin/").status_code == 302


def test_a_form_of_the_admin_without_its_token_is_refused(officer: User) -> None:
    assert sign_in(Client(enforce_csrf_checks=True)).status_code == 403


@pytest.mark.django_db
def test_the_sign_in_form_masks_and_allows_pasting(client: Client) -> None:
    field = re.search(r'<input[^>]*name="password"[^>]*>', client.get("/admin/login/").content.decode())
    assert field and 'type="password"' in field[0]
    assert "onpaste" not in field[0] and 'autocomplete="off"' not in field[0]


@pytest.mark.parametrize(
    "password",
    ["short-7!", "password1234", "companion2026", "健康伴行医院123456", "officer-officer", "Hospital-Admin1"],
)
def test_weak_passwords_are_refused(password: str) -> None:
    with pytest.raises(ValidationError):
        validate_password(password, User(username="officer-officer"))


@pytest.mark.parametrize("password", [PASSWORD, "839201746582", "aaaa bbbb cccc", "x7" * 60, "hospital lamp 7 stairs"])
def test_any_composition_is_allowed(password: str) -> None:
    validate_password(password, User(username="officer"))


@pytest.mark.django_db
def test_a_password_holds_as_typed_and_may_be_long() -> None:
    long = "Äh 长 " * 25
    user = User.objects.create_user("long", password=long)
    assert user.check_password(long)
    assert not user.check_password(long.strip()) and not user.check_password(long.lower())
    assert not user.check_password(long[:72])


@pytest.mark.django_db
def test_passwords_are_kept_by_a_slow_hash() -> None:
    kept = User.objects.create_user("kept", password=PASSWORD).password
    algorithm, rounds, _salt, _hash = kept.split("$")
    assert algorithm == "pbkdf2_sha256" and int(rounds) >= 600_000


# --- production -----------------------------------------------------------------------------------------------
def test_production_sets_what_the_demo_cannot() -> None:
    found = as_production(
        "{name: getattr(settings, name) for name in ('SESSION_COOKIE_NAME', 'CSRF_COOKIE_NAME', 'SESSION_COOKIE_SECURE',"
        " 'CSRF_COOKIE_SECURE', 'SECURE_HSTS_SECONDS', 'SECURE_HSTS_INCLUDE_SUBDOMAINS', 'DEBUG')}"
    )
    assert found == {
        "SESSION_COOKIE_NAME": "__Host-sessionid",
        "CSRF_COOKIE_NAME": "__Host-csrftoken",
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "SECURE_HSTS_SECONDS": 31_536_000,
        "SECURE_HSTS_INCLUDE_SUBDOMAINS": True,
        "DEBUG": False,
    }


def test_production_has_no_demo_addresses() -> None:
    found = as_production("[str(p.pattern) for p in __import__('companion.urls').urls.urlpatterns]")
    assert "health/" in found and not [address for address in found if "demo" in address]


def test_production_does_not_start_open(settings: Any) -> None:
    settings.MODE, settings.DEBUG, settings.ALLOWED_HOSTS = "production", True, ["*"]
    assert [message.id for message in checks.production_is_closed(None)] == ["companion.E007", "companion.E008"]
    with pytest.raises(ImproperlyConfigured, match="companion.E007"):
        checks.refuse_to_start()


def test_the_demo_starts(settings: Any) -> None:
    settings.DEBUG = True
    assert checks.production_is_closed(None) == []
    checks.refuse_to_start()


# --- what the code may not hold -------------------------------------------------------------------------------
DANGEROUS = re.compile(
    r"\b(eval|exec)\(|pickle\.loads|\bshell=True|os\.system|\.raw\(|RawSQL|\.extra\(|yaml\.load\((?!.*Safe)|mark_safe"
    r"|hashlib\.(md5|sha1)|ElementTree|lxml|allow_pickle=True|csrf_exempt|execute\(\s*f\"|verify=False"
)


def test_the_code_holds_no_dangerous_calls() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in CODE
        if "migrations" not in path.parts
        for line in path.read_text(encoding="utf-8").splitlines()
        if DANGEROUS.search(line)
    ]
    # The digest that lists of breached passwords are kept by; nothing is protected with it.
    assert [line.split(": ")[0] for line in found] == ["companion/breached.py"] and "hashlib.sha1" in found[0]
    assert DANGEROUS.search('cursor.execute(f"SELECT {x}")') and DANGEROUS.search("yaml.load(file)")


def test_nothing_secret_comes_from_a_guessable_source() -> None:
    """Tokens, tickets and secrets are made by ``secrets`` or ``os.urandom``; ``random`` shares no file with them."""
    for path in CODE:
        imported = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        assert not {"random", "secrets"} <= imported, path


def test_the_page_s_scripts_write_text_and_never_markup() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|postMessage\("
    )
    found = {path.name for path in SCRIPTS if forbidden.search(path.read_text(encoding="utf-8"))}
    assert len(SCRIPTS) > 5 and not found


def test_the_page_keeps_no_words_in_the_browser() -> None:
    """A token for this tab, a sign-in that was begun, and a conversation's id; nothing of what was said."""
    kept = {
        key
        for path in SCRIPTS
        for key in re.findall(r"(?:local|session)Storage\.setItem\(\s*'([^']+)'", path.read_text(encoding="utf-8"))
    }
    assert kept == {"token", "begun", "conversation"}


def test_every_locked_package_has_a_licence_on_file_and_no_other_is_named() -> None:
    locked = set(re.findall(r"^([a-z0-9][a-z0-9-]*)==", (ROOT / "deploy" / "locks" / "run.txt").read_text(), re.M))
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([^`]+)` \| ([^|]+?) \|", page, re.M))
    assert set(rows) == locked
    known = re.compile(r"BSD|MIT|Apache|PSF|MPL-2.0|L?GPL-3.0")
    assert not [name for name, licence in rows.items() if not known.search(licence)]


def test_the_image_holds_no_source_control_data() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "deploy" / "Dockerfile").read_text(), re.M)
    names = {name for line in copied for name in line.split()}
    assert names and not names & {".", ".git", "./"}


def test_log_lines_are_json_with_a_utc_time(monkeypatch: pytest.MonkeyPatch) -> None:
    event = {"event": "x", "code": 'a"\nb'}
    for step in observability._shared[2:]:
        event = step(None, "info", event)
    line = structlog.processors.JSONRenderer(ensure_ascii=False)(None, "info", event)
    assert "\n" not in line
    assert json.loads(line)["code"] == 'a"\nb' and json.loads(line)["timestamp"].endswith("Z")


def test_logs_have_no_field_for_what_a_request_says() -> None:
    assert {"path", "query", "address", "username"}.isdisjoint(observability.ALLOWED)
