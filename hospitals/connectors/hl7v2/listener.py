"""The open door for HL7 v2: an MLLP server that lets in who is on the list and answers each message before the next.

It knows no hospital and no database: ``admit`` says who a peer is, ``take`` turns a message into its acknowledgement.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog

from hospitals.connectors.hl7v2.mllp import MAX_BYTES, FramingError, Unframer, frame

log = structlog.get_logger(__name__)

IDLE_S, WRITE_S = 300.0, 30.0
CONNECTIONS_PER_PEER, CONNECTIONS = 8, 500
Who = TypeVar("Who")


class Listener(Generic[Who]):
    """``admit(address)`` gives whoever may speak from there, or None; ``take(who, message)`` the answer's bytes."""

    def __init__(
        self,
        admit: Callable[[str], Awaitable[Who | None]],
        take: Callable[[Who, bytes], Awaitable[bytes]],
        *,
        max_bytes: int = MAX_BYTES,
        idle_s: float = IDLE_S,
        per_peer: int = CONNECTIONS_PER_PEER,
    ) -> None:
        self._admit, self._take = admit, take
        self._max_bytes, self._idle_s, self._per_peer = max_bytes, idle_s, per_peer
        self._open: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen; returns the port, which is chosen by the system when 0 was asked for."""
        self._server = await asyncio.start_server(self._meet, host, port, ssl=tls)
        chosen: int = self._server.sockets[0].getsockname()[1]
        return chosen

    async def serve_forever(self) -> None:
        assert self._server is not None
        await self._server.serve_forever()

    async def stop(self) -> None:
        """Take no more. A message under way is still stored; its answer may be lost, and then it is sent again."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("peername")
        if address is None:  # reset before it was met
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = str(address[0])
        self._open[peer] += 1
        try:
            if self._open[peer] > self._per_peer or self._open.total() > CONNECTIONS:
                log.warning("mllp_crowded", count=self._open.total())
                return
            who = await self._admit(peer)
            if who is None:
                log.warning("mllp_stranger")
                return
            await self._talk(who, reader, writer)
        except (FramingError, TimeoutError, ConnectionError, ssl.SSLError) as error:
            log.info("mllp_closed", code=type(error).__name__)
        finally:
            self._open[peer] -= 1
            if not self._open[peer]:
                del self._open[peer]
            self._tasks.discard(task)
            writer.close()

    async def _talk(self, who: Who, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        unframer = Unframer(self._max_bytes)
        while True:
            data = await asyncio.wait_for(reader.read(65536), self._idle_s)
            if not data:
                return
            for message in unframer.feed(data):
                # shielded: a stop in the middle lets the message be stored and only its answer be lost; it comes again
                writer.write(frame(await asyncio.shield(self._take(who, message))))
                await asyncio.wait_for(writer.drain(), WRITE_S)
