"""A small hospital that takes signed POSTs: it checks the signature, does each command once by its key, and has events to tell.

``moods`` is how it behaves towards the next messages, then it is well: "refuse" says no with words, "silence" does it and does
not answer, "503" is out of order, "elsewhere" redirects. ``told`` are its events, in its order, as our door wants them.
"""

import contextlib
import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from hospitals.connectors import push

WORDS = "这个号医院窗口刚刚挂出去了"
DUE_FEN = 2000  # what its bills ask for
Told = dict[str, Any]


class WebhookPeer:
    def __init__(self, secret: str = "", slot: str = "T1") -> None:
        self.secret, self.slot = secret or push.new_secret(), slot
        self.moods: list[str] = []
        self.received: list[Told] = []
        self.heads: list[dict[str, str]] = []
        self.visits: dict[str, str] = {}  # appointment → what it is now
        self.paid: dict[str, bool] = {}  # bill → whether
        self.bills: dict[str, str] = {}  # bill → appointment
        self.done: dict[str, Told] = {}  # key → what was answered when it was done
        self.told: list[Told] = []
        self._stop = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/commands"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        if not self._stop.is_set():
            self._stop.set()
            self._http.shutdown()
            self._http.server_close()
            self._thread.join()

    # --- commands -----------------------------------------------------------------------------------------

    def take(self, headers: dict[str, str], body: bytes) -> tuple[str, int, Told]:
        """(mood, status, answer). Raises ``BadSignature`` for what nobody signed who knows the secret."""
        push.verify([self.secret], headers, body)
        said = json.loads(body)
        self.received.append(said)
        self.heads.append(headers)
        mood = self.moods.pop(0) if self.moods else ""
        if mood == "refuse":
            return mood, 200, {"accepted": False, "reason": WORDS}
        if mood.isdigit():
            return mood, int(mood), {}
        return mood, 200, self._once(said)

    def _once(self, said: Told) -> Told:
        if said["kind"] == "ping":
            return {}
        key = said["idempotency_key"]
        if key not in self.done:
            fault = self._do(said)
            if fault:
                return {"accepted": False, "reason": fault}
            self.done[key] = {"accepted": True, "reference": f"R{len(self.done) + 1}"}
        return self.done[key]

    def _do(self, said: Told) -> str:
        """Do it; why not, if it is refused."""
        kind, visit = said["kind"], said["appointment_id"]
        stage = self.visits.get(visit, "")
        if kind == "book":
            if said["slot"] != self.slot or not said["patient"]["id_number"]:
                return "医院没有这个号源"
            self._move(visit, "booked", "appointment.booked")
        elif not stage:
            return "没有这个预约"
        elif kind == "check_in":
            if stage != "booked":
                return "现在不能取号"
            self._move(visit, "arrived", "encounter.checked_in", self._queue(4))
        elif kind == "cancel":
            if stage != "booked":
                return "已经就诊,不能取消"
            self._move(visit, "cancelled", "appointment.cancelled", {"text": "应您的要求取消"})
        else:
            bill = said["data"]["invoice_id"]
            if self.bills.get(bill) != visit or self.paid[bill]:
                return "没有这笔费用"
            if (said["data"]["amount_fen"], said["data"]["currency"]) != (DUE_FEN, "CNY"):
                return "这笔费用的金额已经变了"
            self.paid[bill] = True
            self._tell(visit, "invoice.paid", {"id": bill})
        return ""

    # --- the hospital's own doing -------------------------------------------------------------------------

    def bill(self, visit: str) -> str:
        """Issue a bill; its id."""
        bill = f"B{len(self.bills) + 1}"
        self.bills[bill], self.paid[bill] = visit, False
        money = {"total_fen": 3000, "insurance_fen": 3000 - DUE_FEN, "self_pay_fen": DUE_FEN}
        lines = [{"name": "散瞳", "amount_fen": 3000}]
        self._tell(visit, "invoice.issued", {"id": bill, "title": "检查费", "lines": lines, **money})
        return bill

    def live(self) -> None:
        """Every visit goes one step further, unless it is the patient's turn."""
        for visit, stage in list(self.visits.items()):
            if stage == "arrived":
                self._move(visit, "called", "encounter.called", self._queue(0))
            elif stage == "called":
                self._move(visit, "started", "encounter.started")
            elif stage == "started":
                self._move(visit, "consulted", "encounter.finished")
                self.bill(visit)
            elif stage == "consulted" and all(paid for bill, paid in self.paid.items() if self.bills[bill] == visit):
                self._move(visit, "closed", "visit.closed")

    def _queue(self, ahead: int) -> Told:
        now = datetime.now(UTC).isoformat()
        room = {"room_code": "EYE", "room_name": "眼科诊区", "place": "门诊楼1楼"}
        return {"ticket": "70", "ahead": ahead, "now_serving": str(70 - ahead), "as_of": now, **room}

    def _move(self, visit: str, stage: str, kind: str, data: Told | None = None) -> None:
        self.visits[visit] = stage
        self._tell(visit, kind, data)

    def _tell(self, visit: str, kind: str, data: Told | None = None) -> None:
        number = len(self.told) + 1
        at = datetime.now(UTC).isoformat()
        event = {"event_id": f"e-{number}", "type": kind, "appointment_id": visit, "sequence": number}
        self.told.append(event | {"occurred_at": at} | ({"data": data} if data else {}))


def _handler(peer: WebhookPeer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            mood, status, told = peer.take(dict(self.headers.items()), body)
            if mood == "silence":
                peer._stop.wait(10)
                return
            raw = json.dumps(told).encode()
            self.send_response(302 if mood == "elsewhere" else status)
            if mood == "elsewhere":
                self.send_header("location", "http://169.254.169.254/latest/")
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def handle(self) -> None:
            with contextlib.suppress(OSError):  # the client gave up waiting, as it should
                super().handle()

        def log_message(self, *args: Any) -> None:
            pass

    return Handler
