"""A small server of the transit engine's protocol, on this machine, that can be told to misbehave."""

import base64
import json
import os
import re
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY = "health-companion"
CIPHERTEXT = re.compile(r"vault:v(\d+):(.+)")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "TransitStub"

    def log_message(self, *_args: Any) -> None:
        """Nothing is said."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, body))
        fault = self.server.faults.popleft() if self.server.faults else None
        if fault is not None:
            fault(self)
            return
        if self.headers["x-vault-token"] not in self.server.tokens:
            self.say(403, {"errors": ["permission denied"]})
            return
        self.say(*self.server.answer(self.path, body))

    def say(self, status: int, told: Any) -> None:
        self.say_raw(status, json.dumps(told).encode())

    def say_raw(self, status: int, body: bytes, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)


class TransitStub(ThreadingHTTPServer):
    """``keys``: by version; ``oldest``: min_decryption_version; ``faults``: what happens to the next requests instead."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.keys = {1: os.urandom(32)}
        self.oldest = 1
        self.tokens = {"s.first"}
        self.faults: deque[Callable[[Handler], None] | None] = deque()
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self) -> None:
        self.shutdown()
        self.server_close()

    def rotate(self) -> None:
        self.keys[max(self.keys) + 1] = os.urandom(32)

    def answer(self, path: str, body: dict[str, str]) -> tuple[int, dict[str, Any]]:
        additional = base64.b64decode(body["associated_data"], validate=True)
        if path == f"/v1/transit/encrypt/{KEY}":
            version, nonce = max(self.keys), os.urandom(12)
            plain = base64.b64decode(body["plaintext"], validate=True)
            sealed = nonce + AESGCM(self.keys[version]).encrypt(nonce, plain, additional)
            text = f"vault:v{version}:{base64.b64encode(sealed).decode()}"
            return 200, {"data": {"ciphertext": text, "key_version": version}}
        if path != f"/v1/transit/decrypt/{KEY}":
            return 400, {"errors": ["encryption key not found"]}
        found = CIPHERTEXT.fullmatch(body["ciphertext"])
        assert found is not None
        version, sealed = int(found[1]), base64.b64decode(found[2], validate=True)
        if version < self.oldest:
            return 400, {"errors": ["ciphertext or signature version is disallowed by policy (too old)"]}
        try:
            plain = AESGCM(self.keys[version]).decrypt(sealed[:12], sealed[12:], additional)
        except InvalidTag:
            return 400, {"errors": ["cipher: message authentication failed"]}
        return 200, {"data": {"plaintext": base64.b64encode(plain).decode()}}


def says(status: int, told: Any) -> Callable[[Handler], None]:
    return lambda handler: handler.say(status, told)


def truncated(handler: Handler) -> None:
    """Less than was announced."""
    handler.say_raw(200, b'{"data": {"ciph', length=500)
    handler.close_connection = True


def reset(handler: Handler) -> None:
    """The connection is torn, not closed."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()


def raw(body: bytes) -> Callable[[Handler], None]:
    return lambda handler: handler.say_raw(200, body)


def silent_until(done: threading.Event) -> Callable[[Handler], None]:
    """No answer while the test lasts."""

    def wait(handler: Handler) -> None:
        done.wait()
        handler.close_connection = True

    return wait
