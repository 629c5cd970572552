"""Hospitals' systems in one process: each path is one; one of them can fall ill. It notes when each command first came.

Commands on stdin, a JSON answer each on stdout: {"do": "ill", "path": "h0", "how": "reset" | "silent" | "trickle" | ""} or {"do": "seen"}.
"""

import asyncio
import json
import os
import socket
import struct
import sys
import time
from typing import Any

ANSWER = b'{"accepted": true, "reference": "R1"}'
ANSWERS_AFTER_S = 0.02
SILENT_S, BYTE_EVERY_S = 30.0, 0.5


class Systems:
    def __init__(self) -> None:
        self.ill: dict[str, str] = {}
        self.seen: dict[str, float] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1].decode().strip("/")
                size = next(
                    int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
                )
                body = await reader.readexactly(size)
                self.seen.setdefault(json.loads(body)["idempotency_key"], time.monotonic())
                await self.answer(writer, self.ill.get(path, ""))
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async def answer(self, writer: asyncio.StreamWriter, how: str) -> None:
        whole = (
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER) + ANSWER
        )
        if how == "reset":
            at_once = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            writer.transport.abort()
            raise OSError
        if how == "silent":
            await asyncio.sleep(SILENT_S)
        elif how == "trickle":
            for byte in whole:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(BYTE_EVERY_S)
            return
        await asyncio.sleep(ANSWERS_AFTER_S)
        writer.write(whole)
        await writer.drain()

    def do(self, command: dict[str, Any]) -> Any:
        if command["do"] == "ill":
            self.ill = {command["path"]: command["how"]}
            return {}
        seen, self.seen = self.seen, {}
        return seen


async def main() -> None:
    systems = Systems()
    server = await asyncio.start_server(systems.serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    reader = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0, "rb"))
    while line := await reader.readline():
        print(json.dumps(systems.do(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
    sys.exit(0)
