"""The other end of MLLP: a hospital's system that takes our commands, and a sender that speaks to our door.

``HisPeer`` does what it is told once for each MSH-10 and answers; ``mood`` is how it behaves towards the next message:
"" accepts, "refuse" answers AE with words, "later" AR with 207, "silence" does it and says nothing, "drop" closes, "garbage"
answers no MLLP, "other" acknowledges another message.
"""

import contextlib
import socket
import ssl
import sys
import threading
from pathlib import Path

from hospitals.connectors.hl7v2.messages import Message, acknowledge, read
from hospitals.connectors.hl7v2.mllp import FramingError, Unframer, frame

DUE = "20.00"  # what its bills ask for


class HisPeer:
    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.mood = ""
        self.words = "这个号医院窗口刚刚挂出去了"
        self.received: list[bytes] = []
        self.done: dict[str, Message] = {}  # MSH-10 → the message it has acted on
        self.appointments: dict[str, str] = {}  # SCH-1 or PV1-19 → what it is now
        self._stop = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        if self._stop.is_set():
            return
        self._stop.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _address = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        unframer = Unframer()
        with connection, contextlib.suppress(FramingError, OSError):
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            while data := connection.recv(65536):
                for raw in unframer.feed(data):
                    self.received.append(raw)
                    mood, self.mood = self.mood, ""
                    if mood == "drop":
                        return
                    reply = self._answer(mood, read(raw))
                    if mood == "silence":
                        self._stop.wait(10)
                        return
                    connection.sendall(b"HTTP/1.1 400\r\n" if mood == "garbage" else frame(reply))

    def _answer(self, mood: str, message: Message) -> bytes:
        if mood == "refuse":
            return acknowledge(message, "AE", sender="HIS", error="204", text=self.words)
        if mood == "later":
            return acknowledge(message, "AR", sender="HIS", error="207", text="busy")
        if mood == "other":
            other = Message((message.first("MSH"),), message.codec)
            return acknowledge(other, "AA", sender="HIS").replace(message.control_id.encode(), b"ANOTHER")
        if message.control_id not in self.done:
            key = message.first("SCH").field(1) or message.first("PV1").field(19)
            before, kind = self.appointments.get(key, ""), message.kind
            if kind != "SIU^S12" and before in ("", "cancelled") and (kind, before) != ("SIU^S15", "cancelled"):
                return acknowledge(message, "AE", sender="HIS", error="204", text="没有这个预约")
            if kind == "DFT^P03" and message.first("FT1").field(11) not in ("", DUE):
                return acknowledge(message, "AE", sender="HIS", error="103", text="这笔费用的金额已经变了")
            self.done[message.control_id] = message
            now = {"SIU^S12": "booked", "SIU^S15": "cancelled", "ADT^A04": "arrived", "DFT^P03": before}[kind]
            self.appointments[key] = now
        return acknowledge(message, "AA", sender="HIS")


def send(port: int, *messages: bytes, pieces: int = 0) -> list[Message]:
    """Send to our door as a hospital would, in pieces of so many bytes; the answers."""
    answers: list[Message] = []
    unframer = Unframer()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        for message in messages:
            raw = frame(message)
            for start in range(0, len(raw), pieces or len(raw)):
                connection.sendall(raw[start : start + (pieces or len(raw))])
            count = len(answers)
            while len(answers) == count:
                data = connection.recv(65536)
                if not data:
                    return answers
                answers += [read(reply) for reply in unframer.feed(data)]
    return answers


if __name__ == "__main__":  # docs/connectors.md, "Try it"
    if len(sys.argv) == 3:
        for answer in send(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()):
            print(answer.first("MSA").field(1), answer.first("ERR").field(3), answer.first("ERR").field(8))
    else:
        local = "tls: false, networks: [127.0.0.0/8], plain_hosts: [127.0.0.1], peers: [127.0.0.1/32]"
        options = f"host: 127.0.0.1, port: {HisPeer().port}, facility: HILL, {local}"
        print(f"try-hl7: {{BACKEND: hl7v2, OPTIONS: {{{options}}}}}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
