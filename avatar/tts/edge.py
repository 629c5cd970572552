"""The online voice: edge-tts' neural voices, sentence by sentence, released word by word with phonemes inside each word.

The service times words; what a word sounds like inside is found by ``avatar.tts.within`` in its sound. So a word leaves when its sound
is here, with its phonemes before it. The service is a public one that promises nothing and
is not licensed for heavy use: good for trying a voice, and always to be followed by another engine in SPEECH_CHAIN.
"""

import asyncio
import contextlib
import importlib.util
import re
from collections.abc import AsyncGenerator, Iterator
from functools import cache
from types import ModuleType
from typing import Any

import aiohttp
import edge_tts.communicate
import numpy as np
import numpy.typing as npt
from edge_tts.exceptions import EdgeTTSException

from avatar.exceptions import EngineCut, EngineStalled, EngineThrottled, EngineUnavailable, SpeechError
from avatar.speech_text import Foreign, Reading, Syllable, read
from avatar.timeline import AudioChunk
from avatar.tts.base import SpeechRequest, Spoken
from avatar.tts.mp3 import Mp3Decoder
from avatar.tts.words import Word, WordTimer

TICKS_PER_MS = 10_000
HOLD_S = 0.4  # sound waits so long at most for the word that it belongs to
TAIL_MS = 320  # of the silence that the service puts behind the last word
QUIET = 200  # of 32768
_VOICE = re.compile(r"[a-z]{2,3}-[A-Z]{2,}(?:-[\w]+)*-\w+Neural")
Queue = asyncio.Queue["dict[str, Any] | BaseException | None"]


class EdgeEngine:
    """``endpoint``: another address of the same protocol (``ws://host:port/path``), for a proxy of one's own or a test.

    ``first_s``: from the request to the first message, ``stall_s``: between two messages. A request's ``voice`` is taken where
    it looks like one of the service's (``zh-CN-YunxiNeural``).
    """

    name = "edge"
    sample_rate_hz = 24000

    def __init__(
        self,
        *,
        voice: str = "zh-CN-XiaoxiaoNeural",
        endpoint: str = "",
        proxy: str = "",
        first_s: float = 2.0,
        stall_s: float = 1.5,
    ) -> None:
        self.voice = voice
        self._first_s = first_s
        self._stall_s = stall_s
        self._proxy = proxy or None
        self._client = _client(endpoint)

    async def aclose(self) -> None:
        """Nothing is held between requests."""

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[Spoken, None]:
        reading = read(request.text, request.lexicon)
        if not any(isinstance(sound, Syllable | Foreign) for sound in reading.sounds):
            return
        decoder = Mp3Decoder(self.sample_rate_hz)
        release = _Release(reading, self.sample_rate_hz)
        async with contextlib.aclosing(self._messages(reading.plain, request)) as messages:
            async for message in messages:
                if message["type"] == "audio":
                    release.hear(decoder.feed(message["data"]))
                else:
                    start_ms = message["offset"] / TICKS_PER_MS
                    release.know(Word(message["text"], start_ms, start_ms + message["duration"] / TICKS_PER_MS))
                for item in release.ready():
                    yield item
        release.hear(decoder.finish())
        for item in release.rest():
            yield item

    async def _messages(self, said: str, request: SpeechRequest) -> AsyncGenerator[dict[str, Any], None]:
        """edge-tts' messages within their time. They are fetched by a task of its own: a service that does not even take leave
        cannot hold up whoever gives up waiting for it."""
        voice = request.voice if _VOICE.fullmatch(request.voice) else self.voice
        line = _Line(force_close=True)
        speech = self._client.Communicate(
            said,
            voice,
            rate=f"{round(100 * (request.pace - 1)):+d}%",
            boundary="WordBoundary",
            connector=line,
            proxy=self._proxy,
        )
        queue: Queue = asyncio.Queue()
        fetching = asyncio.create_task(_fetch(speech, queue))
        patience = self._first_s
        try:
            while True:
                try:
                    async with asyncio.timeout(patience):
                        message = await queue.get()
                except TimeoutError:
                    raise EngineStalled(f"The speech service gave nothing for {patience:g} s.") from None
                if message is None:
                    return
                if isinstance(message, SpeechError):
                    raise message
                if isinstance(message, BaseException):
                    raise _typed(message) from message
                patience = self._stall_s
                yield message
        finally:
            fetching.cancel()
            await asyncio.gather(line.cut(), fetching, return_exceptions=True)


class _Line(aiohttp.TCPConnector):
    """The connection of one request. edge-tts closes it with each of its sessions, and needs it again for the next try."""

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Not yet."""

    async def cut(self) -> None:
        """At once: no farewell is waited for."""
        await super().close(abort_ssl=True)


class _Release:
    """Sound and words come at their own pace; they leave together, word by word."""

    def __init__(self, reading: Reading, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._timer = WordTimer(reading, sample_rate_hz)
        self._pcm = np.zeros(0, np.int16)  # what has not left yet
        self._left = 0  # samples
        self._words: list[Word] = []
        self._clock = asyncio.get_running_loop().time
        self._waiting_since = self._clock()

    def hear(self, pcm: npt.NDArray[np.int16]) -> None:
        if len(self._pcm) == 0:
            self._waiting_since = self._clock()
        self._pcm = np.concatenate([self._pcm, pcm])

    def know(self, word: Word) -> None:
        self._words.append(word)

    @property
    def _heard_ms(self) -> float:
        return 1000 * (self._left + len(self._pcm)) / self._rate_hz

    def ready(self) -> Iterator[Spoken]:
        """Words whose sound is here, each with the silence before it; and sound that has waited too long for its word."""
        while self._words and self._timer.until_ms(self._words[0]) <= self._heard_ms:
            word = self._words.pop(0)
            yield from self._timer.phonemes(word, self._pcm, self._left)
            yield from self._take(self._timer.until_ms(word))
            self._waiting_since = self._clock()
        if self._clock() - self._waiting_since > HOLD_S:
            yield from self._take(self._heard_ms)

    def rest(self) -> Iterator[Spoken]:
        for word in self._words:
            yield from self._timer.phonemes(word, self._pcm, self._left)
        yield from self._timer.rest()
        loud = np.flatnonzero(np.abs(self._pcm) > QUIET)
        last_ms = 1000 * (self._left + int(loud[-1]) + 1) / self._rate_hz if len(loud) else 0.0
        yield from self._take(min(self._heard_ms, max(last_ms, self._timer.end_ms) + TAIL_MS))

    def _take(self, until_ms: float) -> Iterator[AudioChunk]:
        n = min(len(self._pcm), round(until_ms * self._rate_hz / 1000) - self._left)
        if n <= 0:
            return
        yield AudioChunk(round(1000 * self._left / self._rate_hz), self._rate_hz, self._pcm[:n])
        self._pcm, self._left = self._pcm[n:], self._left + n


async def _fetch(speech: Any, queue: Queue) -> None:
    """Everything goes through the queue, what went wrong as well."""
    received = 0
    try:
        async for message in speech.stream():
            received += len(message.get("data", b""))
            queue.put_nowait(message)
        # edge-tts takes a lost connection for an end; only a real one, turn.end, adds up the bytes.
        whole = speech.state["cumulative_audio_bytes"] == received
        queue.put_nowait(None if whole else EngineCut())
    except Exception as error:  # noqa: BLE001  whatever it is, the reader types it
        queue.put_nowait(error)


def _typed(error: BaseException) -> SpeechError:
    """What edge-tts or aiohttp raised, as the avatar's errors."""
    status = getattr(error, "status", None) or getattr(error.__cause__, "status", None)
    if status == 429:
        return EngineThrottled()
    if status is not None:
        return EngineUnavailable(f"The speech service answered with status {status}.")
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.InvalidURL | OSError):
        return EngineUnavailable("The speech service cannot be reached.")
    if isinstance(error, EdgeTTSException):
        return EngineCut(f"The speech service broke its protocol: {type(error).__name__}.")
    return EngineCut(f"The connection to the speech service broke: {type(error).__name__}.")


@cache
def _client(endpoint: str) -> ModuleType:
    """edge-tts' module, or a copy of it that calls ``endpoint``: its address is a constant, which other engines keep."""
    if not endpoint:
        return edge_tts.communicate
    spec = importlib.util.find_spec("edge_tts.communicate")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    _, _, query = module.WSS_URL.partition("?")
    module.WSS_URL = f"{endpoint}?{query}"  # type: ignore[attr-defined]
    return module
