"""A language model server on a real socket that says what a test tells it to, and fails on purpose.

``with ModelStub() as stub: stub.will(Words("您好"), Status(500), Stall())`` answers the requests in that order and
repeats the last one. Each answer is a script of bytes; nothing sleeps: a stall waits until the client or the stub
goes away.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol, Self


class Out(Protocol):
    """What a script writes to."""

    def write(self, data: bytes) -> None: ...

    def wait(self) -> None:
        """Until the client hangs up or the stub ends."""
        ...


def event(**chunk: Any) -> bytes:
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode()


def delta(text: str) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": text}}])


def finish(reason: str = "stop", tokens: int | None = None) -> bytes:
    end = event(choices=[{"index": 0, "delta": {}, "finish_reason": reason}])
    if tokens is not None:
        end += event(choices=[], usage={"prompt_tokens": tokens - 1, "completion_tokens": 1, "total_tokens": tokens})
    return end + b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Words:
    """A whole answer. ``by``: characters a delta; ``thinking`` comes first, as reasoning models do it."""

    text: str
    by: int = 3
    tokens: int | None = None
    thinking: str = ""
    reason: str = "stop"

    def pieces(self) -> Iterator[bytes]:
        if self.thinking:
            yield delta("<thi")
            yield delta(f"nk>{self.thinking}</think>\n\n")
        for at in range(0, len(self.text), self.by):
            yield delta(self.text[at : at + self.by])

    def play(self, out: Out) -> None:
        for piece in self.pieces():
            out.write(piece)
        out.write(finish(self.reason, self.tokens))


def Json(value: Any, **more: Any) -> Words:  # noqa: N802  reads as one of the answers
    return Words(json.dumps(value, ensure_ascii=False), **more)


@dataclass(frozen=True)
class Call:
    """A tool call, its arguments cut into two fragments."""

    name: str
    arguments: str = "{}"

    def play(self, out: Out) -> None:
        half = len(self.arguments) // 2
        first = {"index": 0, "id": "c1", "function": {"name": self.name, "arguments": self.arguments[:half]}}
        rest = {"index": 0, "function": {"arguments": self.arguments[half:]}}
        for fragment in (first, rest):
            out.write(event(choices=[{"index": 0, "delta": {"tool_calls": [fragment]}}]))
        out.write(finish("tool_calls"))


@dataclass(frozen=True)
class Status:
    """An HTTP error."""

    code: int
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stall:
    """Says ``said``, keeps the connection alive with comments, and nothing more comes."""

    said: str = ""

    def play(self, out: Out) -> None:
        if self.said:
            out.write(delta(self.said))
        out.write(b": still here\n\n")
        out.wait()


@dataclass(frozen=True)
class Cut:
    """Says ``said`` and drops the connection, without an end of the stream."""

    said: str = ""

    def play(self, out: Out) -> None:
        if self.said:
            out.write(delta(self.said))
        raise ConnectionAbortedError


@dataclass(frozen=True)
class Raw:
    """Any bytes, then the end of the response."""

    data: bytes

    def play(self, out: Out) -> None:
        out.write(self.data)


@dataclass(frozen=True)
class Endless:
    """Writes ``data`` again and again until the client has had enough."""

    data: bytes = b"data: " + b"x" * 4096

    def play(self, out: Out) -> None:
        while True:
            out.write(self.data)


Answer = Words | Call | Status | Stall | Cut | Raw | Endless
Reply = Answer | Callable[[dict[str, Any]], Answer]


class ModelStub:
    """``requests``: bodies as they arrived; ``hung_up``: how many clients left before their answer had ended."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.hung_up = 0
        self.left = threading.Event()
        self._replies: list[Reply] = [Words("好的。")]
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def sent(self) -> str:
        """Everything that ever arrived here, in one string."""
        return json.dumps(self.requests, ensure_ascii=False)

    def will(self, *replies: Reply) -> Self:
        """What the next requests get; the last one stays. A function is given the request's body."""
        with self._lock:
            self._replies = list(replies)
        return self

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def _next(self, body: dict[str, Any], headers: dict[str, str]) -> Answer:
        with self._lock:
            self.requests.append(body)
            self.headers.append(headers)
            reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        return reply(body) if callable(reply) else reply

    def _gone(self) -> None:
        with self._lock:
            self.hung_up += 1
        self.left.set()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # noqa: N802  the library's name
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                answer = stub._next(body, {k.lower(): v for k, v in self.headers.items()})
                if self.path != "/v1/chat/completions":
                    answer = Status(404)
                if isinstance(answer, Status):
                    self.send_response(answer.code)
                    for key, value in {"Content-Length": "0", **answer.headers}.items():
                        self.send_header(key, value)
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                try:
                    answer.play(self)
                    self.wfile.write(b"0\r\n\r\n")
                except ConnectionAbortedError:
                    self._drop()
                except OSError:
                    stub._gone()
                    self._drop()

            def write(self, data: bytes) -> None:
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                self.wfile.flush()

            def wait(self) -> None:
                self.connection.settimeout(0.02)
                while not stub._closing.is_set():
                    try:
                        if self.connection.recv(1) == b"":
                            raise BrokenPipeError
                    except TimeoutError:
                        continue

            def _drop(self) -> None:
                self.close_connection = True
                with _quiet():
                    self.connection.shutdown(socket.SHUT_RDWR)

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet: a test says itself what went wrong."""

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what half of the tests are about."""


class _quiet:
    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> bool:
        return kind is not None and issubclass(kind, OSError)
