"""A hospital's system on a real socket that resets, falls silent, trickles or answers nonsense by a seeded dice."""

import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

MOODS = ("well", "well", "reset", "reset after", "silent", "trickle", "nonsense", "busy")
TRICKLE_S = 0.1


class FaultyHis:
    """Acts once on each idempotency key; what became of each call is a line of ``log``. ``heal`` ends the faults."""

    def __init__(self, seed: int, log: Path) -> None:
        self._dice, self._lock, self._log = random.Random(seed), threading.Lock(), log.open("a")
        self.faulty = True
        self.acted: Counter[str] = Counter()
        self.acknowledged: set[str] = set()
        self.moods: Counter[str] = Counter()
        self.order: list[tuple[str, str]] = []  # (appointment, kind) as acted on
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def heal(self) -> None:
        self.faulty = False

    def close(self) -> None:
        self._server.close()
        self._log.close()

    def _serve(self) -> None:
        while True:
            try:
                link, _address = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(link,), daemon=True).start()

    def _talk(self, link: socket.socket) -> None:
        with link:
            try:
                command = self._read(link)
                with self._lock:
                    mood = self._dice.choice(MOODS) if self.faulty else "well"
                if mood not in ("reset", "busy"):  # those are met before anything is done
                    self._act(command)
                self._answer(link, mood, command)
                ended = mood
            except (OSError, ValueError) as error:
                command, ended = {}, type(error).__name__  # the caller was killed in the middle of its call
        with self._lock:
            self.moods[ended] += 1
            if not self._log.closed:
                self._log.write(json.dumps({"key": command.get("idempotency_key"), "outcome": ended}) + "\n")

    @staticmethod
    def _read(link: socket.socket) -> dict[str, Any]:
        link.settimeout(5)
        data = b""
        while b"\r\n\r\n" not in data:
            data += FaultyHis._more(link)
        head, _blank, body = data.partition(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        while len(body) < length:
            body += FaultyHis._more(link)
        value: dict[str, Any] = json.loads(body)
        return value

    @staticmethod
    def _more(link: socket.socket) -> bytes:
        if not (found := link.recv(65536)):
            raise ConnectionError
        return found

    def _act(self, command: dict[str, Any]) -> None:
        with self._lock:
            if command["idempotency_key"] not in self.acted:
                self.order.append((command["appointment_id"], command["kind"]))
                self.acted[command["idempotency_key"]] += 1

    def _answer(self, link: socket.socket, mood: str, command: dict[str, Any]) -> None:
        if mood.startswith("reset"):
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        if mood == "silent":
            time.sleep(2)
            return
        body = b"<html>proxy</html>" if mood == "nonsense" else b'{"accepted": true, "reference": "R1"}'
        status = "503 busy" if mood == "busy" else "200 OK"
        whole = f"HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
        if mood == "trickle":
            for byte in whole:
                link.sendall(bytes([byte]))
                time.sleep(TRICKLE_S)
        else:
            link.sendall(whole)
            if mood == "well":
                with self._lock:
                    self.acknowledged.add(command["idempotency_key"])
