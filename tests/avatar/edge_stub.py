"""A local server that speaks the online voice's protocol, so far as edge-tts uses it, and breaks it on purpose.

Words are two characters long and sound as a tone of 160 ms a character at the usual rate; marks are 200 ms of silence; there are 100 ms before the
first word, as the service has. ``Fault`` tells how it misbehaves; the faults of one stub are used up in order, the last one stays.
"""

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache
from html import unescape

import av
import numpy as np
from aiohttp import WSMsgType, web

RATE_HZ = 24000
LEAD_MS, CHARACTER_MS, MARK_MS = 100, 160, 200
PATH = "/consumer/speech/synthesize/readaloud/edge/v1"
_WORD = re.compile(r"[\u4e00-\u9fff]{1,2}|[A-Za-z]+")
TICKS_PER_MS = 10_000
# An engine's limits where a test is about something else, and where it waits for them to pass.
PATIENT = {"first_s": 30.0, "stall_s": 30.0}
HASTY = {"first_s": 0.4, "stall_s": 0.4}


class Fault(Enum):
    """``limits``: hasty ones for what shows only when they pass, so that the others do not depend on a machine's speed."""

    NONE = auto()
    FORBIDDEN = auto()
    THROTTLED = auto()
    UNAVAILABLE = auto()
    NO_ANSWER = auto()  # the socket opens, and nothing ever comes
    NO_HANDSHAKE = auto()  # not even the socket opens
    STALL = auto()  # silence in the middle
    CUT = auto()  # the connection is gone in the middle
    GARBAGE = auto()  # a message that is none
    NOISE = auto()  # well-formed messages whose sound is no MP3
    NO_AUDIO = auto()  # it ends without a sound
    LATE_WORDS = auto()  # all sound first, then all words

    @property
    def limits(self) -> dict[str, float]:
        return HASTY if self in (Fault.NO_ANSWER, Fault.NO_HANDSHAKE, Fault.STALL) else PATIENT


@dataclass(frozen=True)
class Word:
    text: str
    start_ms: int
    end_ms: int


@dataclass
class Stub:
    faults: list[Fault] = field(default_factory=lambda: [Fault.NONE])
    port: int = 0
    connections: int = 0
    ssml: list[str] = field(default_factory=list)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def endpoint(self) -> str:
        return f"ws://127.0.0.1:{self.port}{PATH}"

    def _fault(self) -> Fault:
        return self.faults.pop(0) if len(self.faults) > 1 else self.faults[0]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.connections += 1
        fault = self._fault()
        refusal = {Fault.FORBIDDEN: 403, Fault.THROTTLED: 429, Fault.UNAVAILABLE: 503}.get(fault)
        if refusal:
            return web.Response(status=refusal)
        if fault is Fault.NO_HANDSHAKE:
            await self.let_go.wait()
            return web.Response(status=503)
        _check(request)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        text, rate = await self._asked(socket)
        if fault is Fault.NO_ANSWER:
            await self.let_go.wait()
        elif fault is Fault.GARBAGE:
            await socket.send_bytes(b"\xff\xff" + b"garbage" * 40)
        else:
            with suppress(ConnectionError):
                await self._speak(socket, *spoken(text, rate), fault, request)
        await socket.close()
        return socket

    async def _asked(self, socket: web.WebSocketResponse) -> tuple[str, float]:
        """What is to be said, and how fast."""
        config, ssml = [(await socket.receive()).data for _ in range(2)]
        assert "Path:speech.config" in config and '"wordBoundaryEnabled":"true"' in config
        assert "audio-24khz-48kbitrate-mono-mp3" in config
        assert "Path:ssml" in ssml
        self.ssml.append(ssml)
        asked = re.search(r"<prosody [^>]*rate='([+-]\d+)%'[^>]*>(.*)</prosody>", ssml, re.S)
        return unescape(asked[2]), 1 + int(asked[1]) / 100

    async def _speak(
        self, socket: web.WebSocketResponse, words: list[Word], sound: bytes, fault: Fault, request: web.Request
    ) -> None:
        serial = uuid.uuid4().hex
        await socket.send_str(_text(serial, "turn.start", {"context": {"serviceTag": serial}}))
        await socket.send_str(_text(serial, "response", {"context": {"serviceTag": serial}}))
        if fault is Fault.NOISE:
            sound = bytes(range(1, 120)) * 400
        if fault is Fault.NO_AUDIO:
            sound = b""
        pieces = [sound[at : at + 720] for at in range(0, len(sound), 720)]  # 120 ms
        told = 0
        for n, piece in enumerate(pieces):
            if fault is not Fault.LATE_WORDS:
                while told < len(words) and words[told].start_ms < (n + 2) * 120:
                    await socket.send_str(_text(serial, "audio.metadata", _boundary(words[told])))
                    told += 1
            if n == len(pieces) // 2 and fault is Fault.STALL:
                await self.let_go.wait()
            if n == len(pieces) // 2 and fault is Fault.CUT:
                request.transport.abort()
                return
            head = f"X-RequestId:{serial}\r\nContent-Type:audio/mpeg\r\nX-StreamId:{serial}\r\nPath:audio\r\n".encode()
            await socket.send_bytes(len(head).to_bytes(2, "big") + head + piece)
        for word in words[told:]:
            await socket.send_str(_text(serial, "audio.metadata", _boundary(word)))
        head = f"X-RequestId:{serial}\r\nX-StreamId:{serial}\r\nPath:audio\r\n".encode()
        await socket.send_bytes(len(head).to_bytes(2, "big") + head)
        await socket.send_str(_text(serial, "turn.end", {}))
        while (await socket.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING):
            pass


def _check(request: web.Request) -> None:
    """What the service looks at before it opens a socket."""
    assert request.query["TrustedClientToken"] and request.query["ConnectionId"]
    assert request.query["Sec-MS-GEC"] and request.query["Sec-MS-GEC-Version"]
    assert request.headers["Origin"].startswith("chrome-extension://") and "muid=" in request.headers["Cookie"]


def _text(serial: str, path: str, body: dict) -> str:
    return (
        f"X-RequestId:{serial}\r\nContent-Type:application/json; charset=utf-8\r\nPath:{path}\r\n\r\n{json.dumps(body)}"
    )


def _boundary(word: Word) -> dict:
    data = {
        "Offset": word.start_ms * TICKS_PER_MS,
        "Duration": (word.end_ms - word.start_ms) * TICKS_PER_MS,
        "text": {"Text": word.text, "Length": len(word.text), "BoundaryType": "WordBoundary"},
    }
    return {"Metadata": [{"Type": "WordBoundary", "Data": data}]}


@cache
def spoken(text: str, rate: float = 1.0) -> tuple[list[Word], bytes]:
    """The words with their times, and the sound as MP3."""
    words, at, position = [], LEAD_MS, 0
    character_ms = round(CHARACTER_MS / rate)
    for found in _WORD.finditer(text):
        at += MARK_MS * len(text[position : found.start()].strip())
        length = character_ms * len(found[0])
        words.append(Word(found[0], at, at + length))
        at, position = at + length, found.end()
    pcm = np.zeros((at + 300) * RATE_HZ // 1000, np.int16)
    for word in words:
        for n in range(len(word.text)):
            begin = (word.start_ms + n * character_ms) * RATE_HZ // 1000
            t = np.arange(character_ms * RATE_HZ // 1000)
            swell = np.sin(np.pi * t / len(t))  # weakest where characters meet
            pcm[begin : begin + len(t)] = (9000 * swell * np.sin(2 * np.pi * 220 * t / RATE_HZ)).astype(np.int16)
    return words, mp3(pcm)


def mp3(pcm: np.ndarray) -> bytes:
    codec = av.CodecContext.create("libmp3lame", "w")
    codec.sample_rate, codec.bit_rate, codec.format, codec.layout = RATE_HZ, 48000, "s16p", "mono"
    packets = []
    for at in range(0, len(pcm), 576):
        frame = av.AudioFrame.from_ndarray(pcm[at : at + 576].reshape(1, -1), format="s16p", layout="mono")
        frame.sample_rate, frame.pts = RATE_HZ, at
        packets += codec.encode(frame)
    return b"".join(bytes(packet) for packet in [*packets, *codec.encode(None)])


@asynccontextmanager
async def edge_stub(faults: Sequence[Fault] = (Fault.NONE,)) -> AsyncIterator[Stub]:
    stub = Stub(list(faults))
    app = web.Application()
    app.router.add_get(PATH, stub.answer)
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    stub.port = runner.addresses[0][1]
    try:
        yield stub
    finally:
        stub.let_go.set()
        await runner.cleanup()
