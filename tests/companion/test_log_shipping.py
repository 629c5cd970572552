"""Log lines to the collector: over TLS, never waited for, counted where they are dropped, and again when it is back."""

import json
import logging
import os
import queue
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.exceptions import ImproperlyConfigured

from companion import checks, log_shipping, observability
from companion.log_shipping import Collector, CollectorHandler, Shipper, collector_at, framed
from tests.hospitals.certificates import certificate

MESSAGE = re.compile(r"<(\d+)>1 (\S+Z) \S+ companion (\d+) - - (.*)", re.S)


class Peer:
    """A collector on this machine that understands RFC 5425's frames. ``deaf``: it takes connections and reads nothing."""

    def __init__(self, certificate_file: str, port: int = 0, *, deaf: bool = False) -> None:
        self.messages: queue.Queue[str] = queue.Queue()
        self.deaf = deaf
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate_file)
        self.open: list[socket.socket] = []
        self.door = socket.create_server(("127.0.0.1", port))
        self.port = self.door.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                plain, _address = self.door.accept()
                threading.Thread(target=self._read, args=(plain,), daemon=True).start()

    def _read(self, plain: socket.socket) -> None:
        with suppress(OSError, ValueError):
            connection = self.context.wrap_socket(plain, server_side=True)
            self.open.append(connection)
            if self.deaf:
                return
            stream = connection.makefile("rb")
            while length := b"".join(iter(lambda: stream.read(1).strip(), b"")):
                self.messages.put(stream.read(int(length)).decode())

    def hears(self) -> tuple[int, int, str]:
        """The next message's priority, process and text."""
        found = MESSAGE.fullmatch(self.messages.get(timeout=10))
        assert found
        return int(found[1]), int(found[3]), found[4]

    def goes(self) -> None:
        with suppress(OSError):
            self.door.shutdown(socket.SHUT_RDWR)
        self.door.close()
        for connection in self.open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


def until(true: Callable[[], bool]) -> None:
    for _again in range(1000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to that")


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> str:
    return certificate(tmp_path_factory.mktemp("tls"), "localhost")


@pytest.fixture
def peer(pem: str) -> Iterator[Peer]:
    made = Peer(pem)
    yield made
    made.goes()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_shipping, "RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(log_shipping, "RETRY_LONGEST_S", 0.02)
    monkeypatch.setattr(log_shipping, "NETWORK_S", 0.5)


@pytest.fixture
def told() -> Iterator[list[dict[str, Any]]]:
    """What the shipping says of itself on stderr."""
    events: list[dict[str, Any]] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            events.append(dict(record.msg))  # type: ignore[arg-type]

    handler, logger = Listening(), logging.getLogger("companion.log_shipping")
    logger.addHandler(handler)
    yield events
    logger.removeHandler(handler)


def line(text: str) -> bytes:
    return framed(text, logging.INFO, 0.0)


def test_a_line_arrives_as_it_stands_on_stderr(peer: Peer, pem: str) -> None:
    handler = CollectorHandler(Collector("localhost", peer.port, pem))
    shape = observability.LOGGING["formatters"]["json"]
    handler.setFormatter(shape["()"](**{k: v for k, v in shape.items() if k != "()"}))
    logger = logging.getLogger("tests.shipped")
    logger.addHandler(handler)
    try:
        logger.error("没有应答", extra={"name_of_hers": "陈玉兰"})
    finally:
        logger.removeHandler(handler)
    priority, process, text = peer.hears()
    said = json.loads(text)
    assert (priority, process) == (16 * 8 + 3, os.getpid())
    assert said["event"] == "没有应答" and said["level"] == "error" and "陈玉兰" not in text


@pytest.mark.parametrize(("level", "severity"), [(50, 2), (40, 3), (30, 4), (20, 6), (10, 7), (25, 6)])
def test_levels_are_syslog_s(level: int, severity: int) -> None:
    length, _space, message = framed("眼", level, 1_795_000_000.25).partition(b" ")
    assert int(length) == len(message)
    found = MESSAGE.fullmatch(message.decode())
    assert found and (int(found[1]), found[2]) == (128 + severity, "2026-11-18T11:06:40.250Z")


def test_while_it_is_away_nobody_waits_and_what_does_not_fit_is_counted(
    peer: Peer, pem: str, told: list[dict[str, Any]]
) -> None:
    peer.goes()
    shipper = Shipper(Collector("localhost", peer.port, pem), waiting=5)
    shipper.put(line("first"))
    until(lambda: [event["event"] for event in told] == ["log_collector_away"])
    began = time.perf_counter()
    for n in range(1000):
        shipper.put(line(str(n)))
    assert time.perf_counter() - began < 0.5
    assert shipper.dropped == 995
    back = Peer(pem, peer.port)
    try:
        assert [back.hears()[2] for _ in range(6)] == ["first", "0", "1", "2", "3", "4"]
        until(lambda: len(told) == 3)
    finally:
        back.goes()
    assert [event["event"] for event in told[1:]] == ["log_collector_back", "logs_dropped"]
    assert told[2]["count"] == 995 and shipper.dropped == 0


def test_after_a_restart_of_the_collector_no_line_is_lost_in_the_old_connection(peer: Peer, pem: str) -> None:
    shipper = Shipper(Collector("localhost", peer.port, pem))
    shipper.put(line("before"))
    assert peer.hears()[2] == "before"
    peer.goes()
    back = Peer(pem, peer.port)
    try:
        shipper.put(line("after"))
        assert back.hears()[2] == "after"
    finally:
        back.goes()


def names(told: list[dict[str, Any]]) -> set[str]:
    return {event["event"] for event in told}


def test_a_collector_that_never_reads_holds_nobody_up(
    pem: str, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_shipping, "NETWORK_S", 0.5)
    deaf = Peer(pem, deaf=True)
    shipper = Shipper(Collector("localhost", deaf.port, pem), waiting=50)
    try:
        for _again in range(300):
            shipper.put(line("x" * 100_000))
        # each new connection takes some megabytes into its buffers: the count may have been told already
        until(lambda: "log_collector_away" in names(told) and (shipper.dropped > 0 or "logs_dropped" in names(told)))
    finally:
        deaf.goes()
        shipper.leave()


def test_a_collector_that_cannot_show_who_it_is_is_told_nothing(
    peer: Peer, tmp_path: Path, told: list[dict[str, Any]]
) -> None:
    for host, ca_file in (("localhost", certificate(tmp_path, "localhost")), ("127.0.0.1", "")):
        shipper = Shipper(Collector(host, peer.port, ca_file))
        shipper.put(line("secret"))
        until(lambda: bool(told))
        assert told.pop()["reason"] == "SSLCertVerificationError"
        shipper.leave()
    assert peer.messages.empty()


def test_a_forked_worker_sends_over_a_connection_of_its_own(peer: Peer, pem: str) -> None:
    shipper = Shipper(Collector("localhost", peer.port, pem))
    shipper.put(line("parent"))
    assert peer.hears()[1:] == (os.getpid(), "parent")
    child = os.fork()
    if child == 0:
        shipper.put(line("child"))
        shipper.leave()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert peer.hears()[1:] == (child, "child")
    shipper.put(line("parent again"))
    assert peer.hears()[1:] == (os.getpid(), "parent again")


def test_what_waits_when_the_process_ends_is_still_sent(peer: Peer, pem: str) -> None:
    shipper = Shipper(Collector("localhost", peer.port, pem))
    for n in range(100):
        shipper.put(line(str(n)))
    shipper.leave()
    assert [peer.hears()[2] for _ in range(100)] == [str(n) for n in range(100)]


def test_every_line_goes_both_ways_and_what_is_not_ours_without_its_arguments(peer: Peer, pem: str) -> None:
    whole = observability.shipped(observability.LOGGING, Collector("localhost", peer.port, pem))
    for name, entry in observability.LOGGING["loggers"].items():
        ways = [way for way in whole["loggers"][name]["handlers"] if way in entry["handlers"]]
        assert ways == entry["handlers"] and len(whole["loggers"][name]["handlers"]) == 2 * len(ways)
    says = (
        "import django, logging, structlog; django.setup();"
        "structlog.get_logger('companion.x').info('request', status=200, name_of_hers='陈玉兰');"
        "logging.getLogger('somebody.elses').warning('cannot read %s', '陈玉兰')"
    )
    there = {"COMPANION_LOG_COLLECTOR": f"tls://localhost:{peer.port}", "COMPANION_LOG_CA_FILE": pem}
    there["DJANGO_SETTINGS_MODULE"] = "companion.settings"
    ran = subprocess.run(
        [sys.executable, "-c", says], env=os.environ | there, capture_output=True, text=True, timeout=60
    )
    heard = [json.loads(peer.hears()[2]) for _ in range(2)]
    seen = [json.loads(text) for text in ran.stderr.splitlines()]
    for said in (*heard, *seen):
        assert said.pop("timestamp")  # of the moment at which it was formatted
    assert seen == heard
    assert [said["event"] for said in heard] == ["request", "cannot read %s"]
    assert "陈玉兰" not in str(heard)


@pytest.mark.parametrize(
    "address", ["logs.example:6514", "http://logs.example", "tls://", "tls://logs:port", "tls://a/b"]
)
def test_an_address_that_is_none_is_refused_at_the_start(address: str) -> None:
    with pytest.raises(ImproperlyConfigured):
        collector_at(address)


def test_the_usual_port_need_not_be_named() -> None:
    assert collector_at("") is None
    assert collector_at("tls://logs.example") == Collector("logs.example", 6514)


def test_certificates_that_are_not_there_are_found_before_the_first_line(settings: LazySettings, pem: str) -> None:
    settings.LOG_COLLECTOR = Collector("logs.example", 6514, pem)
    assert checks.logs_have_a_place(None) == []
    settings.LOG_COLLECTOR = Collector("logs.example", 6514, "/nowhere.pem")
    assert [found.id for found in checks.logs_have_a_place(None)] == ["companion.E013"]
    settings.LOG_COLLECTOR, settings.MODE = None, "production"
    assert [found.id for found in checks.logs_have_a_place(None)] == ["companion.W004"]
