"""One child process that runs libespeak-ng, and the pipe to it: started when first needed, killed when it does not answer."""

import asyncio
import contextlib
import json
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from avatar.exceptions import EngineCut, EngineStalled, EngineUnavailable

PROGRAM = (sys.executable, "-I", str(Path(__file__).with_name("espeak_process.py")))
START_S = 10.0
LONGEST_FRAME = 1 << 24


@dataclass(slots=True)
class Heard:
    """What came for one order: ``pcm`` int16 as bytes, ``events`` as espeak_process tells them."""

    pcm: bytearray = field(default_factory=bytearray)
    events: list[tuple[int, int, int, str]] = field(default_factory=list)


class Child:
    """Belongs to the event loop that it was made on. One order at a time; others wait for the lock.

    An order that is cancelled, or is not answered in time, takes its process with it: what it would still write belongs to nobody.
    """

    def __init__(self, program: Sequence[str] = PROGRAM, *, limit_s: float = 5.0) -> None:
        self._program = tuple(program)
        self._limit_s = limit_s
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._dying: list[asyncio.subprocess.Process] = []
        self.sample_rate_hz = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def speak(self, order: dict[str, object]) -> Heard:
        """Raises EngineUnavailable (no child, or it refuses), EngineStalled (no answer in time), EngineCut (it died twice)."""
        async with self._lock:
            for last in (False, True):
                began_anew = await self._ready()
                try:
                    async with asyncio.timeout(self._limit_s):
                        return await self._ask(order)
                except TimeoutError:
                    self._kill()
                    raise EngineStalled(f"libespeak-ng gave no answer in {self._limit_s:g} s.") from None
                except (EOFError, OSError) as error:
                    self._kill()
                    # A child that died while it was idle is no fault of this order: one more try with a new one.
                    if last or began_anew:
                        raise EngineCut("libespeak-ng died while it spoke.") from error
                except BaseException:
                    self._kill()
                    raise
        raise AssertionError("unreachable")

    async def aclose(self) -> None:
        """Kill what runs, and wait until nothing of it is left."""
        self._kill()
        while self._dying:
            process = self._dying.pop()
            await process.communicate()

    async def _ready(self) -> bool:
        """Start the child where there is none; True when it was started just now."""
        if self._process is not None and self._process.returncode is None:
            return False
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._program,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            async with asyncio.timeout(START_S):
                kind, data = await self._frame()
            if kind != b"S" or len(data) != 4:
                raise EOFError
            (self.sample_rate_hz,) = struct.unpack(">I", data)
        except (EOFError, OSError, TimeoutError) as error:
            self._kill()
            raise EngineUnavailable(
                "libespeak-ng cannot be started. Install espeakng-loader and see that it has a wheel for this machine."
            ) from error
        except BaseException:
            self._kill()
            raise
        return True

    async def _ask(self, order: dict[str, object]) -> Heard:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        heard = Heard()
        while True:
            kind, data = await self._frame()
            if kind == b"P":
                heard.pcm += data
            elif kind == b"J":
                heard.events += (tuple(event) for event in json.loads(data))
            elif kind == b"E":
                return heard
            else:
                raise EngineUnavailable("libespeak-ng refused the text.")

    async def _frame(self) -> tuple[bytes, bytes]:
        assert self._process is not None and self._process.stdout is not None
        head = await self._process.stdout.readexactly(5)
        (length,) = struct.unpack(">I", head[1:])
        if length > LONGEST_FRAME:
            raise EOFError("no frame of ours")
        return head[:1], await self._process.stdout.readexactly(length)

    def _kill(self) -> None:
        """At once and without waiting; the loop reaps the process and closes its pipes."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        self._dying = [*(dying for dying in self._dying if dying.returncode is None), process]
