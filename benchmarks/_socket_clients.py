"""Ten thousand pages in one process, written for low cost: each keeps its buffer and a few numbers.

Reads one JSON command a line, answers with one: {"do": "open" | "count" | "watch" | "deaf" | "forget"}.
"""

import asyncio
import gc
import json
import os
import resource
import socket
import struct
import sys
import time
from typing import Any

REQUEST = (
    "GET /ws/companion/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:8000\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)
NO_MASK = b"\x00\x00\x00\x00"
VISIT = b'"type":"visit"'
PING_S = 60
SMALL_WINDOWS = 100


def frame(opcode: int, payload: bytes) -> bytes:
    """Masked with zeros, which a server must take and which costs nothing."""
    size = len(payload)
    head = bytes([0x80 | opcode, 0x80 | size]) if size < 126 else struct.pack("!BBH", 0x80 | opcode, 0xFE, size)
    return head + NO_MASK + payload


PING = frame(1, b'{"type":"ping"}')


class Page(asyncio.Protocol):
    """One resident's page."""

    __slots__ = ("book", "buffer", "closed", "number", "ready", "transport", "upgraded")

    def __init__(self, book: "Book", number: int) -> None:
        self.book, self.number = book, number
        self.buffer = b""
        self.upgraded = False
        self.ready: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        self.closed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        if self.number < SMALL_WINDOWS:  # those that may stop reading: a phone's window, not this machine's
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        transport.write(REQUEST.format(port=self.book.port).encode())  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        data = self.buffer + data
        if not self.upgraded:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self.buffer = head
                return
            self.upgraded = head.startswith(b"HTTP/1.1 101")
            if b"permessage-deflate" in head:
                raise RuntimeError("the server compresses: a context a socket")
            self.transport.write(frame(1, json.dumps(self.book.hello(self.number)).encode()))  # type: ignore[attr-defined]
        at = 0
        while len(data) - at >= 2:
            size, begin = data[at + 1] & 0x7F, at + 2
            if size == 126:
                size, begin = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                size, begin = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            if len(data) < begin + size:
                break
            self.take(data[at] & 15, data[begin : begin + size])
            at = begin + size
        self.buffer = data[at:]

    def take(self, opcode: int, payload: bytes) -> None:
        if opcode == 9:
            self.transport.write(frame(10, payload))  # type: ignore[attr-defined]
        elif opcode == 8:
            self.closed = int.from_bytes(payload[:2], "big")
            self.transport.close()
        elif opcode == 1 and VISIT in payload[-400:]:
            self.book.seen.append((self.number, time.monotonic(), payload))
        elif opcode == 1 and self.ready is not None and payload.endswith(b"}") and b'"type":"ready"' in payload:
            self.ready.set_result(None)
            self.ready = None

    def connection_lost(self, error: Exception | None) -> None:
        self.book.open.discard(self)
        self.book.lost[str(self.closed or 1006)] = self.book.lost.get(str(self.closed or 1006), 0) + 1
        if self.ready is not None and not self.ready.done():
            self.ready.set_exception(ConnectionError())


class Book:
    """All the pages of this process."""

    def __init__(self, port: int, hellos: list[dict[str, Any]]) -> None:
        self.port, self.hellos = port, hellos
        self.open: set[Page] = set()
        self.seen: list[tuple[int, float, bytes]] = []
        self.lost: dict[str, int] = {}
        self.again = False

    def hello(self, number: int) -> dict[str, Any]:
        """As the page says it: without a greeting, and on coming back what it shows.

        The events of this benchmark are published only, so that to the database each visit is as it was at the beginning.
        """
        mine = self.hellos[number % len(self.hellos)]
        hello = {"type": "hello", "quietly": True, "token": mine["token"], "conversation": mine["conversation"]}
        return hello | ({"patient": mine["patient"], "visit": {"id": mine["visit"], "number": 0}} if self.again else {})

    async def ping(self) -> None:
        """Each page tries its line once a minute."""
        while True:
            for page in list(self.open):
                page.transport.write(PING)  # type: ignore[attr-defined]
                await asyncio.sleep(PING_S / max(1, len(self.open)))
            await asyncio.sleep(1)

    async def one(self, number: int, gate: asyncio.Semaphore, until: float) -> Page:
        """Open, and again until it is ready: a page does not give up."""
        while True:
            async with gate:
                page = None
                try:
                    address = f"127.0.0.{1 + number % 4}"
                    _, page = await asyncio.get_running_loop().create_connection(
                        lambda: Page(self, number), "127.0.0.1", self.port, local_addr=(address, 0)
                    )
                    assert page.ready is not None
                    await asyncio.wait_for(page.ready, 60)
                except (OSError, ConnectionError, TimeoutError):
                    if time.monotonic() > until:
                        raise
                    if page is not None:
                        page.transport.abort()  # type: ignore[attr-defined]
                else:
                    self.open.add(page)
                    return page
            await asyncio.sleep(0.2)

    async def many(self, first: int, count: int, at_once: int) -> dict[str, Any]:
        gate, until = asyncio.Semaphore(at_once), time.monotonic() + 600
        started = time.monotonic()
        await asyncio.gather(*(self.one(number, gate, until) for number in range(first, first + count)))
        return {"open": len(self.open), "seconds": time.monotonic() - started}

    async def do(self, command: dict[str, Any]) -> Any:
        kind = command["do"]
        if kind == "open":
            self.again = command.get("again", False)
            return await self.many(command["first"], command["count"], command["at_once"])
        if kind == "count":
            return {"open": len(self.open), "lost": self.lost}
        if kind == "deaf":  # they stop reading
            for page in self.open:
                if page.number in command["numbers"]:
                    page.transport.pause_reading()  # type: ignore[attr-defined]
            return {}
        seen, self.seen, self.lost = self.seen, [], {}
        return [(number, at, json.loads(payload)) for number, at, payload in seen]


async def main() -> None:
    gc.disable()  # a pause of these ten thousand pages would count as the server's
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0, "rb"))
    plan = json.loads(await reader.readline())
    book = Book(plan["port"], plan["hellos"])
    pinging = asyncio.create_task(book.ping())
    while line := await reader.readline():
        print(json.dumps(await book.do(json.loads(line))), flush=True)
    pinging.cancel()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
    sys.exit(0)
