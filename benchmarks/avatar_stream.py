"""The avatar's stream as a client sees it: a real worker, a real Redis and real websockets, all on this machine.

first_media_*: from the text sent (or the voice's first sound in the worker) to the first sound and picture at the client.
interrupt_stale_p99_ms: from the interrupt sent to the last packet of the old generation.
sessions_25fps: how many clients hear different fresh sentences with at most 1% of frames later than 40 ms. A client's clock
starts 80 ms after its first sound, as the player's does.
"""

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import redis
import websockets

from companion.embedded import RedisServer

HEADER = struct.Struct("<BBHIII")
START, AUDIO, PATCH, FRAMES, PICTURE, END, FALLBACK, FLUSH = 1, 2, 3, 4, 5, 7, 8, 9
ROOT = Path(__file__).resolve().parent.parent
STAGE_DELAY_S = 0.08
LATE_S = 0.04
PLAYHEAD_S = 0.4
SPEAK_S = 16.0
RAMP_S = 6.0

PLACES = "门诊大厅 收费窗口 检验科 放射科 药房 眼科 心内科 儿科 住院部 急诊 超声室 抽血处 内镜中心 体检中心 口腔科 骨科".split()
PEOPLE = "王医生 李医生 张主任 刘护士 陈医生 赵主任 孙医生 周护士 吴医生 郑主任".split()


def sentences(seed: int) -> Iterator[str]:
    """Sentences that were never said before, of 12 to 30 characters."""
    dice = random.Random(seed)
    for number in itertools.count(1):
        yield dice.choice(
            [
                f"请您到{dice.choice(PLACES)}找{dice.choice(PEOPLE)},您的号码是{seed % 90 + 10}{number:03d}。",
                f"{dice.choice(PEOPLE)}在{dice.choice(PLACES)}等您,前面还有{number}位,请您稍等。",
                f"从{dice.choice(PLACES)}出来右转,走{number + seed % 70}米,就是{dice.choice(PLACES)}。",
                f"您第{number}项检查在{dice.choice(PLACES)},大约需要{dice.randint(5, 55)}分钟,不用着急。",
            ]
        )


class Client:
    """One resident's end of the socket; notes when what arrived."""

    def __init__(self, port: int, seed: int = 0) -> None:
        self.address = f"ws://127.0.0.1:{port}/{uuid4().hex}"
        self.texts = sentences(seed)
        self.index = 0
        self.generation = 0
        self.pictures_bytes = self.patch_bytes = 0
        self.frames = self.late = self.fallbacks = self.ended = 0
        self.after_flush = 0
        self.first_audio: dict[int, float] = {}
        self.first_picture: dict[int, float] = {}
        self.last_packet = 0.0
        self.flushed_at = 0.0
        self.arrived = asyncio.Event()
        self.count = True
        # The player's clock: where each utterance's own time lies on ours.
        self.cursor = 0.0
        self.begins: dict[int, float] = {}
        self.sound_ms: dict[int, float] = {}

    async def __aenter__(self) -> "Client":
        self.socket = await websockets.connect(self.address, compression=None, max_queue=None)
        self.reading = asyncio.create_task(self._read())
        while not self.generation:
            await self._wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.reading
        await self.socket.close()

    async def _wait(self, within_s: float = 5.0) -> None:
        self.arrived.clear()
        await asyncio.wait_for(self.arrived.wait(), within_s)

    async def speak(self, text: str = "") -> tuple[int, str]:
        index, self.index = self.index, self.index + 1
        text = text or next(self.texts)
        await self.socket.send(json.dumps({"speak": text, "index": index, "id": f"u{self.generation}-{index}"}))
        return index, text

    async def interrupt(self) -> None:
        await self.socket.send('{"interrupt": true}')

    async def _read(self) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            async for message in self.socket:
                now = time.monotonic()
                at = 0
                while at < len(message):
                    _, kind, length, generation, index, pts_ms = HEADER.unpack_from(message, at)
                    self._take(kind, generation, index, pts_ms, message, at + HEADER.size, length, now)
                    at += HEADER.size + length
                self.arrived.set()

    def _take(
        self, kind: int, generation: int, index: int, pts_ms: int, message: bytes, at: int, length: int, now: float
    ) -> None:
        if kind == FLUSH:
            self.generation, self.flushed_at = generation, now
            self.index, self.cursor = 0, 0.0
            self.begins.clear()
            self.sound_ms.clear()
            self.first_audio.clear()
            self.first_picture.clear()
            return
        if generation < self.generation:
            self.after_flush += 1
            return
        self.last_packet = now
        if kind == AUDIO:
            rate, samples = struct.unpack_from("<II", message, at + 4)
            self.first_audio.setdefault(index, now)
            if self.cursor < now:
                self.cursor = now + STAGE_DELAY_S
                self.begins[index] = self.cursor - pts_ms / 1000
            self.begins.setdefault(index, self.cursor)
            self.cursor += samples / rate
            self.sound_ms[index] = pts_ms + 1000 * samples / rate
        elif kind == FRAMES:
            self.first_picture.setdefault(index, now)
            self.pictures_bytes += HEADER.size + length
            if not self.count or index not in self.begins:
                return
            due = self.begins[index] + pts_ms / 1000
            for delta, _, _ in struct.iter_unpack("<HIB", message[at + 4 : at + length]):
                due += delta / 1000
                self.frames += 1
                self.late += now > due + LATE_S
        elif kind in (PATCH, PICTURE):
            self.patch_bytes += HEADER.size + length
        elif kind in (END, FALLBACK):
            self.ended += 1
            self.fallbacks += kind == FALLBACK

    async def heard(self, index: int, within_s: float = 5.0) -> float:
        """When both the first sound and the first picture of that utterance were here."""
        async with asyncio.timeout(within_s):
            while index not in self.first_audio or index not in self.first_picture:
                await self._wait(within_s)
        return max(self.first_audio[index], self.first_picture[index])

    async def report(self) -> None:
        """The playhead, as a player tells it."""
        while True:
            await asyncio.sleep(PLAYHEAD_S)
            now = time.monotonic()
            for index in sorted(self.begins, reverse=True):
                if self.begins[index] <= now:
                    pts_ms = int(min(1000 * (now - self.begins[index]), self.sound_ms.get(index, 0)))
                    await self.socket.send(
                        json.dumps({"playhead": f"u{self.generation}-{index}", "pts_ms": max(0, pts_ms)})
                    )
                    break

    async def listen(self, seconds: float) -> None:
        """Hear fresh sentences without a pause: always one more than what sounds has been asked for."""
        reporting = asyncio.create_task(self.report())
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                if self.index - self.ended < 2 and self.cursor - time.monotonic() < 5:
                    await self.speak()
                with contextlib.suppress(TimeoutError):
                    await self._wait(0.2)
        finally:
            reporting.cancel()


class Service:
    """Redis, a worker and a web process of their own, on a socket and a port that nobody else has."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hc-bench-"))
        self.redis = RedisServer(self.folder / "r.sock", folder=self.folder)
        self.children: list[subprocess.Popen[bytes]] = []
        self.port = 0

    def __enter__(self) -> "Service":
        self.redis.start()
        environment = os.environ | {
            "REDIS_URL": self.redis.url,
            "COMPANION_DATA_DIR": str(self.folder),
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }
        environment.pop("CELERY_BROKER_URL", None)

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.worker = self._spawn(
            environment,
            *("celery", "-A", WORKER_APP, "--quiet", "worker", "-Q", "speech"),
            *WORKER_POOL,
            *("-n", "bench@%h", "--without-mingle", "--without-gossip", "--without-heartbeat"),
        )
        self.web = self._spawn(
            environment,
            *("uvicorn", "benchmarks._stream_web:application", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--ws", "websockets-sansio", "--loop", "uvloop", "--http", "httptools", "--lifespan", "off"),
            *("--no-access-log", "--log-level", "warning", "--ws-per-message-deflate", "false"),
        )
        return self

    def _spawn(self, environment: dict[str, str], *command: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{command[0]}.log").open("ab")
        child = subprocess.Popen(
            [sys.executable, "-m", *command], env=environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
        )
        self.children.append(child)
        return child

    def __exit__(self, *_: object) -> None:
        for child in self.children:
            child.send_signal(signal.SIGTERM)
        for child in self.children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
        self.redis.stop()

    def resident_kib(self) -> tuple[int, int]:
        """Memory of the web process and of the worker with its children."""
        return _resident_kib(self.web.pid), _resident_kib(self.worker.pid)


def _resident_kib(pid: int) -> int:
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/children"):
        total += sum(_resident_kib(int(child)) for child in status.read_text().split())
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            total += int(line.split()[1])
    return total


WORKER_APP = "benchmarks._stream_worker"
WORKER_POOL = ("-P", "threads", "-c", "64")


def percentile(values: list[float], percent: float) -> float:
    return statistics.quantiles(values, n=1000, method="inclusive")[int(percent * 10) - 1]


async def ready(port: int, within_s: float = 60.0) -> None:
    """Until a sentence has been spoken: worker and web are up and warm."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            async with Client(port, seed=1) as client:
                index, _ = await client.speak()
                await client.heard(index)
                return
        except (OSError, TimeoutError, websockets.WebSocketException):
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.3)


async def first_media(service: Service, rounds: int) -> tuple[list[float], list[float]]:
    """(from the text sent, from the voice's first sound) in ms, one fresh sentence at a time."""
    store = redis.Redis.from_url(service.redis.url)
    whole, after = [], []
    async with Client(service.port, seed=2) as client:
        for _ in range(rounds):
            sent = time.monotonic()
            index, text = await client.speak()
            here = await client.heard(index)
            await asyncio.sleep(0.02)
            whole.append(1000 * (here - sent))
            noted = store.hget("bench:first-sound", text)
            if noted:
                after.append(1000 * (here - float(noted)))
            await client.interrupt()
            before = client.generation
            while client.generation == before:
                await client._wait()
    store.close()
    return whole, after


async def interrupts(service: Service, rounds: int) -> tuple[list[float], int]:
    """ms from the interrupt to the last stale packet (0 where none came any more), and packets behind the flush mark."""
    dice = random.Random(3)
    stale, behind = [], 0
    async with Client(service.port, seed=3) as client:
        reporting = asyncio.create_task(client.report())
        for _ in range(rounds):
            for _ in range(3):
                await client.speak()
            await asyncio.sleep(dice.uniform(0, 0.8))
            sent = time.monotonic()
            await client.interrupt()
            before = client.generation
            while client.generation == before:
                await client._wait()
            stale.append(max(0.0, 1000 * (client.last_packet - sent)))
            await asyncio.sleep(0.05)
            behind += client.after_flush
            client.after_flush = 0
        reporting.cancel()
    return stale, behind


async def crowd(port: int, size: int, seconds: float = SPEAK_S) -> dict[str, float]:
    """So many clients, each hearing different fresh sentences, begun within the time of one sentence."""
    dice = random.Random(size)

    async def one(seed: int) -> Client:
        await asyncio.sleep(dice.uniform(0, RAMP_S))
        async with Client(port, seed=seed) as client:
            await client.listen(seconds)
        return client

    clients = await asyncio.gather(*(one(1000 * size + n) for n in range(size)))
    frames = sum(client.frames for client in clients)
    return {
        "frames": frames,
        "late": sum(client.late for client in clients) / max(1, frames),
        "fallbacks": sum(client.fallbacks for client in clients),
        "fps": frames / size / seconds,
    }


async def picture_bytes(port: int, seconds: float = 15.0) -> float:
    """Picture bytes a second of one session, once it knows the patches (after a quarter of a minute of talk)."""
    async with Client(port, seed=77) as client:
        await client.listen(seconds)
        known = client.pictures_bytes + client.patch_bytes
        client.count = False
        await client.listen(seconds)
        return (client.pictures_bytes + client.patch_bytes - known) / seconds


async def cycles(port: int, rounds: int, seed: int) -> None:
    """Connect, speak, interrupt, drop."""
    dice = random.Random(seed)
    waiting = asyncio.Semaphore(8)

    async def one(number: int) -> None:
        async with waiting, Client(port, seed=seed * 10_000 + number) as client:
            index, _ = await client.speak()
            await client.heard(index)
            await asyncio.sleep(dice.uniform(0, 0.05))
            await client.interrupt()
            before = client.generation
            while client.generation == before:
                await client._wait()

    await asyncio.gather(*(one(number) for number in range(rounds)))


def figures(
    *, rounds: int = 200, sizes: tuple[int, ...] = (64, 96, 128), cycle_rounds: int = 500
) -> Iterator[dict[str, Any]]:
    with Service() as service:
        asyncio.run(ready(service.port))
        whole, after = asyncio.run(first_media(service, rounds))
        yield {"name": "first_media_after_tts_p95_ms", "value": round(percentile(after, 95), 1), "unit": "ms"}
        yield {"name": "first_media_p95_ms", "value": round(percentile(whole, 95), 1), "unit": "ms"}
        stale, behind = asyncio.run(interrupts(service, rounds))
        yield {"name": "interrupt_stale_p99_ms", "value": round(percentile(stale, 99), 1), "unit": "ms"}
        yield {"name": "interrupt_packets_behind_flush", "value": behind, "unit": "packets"}
        yield {
            "name": "picture_bytes_per_session",
            "value": round(asyncio.run(picture_bytes(service.port)) / 1000, 2),
            "unit": "kB/s",
        }
        reached = 0
        for size in sizes:
            found = asyncio.run(crowd(service.port, size))
            print(f"# {size} sessions: {found}", file=sys.stderr)
            if found["late"] > 0.01 or found["fallbacks"] or found["fps"] < 22:
                break
            reached = size
        yield {"name": "sessions_25fps", "value": reached, "unit": "sessions"}
        asyncio.run(cycles(service.port, max(20, cycle_rounds // 5), 1))
        web, worker = service.resident_kib()
        asyncio.run(cycles(service.port, cycle_rounds, 2))
        web_after, worker_after = service.resident_kib()
        yield {"name": "memory_growth_web_500_cycles", "value": round(100 * (web_after / web - 1), 2), "unit": "%"}
        yield {
            "name": "memory_growth_worker_500_cycles",
            "value": round(100 * (worker_after / worker - 1), 2),
            "unit": "%",
        }
