"""The onboarding pages are followed to the letter: their blocks run in a shell, against the service, in the order they stand."""

import json
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.db import connections

from hospitals.models import Hospital, OnboardingStep

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("onboarding.md", "onboarding.zh.md")
TOOLS = ("bash", "curl", "openssl", "base64", "od", "python3")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
CALLS_MOST = 10


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, text) of every block that is to be run."""
    return re.findall(r"```(sh|console)\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.S)


def test_both_languages_run_the_same_blocks() -> None:
    assert blocks(PAGES[0]) == blocks(PAGES[1])


def test_the_first_event_takes_ten_calls_at_most() -> None:
    texts = [text for _language, text in blocks(PAGES[0])]
    first = next(n for n, text in enumerate(texts) if "/v1/events/" in text)
    assert sum(text.count("curl ") for text in texts[: first + 1]) <= CALLS_MOST


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def address(db: None) -> Iterator[str]:
    """The service over HTTP, on this test's own connection: what it writes is undone with the test."""
    connection = connections["default"]
    connection.inc_thread_sharing()
    server = make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=_Quiet)

    def serve() -> None:
        connections["default"] = connection
        server.serve_forever(poll_interval=0.05)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
    connection.dec_thread_sharing()


@pytest.mark.skipif(bool(MISSING), reason=f"not on this machine: {', '.join(MISSING)}")
def test_following_the_page_leads_to_an_accepted_event(address: str, tmp_path: Path) -> None:
    cache.clear()
    preface, *rest = blocks(PAGES[0])
    begin = preface[1].replace("http://127.0.0.1:8000", address)
    assert begin != preface[1]
    for language, text in rest:
        if language == "console":
            call_command(*shlex.split(text)[2:])
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", begin + text],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (text, done.stdout, done.stderr)
        if "/v1/applications/$(" in text and "credentials" not in text:
            assert json.loads(done.stdout)["state"] == "verified"

    def saved(name: str) -> Any:
        return json.loads((tmp_path / f"{name}.json").read_text())

    assert (saved("tried")["refused"], saved("uploaded")["written"]) == (0, 7)
    assert saved("receipt") == {"event_id": "e-1", "status": "accepted"}
    assert [event["type"] for event in saved("seen")["events"]] == ["appointment.booked"]
    assert len(saved("run")["points"]) >= 25
    assert Hospital.objects.get(code="spring-river").state == "sandbox"
    assert OnboardingStep.objects.filter(actor="officer-li", reason="证照齐全").exists()
