"""Many clients on kept connections, in a process of their own; reads a plan from standard input and prints what came.

Plan: {"host", "ports", "connections", "waves": [[[token, patient, slot, key], ...], ...], "together"}. ``together``: each wave is
sent at one moment, one request a connection, and the next waits for it; else a wave is worked off, one request at a time
on each connection. Raw protocols rather than an HTTP client: the load should cost little beside what it loads.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import uvloop

Wish = tuple[str, str, str, str]


class Client(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.buffer = b""
        self.answered: asyncio.Future[int] | None = None
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:  # uvloop's transports are of no asyncio class
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answered and not self.answered.done():
            self.answered.set_result(599)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) >= length and self.answered:
            self.buffer = body[length:]
            self.answered.set_result(int(head[9:12]))

    async def ask(self, wish: Wish) -> tuple[int, float]:
        """(status, milliseconds)."""
        token, patient, slot, key = wish
        body = json.dumps({"patient": patient, "slot": slot, "key": key})
        self.answered = asyncio.get_running_loop().create_future()
        started = time.perf_counter()
        self.transport.write(
            f"POST / HTTP/1.1\r\nhost: {self.host}\r\nauthorization: Bearer {token}\r\n"
            f"content-length: {len(body)}\r\n\r\n{body}".encode()
        )
        status = await self.answered
        return status, (time.perf_counter() - started) * 1000


async def _work_off(client: Client, wishes: Iterator[Wish]) -> list[tuple[int, float]]:
    return [await client.ask(wish) for wish in wishes]


async def main() -> None:
    plan = json.loads(sys.stdin.readline())
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    for number in range(plan["connections"]):
        port = plan["ports"][number % len(plan["ports"])]
        _transport, client = await loop.create_connection(lambda: Client(plan["host"]), plan["host"], port)
        clients.append(client)
    for wave in plan["waves"]:
        started, cpu = time.perf_counter(), time.process_time()
        if plan["together"]:
            answers = await asyncio.gather(*(c.ask(wish) for c, wish in zip(clients, wave, strict=True)))
        else:
            wishes = iter(wave)
            answers = [a for mine in await asyncio.gather(*(_work_off(c, wishes) for c in clients)) for a in mine]
        spent = {"wall_s": time.perf_counter() - started, "cpu_s": time.process_time() - cpu}
        print(json.dumps({"answers": answers, **spent}), flush=True)
    for client in clients:
        client.transport.close()


if __name__ == "__main__":
    uvloop.run(main())
