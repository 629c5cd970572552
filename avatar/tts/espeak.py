"""The embedded voice: libespeak-ng in a process of its own, given pinyin, with each syllable timed by itself.

A long text goes to the child sentence by sentence, so that the first sound does not wait for the last and sessions take turns.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from itertools import pairwise
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from avatar.exceptions import EngineUnavailable
from avatar.speech_text import Foreign, Mark, Reading, Sound, Syllable, read
from avatar.timeline import AudioChunk, Boundary, Phoneme
from avatar.tts.base import SpeechRequest, Spoken
from avatar.tts.espeak_child import PROGRAM, Child
from avatar.tts.orders import orders, silence
from avatar.visemes import viseme_of

CHUNK_MS = 80
FADE_MS = 4
WORD, PHONEME = 1, 7
# Syllables that the library spells in its own way, or does not know.
_SPELLED = {"jiong": "jong", "qiong": "qong", "xiong": "xong", "ê": "ei", "m": "mu", "hm": "heng", "hng": "heng"}
Span = tuple[Sound, int, int, list[int]]  # a sound, its begin and end in ms, the begins of its phonemes


class EspeakEngine:
    """``voice``: only ``cmn``, Mandarin. A request's own ``voice`` names another engine's and is not looked at."""

    name = "espeak"
    sample_rate_hz = 22050

    def __init__(
        self,
        *,
        voice: str = "cmn",
        words_per_minute: int = 165,
        pitch: int = 62,
        limit_s: float = 5.0,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        if voice != "cmn":
            raise EngineUnavailable(f"The embedded engine has the voice cmn only, not {voice!r}.")
        self.words_per_minute = words_per_minute
        self.pitch = pitch
        self._limit_s = limit_s
        self._program = program
        self._children: WeakKeyDictionary[asyncio.AbstractEventLoop, Child] = WeakKeyDictionary()

    @property
    def child(self) -> Child:
        """The running loop's child."""
        loop = asyncio.get_running_loop()
        if loop not in self._children:
            self._children[loop] = Child(self._program, limit_s=self._limit_s)
        return self._children[loop]

    async def aclose(self) -> None:
        child = self._children.pop(asyncio.get_running_loop(), None)
        if child is not None:
            await child.aclose()

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[Spoken, None]:
        reading = read(request.text, request.lexicon)
        rate = round(self.words_per_minute * request.pace)
        samples = 0
        for order in orders(reading.sounds):
            text, places = _text(order)
            heard = await self.child.speak({"text": text, "rate": rate, "pitch": self.pitch})
            if self.child.sample_rate_hz != self.sample_rate_hz:
                raise EngineUnavailable(f"libespeak-ng speaks at {self.child.sample_rate_hz} Hz.")
            pcm = np.frombuffer(bytes(heard.pcm), dtype=np.int16)
            begin_ms, own_ms = 1000 * samples // self.sample_rate_hz, 1000 * len(pcm) // self.sample_rate_hz
            spans = [
                (sound, begin_ms + start, begin_ms + end, [begin_ms + at for at in begins])
                for sound, start, end, begins in _spans(order, places, heard.events, own_ms)
            ]
            for phoneme in _phonemes(spans):
                yield phoneme
            for word in _boundaries(reading, spans):
                yield word
            pcm = np.concatenate([_faded(pcm, self.sample_rate_hz), silence(order, request.pace, self.sample_rate_hz)])
            step = self.sample_rate_hz * CHUNK_MS // 1000
            for at in range(0, len(pcm), step):
                pts_ms = round(1000 * (samples + at) / self.sample_rate_hz)
                yield AudioChunk(pts_ms, self.sample_rate_hz, pcm[at : at + step])
            samples += len(pcm)


def _text(order: list[Sound]) -> tuple[str, dict[int, int]]:
    """The library's text, and at which of its characters (from 1) which sound begins."""
    text, places = "", {}
    for n, sound in enumerate(order):
        if isinstance(sound, Mark):
            text = text.rstrip() + (". " if sound.long else ", ")
            continue
        places[len(text) + 1] = n
        if isinstance(sound, Foreign):
            text += sound.text + " "
        else:
            plain, tone = sound.pinyin[:-1], sound.pinyin[-1]
            text += f"{_SPELLED.get(plain, plain)}{tone} "
    return text, places


def _spans(
    order: list[Sound], places: dict[int, int], events: list[tuple[int, int, int, str]], duration_ms: int
) -> list[Span]:
    """When each sound is heard. A syllable ends at its silence, or where the next one begins."""
    begins: dict[int, int] = {}
    ends: dict[int, int] = {}
    inner: dict[int, list[int]] = {}
    for kind, position, at_ms, name in events:
        n = places.get(position)
        if n is None:
            continue
        if kind == WORD:
            begins.setdefault(n, at_ms)
        elif name.startswith("_"):
            ends[n] = at_ms
        elif name and not name.startswith("("):
            inner.setdefault(n, []).append(at_ms)
    heard = [(n, begins[n]) for n in sorted(begins)]
    spans: list[Span] = []
    for (n, start), (_next, following) in pairwise([*heard, (len(order), duration_ms)]):
        end = min(ends.get(n, following), max(following, start))
        spans.append((order[n], start, max(start, end), inner.get(n, [])))
    return spans


def _phonemes(spans: list[Span]) -> Iterator[Phoneme]:
    for sound, start, end, begins in spans:
        if end <= start:
            continue
        if isinstance(sound, Foreign):
            yield Phoneme(sound.text, viseme_of(sound.text), sound.text, start, end)
            continue
        assert isinstance(sound, Syllable)
        middle = start
        if sound.initial:
            # the first sound that is told after the syllable's begin is its vowel
            middle = next((at for at in begins[1:] if start < at < end), start + (end - start) // 3)
            yield Phoneme(sound.initial, viseme_of(sound.initial), sound.text, start, middle)
        yield Phoneme(sound.final, viseme_of(sound.final, sound.initial), sound.text, middle, end)


def _boundaries(reading: Reading, spans: list[Span]) -> Iterator[Boundary]:
    """The written stretches with their times: one for each, however many sounds it has."""
    open_: tuple[int, int] | None = None
    start_ms = end_ms = 0
    for sound, start, end, _begins in spans:
        if open_ != (sound.start, sound.end):
            if open_:
                yield Boundary(reading.text[open_[0] : open_[1]], start_ms, end_ms)
            open_, start_ms = (sound.start, sound.end), start
        end_ms = end
    if open_:
        yield Boundary(reading.text[open_[0] : open_[1]], start_ms, end_ms)


def _faded(pcm: npt.NDArray[np.int16], rate_hz: int) -> npt.NDArray[np.int16]:
    """The last few samples run out to zero, so that what is cut off does not click."""
    n = min(len(pcm), rate_hz * FADE_MS // 1000)
    if n == 0:
        return pcm
    tail = (pcm[-n:] * np.linspace(1.0, 0.0, n)).astype(np.int16)
    return np.concatenate([pcm[:-n], tail])
