"""Hospitals' queue boards: each in turn tells, in one signed message, where some of its people stand."""

import http.client
import json
import threading
import time
from datetime import UTC, datetime

from hospitals.connectors import codec, push
from hospitals.connectors.base import EventType, QueuePosition

HOSPITALS = 20
EVENTS_A_SECOND, BATCHES_A_SECOND = 500, 20


class Board(threading.Thread):
    """One line that is kept open; sends these messages, each at its time."""

    def __init__(self, port: int, rows: list[dict[str, str]], secrets: list[str], messages: list[int]) -> None:
        super().__init__()
        self.link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.rows, self.secrets, self.messages = rows, secrets, messages
        self.sent: list[tuple[str, float]] = []  # of each event its visit and when its message was begun
        self.refused = 0
        self.began = 0.0

    def run(self) -> None:
        size = EVENTS_A_SECOND // BATCHES_A_SECOND
        for number in self.messages:
            hospital, turn = number % HOSPITALS, number // HOSPITALS
            mine = self.rows[hospital::HOSPITALS]
            whom = [mine[(turn * size + n) % len(mine)]["visit"] for n in range(size)]
            events = [self._event(visit, number, n) for n, visit in enumerate(whom)]
            body = b'{"events":[' + b",".join(events) + b"]}"
            time.sleep(max(0.0, self.began + number / BATCHES_A_SECOND - time.monotonic()))
            self.sent += [(visit, time.monotonic()) for visit in whom]
            headers = push.sign(self.secrets[hospital], f"board-{number}", body) | {"hospital-code": f"h{hospital}"}
            path = "/api/hospitals/v1/events/batch/"
            self.link.request("POST", path, body, headers | {"content-type": "application/json"})
            answer = self.link.getresponse()
            said = json.loads(answer.read())
            self.refused += sum(a["status"] != "accepted" for a in said.get("answers", [{"status": answer.status}]))

    @staticmethod
    def _event(visit: str, number: int, n: int) -> bytes:
        where = QueuePosition(
            "071", 4 + n % 5, "063", "7-1-B-01", "眼科检查一区", "7号楼1楼B区", datetime.now(UTC), 5, 9
        )
        kind, at = EventType.QUEUE_CHANGED, datetime.now(UTC)
        return codec.encode(f"board-{number}-{n}", kind, visit, number + 1, at, where)
