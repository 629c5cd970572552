"""A hospital applies, is given the connection that the operator set up for it, passes, and goes live."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from hospitals.connectors import push
from hospitals.models import Hospital
from hospitals.services import access, conformance, connecting, onboarding
from tests.hospitals.joining import OFFICER, V1, Joined, fill

pytestmark = pytest.mark.django_db
SECRET = push.new_secret()


class River:
    """A hospital's system: does each command once, and keeps what it has to tell."""

    def __init__(self) -> None:
        self.answers: dict[str, dict[str, Any]] = {}
        self.known: set[str] = set()
        self.ended: set[str] = set()
        self.to_tell: list[tuple[str, str, Any]] = []

    def take(self, said: dict[str, Any]) -> dict[str, Any]:
        key = said["idempotency_key"]
        if key not in self.answers:
            self.answers[key] = self._do(**said)
        return self.answers[key]

    def _do(self, *, kind: str, appointment_id: str, slot: str, data: dict[str, Any], **_more: Any) -> dict[str, Any]:
        here, no = appointment_id in self.known, {"accepted": False, "reason": "没有"}
        if kind == "book":
            if slot != "T1":
                return no
            self.known.add(appointment_id)
            self._tell(appointment_id, "appointment.booked")
            return {"accepted": True, "reference": f"R{len(self.known)}"}
        if not here or (kind == "cancel" and appointment_id in self.ended):
            return no
        if kind == "cancel":
            self._tell(appointment_id, "appointment.cancelled", {"text": "患者取消"})
        elif kind == "check_in":
            place = {"ticket": "7", "ahead": 0, "now_serving": "6", "room_code": "", "room_name": "诊室", "place": ""}
            self._tell(appointment_id, "encounter.checked_in", place | {"as_of": timezone.now().isoformat()})
            self._tell(appointment_id, "encounter.called", place | {"as_of": timezone.now().isoformat()})
            self._tell(appointment_id, "encounter.started")
            self._tell(appointment_id, "encounter.finished")
            bill = {"id": "B1", "title": "诊查费", "lines": [{"name": "诊查费", "amount_fen": 2500}]}
            sums = {"total_fen": 2500, "insurance_fen": 0, "self_pay_fen": 2500}
            self._tell(appointment_id, "invoice.issued", bill | sums)
        elif (data["invoice_id"], data["amount_fen"]) != ("B1", 2500):
            return no
        else:
            self._tell(appointment_id, "invoice.paid", {"id": "B1"})
            self._tell(appointment_id, "visit.closed")
            self.ended.add(appointment_id)
        return {"accepted": True}

    def _tell(self, appointment_id: str, kind: str, data: Any = None) -> None:
        self.to_tell.append((appointment_id, kind, data))


@pytest.fixture()
def river() -> River:
    return River()


@pytest.fixture()
def operator(river: River, settings: Any, tmp_path: Path) -> Iterator[None]:
    """The hospital's address answers, and the operator's file names it river-push."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = json.dumps(river.take(json.loads(self.rfile.read(int(self.headers["content-length"]))))).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "connectors.yaml").write_text(
        f"river-push: {{BACKEND: webhook, OPTIONS: {{url: 'http://127.0.0.1:{server.server_port}/', "
        f"secret_file: {tmp_path / 'secret'}, networks: [127.0.0.0/8], plain_hosts: [127.0.0.1]}}}}\n"
    )
    settings.HOSPITALS_CONNECTORS_FILE = str(tmp_path / "connectors.yaml")
    connecting.forget()
    cache.clear()
    yield
    server.shutdown()
    server.server_close()
    connecting.forget()


def tell_all(river: River, hospital: Joined, sequence: Iterator[int]) -> None:
    told, river.to_tell = river.to_tell, []
    for appointment_id, kind, data in told:
        event = {
            "event_id": uuid4().hex,
            "type": kind,
            "appointment_id": appointment_id,
            "sequence": next(sequence),
            "occurred_at": timezone.now().isoformat(),
            "data": data,
        }
        body = json.dumps(event).encode()
        headers = push.sign(hospital.signing_secret, uuid4().hex, body) | {"hospital-code": hospital.code}
        answer = Client().post(f"{V1}/events/", body, content_type="application/json", headers=headers)
        assert answer.status_code == 202, (kind, answer.content)


def test_from_the_application_to_live(operator: None, river: River) -> None:
    asked = {
        "code": "river",
        "name": "河口医院",
        "city": "岚州市",
        "licence_number": "PDY0001",
        "connector": "push",
        "contact": {"name": "王工", "phone": "13900000001", "email": "it@river.example"},
    }
    answer = Client().post(f"{V1}/applications/", asked, content_type="application/json").json()
    row = Hospital.objects.get(id=answer["hospital_id"])
    onboarding.verify(hospital_id=row.id, actor=OFFICER, reason="证照齐全")
    call_command("onboard", "river", "--connector", "river-push", "--by", "officer-li", "--because", "回调已经设好")
    claimed = onboarding.claim_credentials(hospital_id=row.id, environment="sandbox")
    client, token = access.client(claimed.client.client_id), access.new_token()
    assert client is not None
    access.keep_token(client, token, list(access.SCOPES))
    hospital = Joined(row.id, "river", answer["claim"], client.id, claimed.signing_secret, token)
    fill(hospital)

    run, sequence = conformance.start(hospital_id=row.id, actor=OFFICER), iter(range(1, 100))
    for _look in range(8):
        tell_all(river, hospital, sequence)
        run = conformance.look(hospital_id=row.id, run_id=run.id, actor=OFFICER)
    assert run.passed, [point for point in run.points if not point["passed"]]
    onboarding.go_live(hospital_id=row.id, actor=OFFICER, reason="同意上线")
    row.refresh_from_db()
    assert (row.state, row.connector) == ("live", "river-push")
