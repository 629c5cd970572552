"""The embedded voice: libespeak-ng in a process of its own, spoken to over a pipe, with phonemes timed by itself."""

import asyncio
import json
import struct
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np
from pypinyin import Style, lazy_pinyin, pinyin

from avatar.exceptions import EngineCut, EngineUnavailable
from avatar.speech_text import spoken
from avatar.timeline import AudioChunk, Boundary, Phoneme
from avatar.tts.base import SpeechRequest, Spoken

CHUNK_MS = 80


@dataclass(frozen=True, slots=True)
class Syllable:
    text: str
    initial: str
    final: str


class EspeakEngine:
    name = "espeak"
    sample_rate_hz = 22050

    def __init__(self, *, voice: str = "cmn", words_per_minute: int = 165, pitch: int = 62) -> None:
        self.words_per_minute = words_per_minute
        self.pitch = pitch
        self._process: asyncio.subprocess.Process | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock: asyncio.Lock | None = None

    async def _child(self) -> asyncio.subprocess.Process:
        loop = asyncio.get_running_loop()
        if self._process is None or self._process.returncode is not None or self._loop is not loop:
            self._loop = loop
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "avatar.tts.espeak_process",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            kind, data = await self._frame()
            if kind != b"S":
                raise EngineUnavailable
            (self.sample_rate_hz,) = struct.unpack(">I", data)
        return self._process

    async def _frame(self) -> tuple[bytes, bytes]:
        assert self._process is not None and self._process.stdout is not None
        try:
            head = await self._process.stdout.readexactly(5)
            return head[:1], await self._process.stdout.readexactly(struct.unpack(">I", head[1:])[0])
        except asyncio.IncompleteReadError as error:
            self._process = None
            raise EngineCut from error

    async def synthesize(self, request: SpeechRequest) -> AsyncIterator[Spoken]:
        syllables, line = _read(spoken(request.text, request.lexicon))
        if self._lock is None or self._loop is not asyncio.get_running_loop():
            self._lock = asyncio.Lock()
        async with self._lock:
            child = await self._child()
            assert child.stdin is not None
            order = {"text": line, "rate": round(self.words_per_minute * request.rate), "pitch": self.pitch}
            child.stdin.write(json.dumps(order).encode() + b"\n")
            sound, events = bytearray(), []
            while True:
                kind, data = await self._frame()
                if kind == b"P":
                    sound += data
                elif kind == b"J":
                    events += json.loads(data)
                elif kind == b"X":
                    raise EngineUnavailable
                elif kind == b"E":
                    break
        pcm = np.frombuffer(bytes(sound), dtype=np.int16)
        duration = round(1000 * len(pcm) / self.sample_rate_hz)
        for phoneme in _phonemes(syllables, events, duration):
            yield phoneme
        for word in _words(syllables, events, duration):
            yield word
        step = self.sample_rate_hz * CHUNK_MS // 1000
        for at in range(0, len(pcm), step):
            yield AudioChunk(round(1000 * at / self.sample_rate_hz), self.sample_rate_hz, pcm[at : at + step])


def _read(text: str) -> tuple[list[Syllable], str]:
    tones = pinyin(text, style=Style.TONE3, neutral_tone_with_five=True, errors=lambda x: [*x])
    plain = lazy_pinyin(text, style=Style.INITIALS, strict=False, errors=lambda x: [*x])
    syllables, words = [], []
    for char, (tone,), initial in zip(text, tones, plain, strict=False):
        if tone[-1:].isdigit():
            final = tone[len(initial) : -1] or "e"
            syllables.append(Syllable(char, initial, final))
            words.append(tone)
        elif char in ",。!?;:、,.!?;:":
            words.append("." if char in "。!?!?" else ",")
    return syllables, " ".join(words)


def _spans(events: list, duration: int) -> list[tuple[int, int, list]]:
    marks = [event for event in events if event[0] == 1]
    spans = []
    for n, mark in enumerate(marks):
        sounds = [e for e in events if e[0] == 7 and e[1] == mark[1]]
        end = next((e[2] for e in sounds if e[3].startswith("_")), None)
        if end is None:
            end = marks[n + 1][2] if n + 1 < len(marks) else duration
        spans.append((mark[2], end, [e for e in sounds if not e[3].startswith("_")]))
    return spans


def _phonemes(syllables: list[Syllable], events: list, duration: int) -> list[Phoneme]:
    from avatar.visemes import viseme_of

    result = []
    for syllable, (start, end, sounds) in zip(syllables, _spans(events, duration), strict=False):
        middle = sounds[1][2] if syllable.initial and len(sounds) > 1 else start
        if syllable.initial:
            result.append(Phoneme(syllable.initial, viseme_of(syllable.initial), syllable.text, start, middle))
        result.append(Phoneme(syllable.final, viseme_of(syllable.final), syllable.text, middle, end))
    return result


def _words(syllables: list[Syllable], events: list, duration: int) -> list[Boundary]:
    return [
        Boundary(syllable.text, start, end)
        for syllable, (start, end, _sounds) in zip(syllables, _spans(events, duration), strict=False)
    ]
