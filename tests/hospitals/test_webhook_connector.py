"""Commands as signed POSTs: signed so that it can be checked, sent again with the same key, every answer understood."""

import json
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from hospitals.connectors import push
from hospitals.connectors.base import Acknowledgement, Command, CommandKind, PatientCard
from hospitals.connectors.webhook import FiledWebhookConnector
from hospitals.exceptions import AddressRefused, ConnectorRefused, ConnectorUnavailable
from hospitals.services import connecting

SECRET = push.new_secret()
CARD = PatientCard("测试患者", "990101199001010013", "10000000000", date(1990, 1, 1), "female")
Told = tuple[int, Any]


class Hospital:
    """What it was sent, and what it will answer next (the last answer again and again)."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[Told] = [(200, {"accepted": True, "reference": "R1"})]

    def take(self, headers: dict[str, str], body: bytes) -> Told:
        self.received.append((headers, body))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def hospital() -> Hospital:
    return Hospital()


@pytest.fixture
def connector(hospital: Hospital, tmp_path: Path) -> Iterator[FiledWebhookConnector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, told = hospital.take(dict(self.headers.items()), body)
            raw = told if isinstance(told, bytes) else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    yield FiledWebhookConnector(
        url=f"http://127.0.0.1:{server.server_port}/commands",
        secret_file=str(secret),
        networks=["127.0.0.0/8"],
        plain_hosts=["127.0.0.1"],
    )
    server.shutdown()
    server.server_close()


def command(kind: CommandKind = CommandKind.BOOK, **changes: Any) -> Command:
    facts: dict[str, Any] = {
        "kind": kind,
        "idempotency_key": "pay:1:账单-1",
        "hospital_id": UUID(int=1),
        "appointment_id": str(UUID(int=2)),
        "slot_identifier": "T1",
        "patient": CARD if kind is CommandKind.BOOK else None,
    }
    return Command(**(facts | changes))


def test_a_command_is_signed_and_carries_what_the_hospital_needs(
    hospital: Hospital, connector: FiledWebhookConnector
) -> None:
    assert connector.execute(command()) == Acknowledgement(True, "R1")
    ((headers, body),) = hospital.received
    push.verify([SECRET], headers, body)
    said = json.loads(body)
    assert (said["kind"], said["slot"], said["patient"]["birth_date"]) == ("book", "T1", "1990-01-01")
    connector.execute(command(CommandKind.PAY, data={"invoice_id": "账单-1"}))
    assert json.loads(hospital.received[1][1])["patient"] is None


def test_a_repetition_has_the_same_ids(hospital: Hospital, connector: FiledWebhookConnector) -> None:
    hospital.answers = [(503, b""), (200, {"accepted": True})]
    assert connector.execute(command()).accepted
    (first, body), (second, again) = hospital.received
    assert body == again and first["webhook-id"] == second["webhook-id"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((200, {"accepted": False, "reason": "号源已满"}), Acknowledgement(False, "", "号源已满")),
        ((409, {"reason": "已就诊"}), Acknowledgement(False, "", "已就诊")),
        ((404, {"accepted": True}), Acknowledgement(False)),
        ((202, {"accepted": True, "reference": None}), Acknowledgement(True)),
    ],
)
def test_yes_and_no(
    hospital: Hospital, connector: FiledWebhookConnector, answer: Told, expected: Acknowledgement
) -> None:
    hospital.answers = [answer]
    assert connector.execute(command()) == expected


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((500, b""), ConnectorUnavailable),
        ((401, {"accepted": False}), ConnectorUnavailable),
        ((200, b"<html>"), ConnectorUnavailable),
        ((200, {"ok": 1}), ConnectorUnavailable),
        ((200, [1]), ConnectorUnavailable),
        ((200, b"x" * 100_000), ConnectorUnavailable),
        ((422, b"no"), ConnectorRefused),
    ],
)
def test_what_is_no_answer_is_tried_again_later(
    hospital: Hospital, connector: FiledWebhookConnector, answer: Told, error: type[Exception]
) -> None:
    hospital.answers = [answer]
    with pytest.raises(error):
        connector.execute(command())


@pytest.mark.parametrize("url", ["https://127.0.0.1/x", "http://hospital.example/", "file:///etc/passwd"])
def test_no_address_inside_is_ever_called(url: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    with pytest.raises(AddressRefused):
        FiledWebhookConnector(url=url, secret_file=str(secret))


def test_it_is_set_up_by_its_short_name(settings: Any, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    options = {"url": "https://hospital.example/commands", "secret_file": str(secret)}
    settings.HOSPITALS_CONNECTORS = {"river-push": {"BACKEND": "webhook", "OPTIONS": options}}
    connecting._made.cache_clear()
    assert isinstance(connecting._made("river-push"), FiledWebhookConnector)
    settings.HOSPITALS_CONNECTORS["river-push"]["OPTIONS"] = options | {"secret_file": str(tmp_path / "none")}
    connecting._made.cache_clear()
    with pytest.raises(ConnectorUnavailable):
        connecting._made("river-push")
    connecting._made.cache_clear()
