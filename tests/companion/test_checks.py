"""Wrong settings are named before the first request."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from companion import celery
from companion.checks import refuse_to_start, settings_make_sense
from hospitals import checks
from hospitals.checks import keys_can_be_used
from hospitals.keys.file import FileKeyService
from tests.production import as_production


def ids(settings) -> list[str]:
    return [message.id for message in settings_make_sense(None)]


def test_the_demo_as_it_comes_is_in_order(settings) -> None:
    assert ids(settings) == []


def test_production_needs_a_secret_tls_and_a_real_sign_in(settings) -> None:
    settings.MODE, settings.SECRET_KEY = "production", "short"
    assert ids(settings) == ["companion.E001", "companion.E004", "companion.W001"]


def test_unknown_backends_are_named(settings) -> None:
    settings.SPEECH_CHAIN, settings.IDENTITY_ENABLED = ["parrot"], ["pigeon"]
    assert ids(settings) == ["companion.E002", "companion.E003"]


def test_a_backend_that_cannot_be_imported_is_named(settings) -> None:
    settings.KEY_SERVICE = {"BACKEND": "nowhere.Service", "OPTIONS": {}}
    assert ids(settings) == ["companion.E005"]


def production(settings: Any) -> None:
    settings.MODE, settings.IDENTITY_ENABLED, settings.PUBLIC_URL = "production", ["alipay"], "https://her.example.org"
    settings.PAYMENT = ""


class Passing:
    """A PostgreSQL connection whose role passes row-level security."""

    vendor = "postgresql"

    def cursor(self) -> Any:
        return nullcontext(SimpleNamespace(execute=lambda sql: None, fetchone=lambda: ("owner", True)))


@pytest.fixture()
def passing(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    production(settings)
    monkeypatch.setattr(checks, "connections", {"default": Passing()})


async def test_the_web_process_asks_for_its_role_inside_its_event_loop(passing: None) -> None:
    with pytest.raises(ImproperlyConfigured, match="'owner' bypasses row-level security"):
        refuse_to_start()


class Worker:
    app = Celery("of this test")  # so that Celery's own receiver leaves this process as it is


def test_a_worker_ends_with_the_check_s_words(passing: None) -> None:
    with pytest.raises(SystemExit, match="bypasses row-level security"):
        celery.worker_init.send(sender=Worker())


def test_the_hl7_door_does_not_open(passing: None) -> None:
    with pytest.raises(SystemCheckError, match="bypasses row-level security"):
        call_command("mllp", "--plain", "--port", "0")


@pytest.mark.django_db
def test_the_owner_s_commands_are_not_asked_for_their_role(passing: None) -> None:
    assert not [message for message in run_checks(databases=["default"]) if message.id == "hospitals.E002"]


@pytest.mark.django_db(transaction=True)
def test_in_order_everything_starts(settings: Any) -> None:
    production(settings)
    refuse_to_start()


@pytest.mark.parametrize("backend", ["hospitals.keys.file.FileKeyService", "tests.companion.test_checks.Forgetful"])
def test_a_key_service_that_does_not_work_is_named(settings: Any, tmp_path: Any, backend: str) -> None:
    production(settings)
    settings.KEY_SERVICE = {"BACKEND": backend, "OPTIONS": {"path": str(tmp_path / "none"), "create": False}}
    with pytest.raises(ImproperlyConfigured, match="hospitals.E004"):
        refuse_to_start()
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(("cipher", "told"), [("SM4-GCM", ["hospitals.W006"]), ("AES-256-GCM", [])])
def test_a_key_service_that_does_not_wrap_by_sm4_is_named_where_it_is_asked_for(
    settings: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, cipher: str, told: list[str]
) -> None:
    settings.HOSPITALS_CIPHER = cipher
    settings.KEY_SERVICE = {
        "BACKEND": "hospitals.keys.file.FileKeyService",
        "OPTIONS": {"path": str(tmp_path / "key")},
    }
    assert keys_can_be_used(None) == []
    monkeypatch.setattr("hospitals.keys.base.HeldKeyService.current", property(lambda keys: next(iter(keys._masters))))
    assert [message.id for message in keys_can_be_used(None)] == told


class Forgetful(FileKeyService):
    """Its library raises what nobody foresaw."""

    def __init__(self, path: str, create: bool) -> None:
        raise RuntimeError(path)


def test_production_makes_no_master_key_and_the_environment_gives_backends_their_options(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COMPANION_MASTER_KEY_FILE", "/nowhere/master.key")
    monkeypatch.setenv("COMPANION_SPEECH_OPTIONS", '{"espeak": {"voice": "yue"}}')
    told = as_production("[settings.KEY_SERVICE['OPTIONS'], settings.SPEECH_ENGINES['espeak']['OPTIONS']]")
    assert told == [{"path": "/nowhere/master.key", "create": False}, {"voice": "yue"}]
    monkeypatch.setenv("COMPANION_KEY_SERVICE", "hospitals.keys.environment.EnvironmentKeyService")
    monkeypatch.setenv("COMPANION_KEY_SERVICE_OPTIONS", '{"variable": "OUR_KEYS"}')
    assert as_production("settings.KEY_SERVICE['OPTIONS']") == {"variable": "OUR_KEYS"}
