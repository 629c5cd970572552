"""The onboarding pages are followed to the letter: their blocks run in a shell, against the service, in the order they stand."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import httpcore
import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from rest_framework.exceptions import UnsupportedMediaType

from hospitals.models import Hospital, OnboardingStep
from hospitals.outgoing import Outgoing
from hospitals.services import connecting, webhooks

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("onboarding.md", "onboarding.zh.md")
TOOLS = ("bash", "curl", "openssl", "base64", "od", "python3")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, text) of every block that is to be run."""
    return re.findall(r"```(sh|console)\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.S)


def test_both_languages_run_the_same_blocks() -> None:
    assert blocks(PAGES[0]) == blocks(PAGES[1])


@pytest.mark.parametrize("page", PAGES)
def test_every_code_that_it_explains_is_one_of_the_service_s(page: str) -> None:
    table = (DOCS / page).read_text(encoding="utf-8").rpartition("| code |")[2]
    told = {code for row in re.findall(r"^\| (`[^|]+) \|", table, re.M) for code in re.findall(r"`(\w+)`", row)}
    sources = (path for app in ("hospitals", "companion") for path in (DOCS.parent / app).rglob("*.py"))
    ours = {code for path in sources for code in re.findall(r'"(\w+)"', path.read_text(encoding="utf-8"))}
    assert len(told) > 20 and told <= ours | {UnsupportedMediaType.default_code}


def test_it_takes_as_many_calls_as_the_pages_say() -> None:
    texts = [text for _language, text in blocks(PAGES[0])]
    first = next(n for n, text in enumerate(texts) if "/v1/events/" in text)
    calls = [sum(text.count("curl ") for text in part) for part in (texts[: first + 1], texts[first + 1 :])]
    assert calls == [8, 4]
    english, chinese = ((DOCS / page).read_text(encoding="utf-8") for page in PAGES)
    assert "in eight calls; four more" in english and "八次调用;再四次" in chinese


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(db: None) -> Iterator[WSGIServer]:
    """The service over HTTP, served by the test's own thread on its own connection: what it writes is undone."""
    signals = (request_started, request_finished)
    for signal in signals:  # as Django's own test client does
        signal.disconnect(close_old_connections)
    with make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=_Quiet) as made:
        made.timeout = 0.05
        yield made
    for signal in signals:
        signal.connect(close_old_connections)


def run(script: str, folder: Path, server: WSGIServer) -> tuple[int, str]:
    """The script's exit status and what it printed; its requests are answered meanwhile."""
    with (folder / "printed").open("w+") as printed:
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script], cwd=folder, stdout=printed, stderr=subprocess.STDOUT
        )
        while shell.poll() is None:
            server.handle_request()
        printed.seek(0)
        return shell.returncode, printed.read()


def unknown_name(_host: str, _port: int) -> list[str]:
    raise httpcore.ConnectError


@pytest.mark.skipif(bool(MISSING), reason=f"not on this machine: {', '.join(MISSING)}")
def test_following_the_page_leads_to_an_accepted_event(
    server: WSGIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.clear()
    monkeypatch.setattr(webhooks, "system_resolve", unknown_name)
    monkeypatch.setattr(
        connecting, "_connections", lambda _id, allowed: Outgoing(allowed, attempts=1, resolve=unknown_name)
    )
    preface, *rest = blocks(PAGES[0])
    begin = preface[1].replace("127.0.0.1:8000", f"127.0.0.1:{server.server_port}")
    assert begin != preface[1]
    for language, text in rest:
        if language == "console":
            call_command(*shlex.split(text)[2:])
            continue
        status, printed = run(begin + text, tmp_path, server)
        assert status == 0, (text, printed)
        if "/v1/applications/$(" in text and "credentials" not in text:
            assert json.loads(printed)["state"] == "verified"

    def saved(name: str) -> Any:
        return json.loads((tmp_path / f"{name}.json").read_text())

    assert (saved("tried")["refused"], saved("uploaded")["written"]) == (0, 7)
    assert saved("receipt") == {"event_id": "e-1", "status": "accepted"}
    assert [event["type"] for event in saved("seen")["events"]] == ["appointment.booked"]
    assert saved("webhook")["secret"].startswith("whsec_")
    assert (saved("ping")["outcome"], saved("ping")["code"]) == ("failed", "no_connection")
    assert len(saved("run")["points"]) >= 25
    assert Hospital.objects.get(code="spring-river").state == "sandbox"
    assert OnboardingStep.objects.filter(actor="officer-li", reason="证照齐全").exists()
