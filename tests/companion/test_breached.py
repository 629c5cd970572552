"""Breached passwords: refused by a range service that is told next to nothing, or by a file; and what is no answer."""

import hashlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import structlog
from django.conf import LazySettings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st

from companion import breached, checks

PASSWORD = "蓝色 lamp under 7 stairs"
DIGEST = hashlib.sha1(PASSWORD.encode()).hexdigest().upper()
KNOWN = f"{'0' * 35}:7\r\n{DIGEST[5:]}:3\r\n"
UNKNOWN = f"{'0' * 35}:7\r\n{'F' * 35}:0\r\n"
PADDED = f"{DIGEST[5:]}:0\r\n{'0' * 35}:0\r\n"


class RangeService:
    """A range service on this machine. ``answer``: its body; ``status``, ``trickles``, ``leads``: its faults."""

    def __init__(self) -> None:
        self.answer, self.status, self.trickles, self.leads = KNOWN, 200, False, ""
        self.asked: list[tuple[str, str | None]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.asked.append((self.path, self.headers["Add-Padding"]))
                self.send_response(service.status)
                if service.leads:
                    self.send_header("Location", service.leads)
                self.end_headers()
                try:
                    for byte in service.answer.encode():
                        if service.trickles:
                            time.sleep(0.05)
                        self.wfile.write(bytes([byte]))
                except OSError:
                    pass

            def log_message(self, *_args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/range"


@pytest.fixture
def service(settings: LazySettings) -> Iterator[RangeService]:
    made = RangeService()
    settings.BREACHED_PASSWORDS_URL = made.url
    yield made
    made.server.shutdown()
    made.server.server_close()


def refused(password: str = PASSWORD) -> list[str]:
    try:
        validate_password(password)
    except ValidationError as error:
        return [str(found.code) for found in error.error_list]
    return []


def test_a_breached_password_is_refused_and_five_digits_are_all_that_is_told(service: RangeService) -> None:
    assert refused() == ["password_breached"]
    assert service.asked == [(f"/range/{DIGEST[:5]}", "true")]


@pytest.mark.parametrize("answer", [UNKNOWN, PADDED, ""])
def test_what_is_not_on_the_list_or_only_pads_it_passes(service: RangeService, answer: str) -> None:
    service.answer = answer
    assert refused() == []


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 429},
        {"status": 302, "leads": "/elsewhere"},
        {"answer": "<html>请先登录</html>"},
        {"answer": KNOWN * 30_000},
        {"answer": KNOWN * 10, "trickles": True},
    ],
    ids=lambda fault: "-".join(fault),
)
def test_a_service_that_does_not_answer_refuses_nothing_but_the_common_ones(
    service: RangeService, fault: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breached, "ANSWER_S", 0.5)
    vars(service).update(fault)
    with structlog.testing.capture_logs() as lines:
        assert refused() == []
        assert refused("password1234") == ["password_too_common"]
    assert [line["event"] for line in lines] == ["breached_passwords_unanswered"] * 2
    assert DIGEST[5:] not in str(lines) and PASSWORD not in str(lines)


def test_a_service_that_is_not_there_refuses_nothing(settings: LazySettings) -> None:
    settings.BREACHED_PASSWORDS_URL = "http://127.0.0.1:9/range"
    assert refused() == []
    settings.BREACHED_PASSWORDS_URL = "no address"
    assert refused() == []


def test_with_neither_set_nobody_is_asked(service: RangeService, settings: LazySettings) -> None:
    settings.BREACHED_PASSWORDS_URL = ""
    assert refused() == []
    assert service.asked == []


def test_the_file_refuses_without_any_service_and_one_that_is_away_refuses_nothing(
    settings: LazySettings, tmp_path: Path
) -> None:
    listed = tmp_path / "breached.txt"
    settings.BREACHED_PASSWORDS_FILE = str(listed)
    with structlog.testing.capture_logs() as lines:
        assert refused() == []
    assert lines[0]["reason"] == "FileNotFoundError"
    listed.write_text(f"{'0' * 40}:2\n{DIGEST}:3\n{'F' * 40}:1\n")
    assert refused() == ["password_breached"]
    assert refused("another lamp under 7 stairs") == []


@given(
    st.lists(st.integers(0, 16**40 - 1), min_size=1, max_size=40, unique=True),
    st.integers(0, 16**40 - 1),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
@how(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_in_the_file_every_digest_is_found_and_no_other(
    tmp_path: Path, numbers: list[int], other: int, end: str, last: bool
) -> None:
    listed = tmp_path / "breached.txt"
    digests = sorted(f"{number:040X}" for number in numbers)
    lines = [f"{digest}:{n * 37}" for n, digest in enumerate(digests)]
    listed.write_bytes((end.join(lines) + (end if last or len(lines) == 1 else "")).encode())
    assert all(breached.in_file(str(listed), digest) for digest in digests)
    assert breached.in_file(str(listed), f"{other:040X}") is (other in numbers)


@pytest.mark.parametrize("content", [b"", b"not a list\n", b"\x00" * 100])
def test_a_list_that_is_none_is_found_before_the_service_starts(
    settings: LazySettings, tmp_path: Path, content: bytes
) -> None:
    listed = tmp_path / "breached.txt"
    listed.write_bytes(content)
    settings.BREACHED_PASSWORDS_FILE = str(listed)
    assert [found.id for found in checks.breached_passwords_can_be_asked(None)] == ["companion.E014"]
    settings.BREACHED_PASSWORDS_FILE, settings.BREACHED_PASSWORDS_URL = "", "http://ranges.example/range"
    assert [found.id for found in checks.breached_passwords_can_be_asked(None)] == ["companion.E014"]
    settings.BREACHED_PASSWORDS_URL = "https://ranges.example/range"
    assert checks.breached_passwords_can_be_asked(None) == []
