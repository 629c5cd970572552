"""Text to packets, slice by slice: speech, phonemes, blendshapes, mouth states; the first slice leaves with the first sound.

Knows no Redis and no session: it is given an utterance, a voice and a renderer, and yields slices in rising time.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from avatar.adpcm import Encoder
from avatar.exceptions import SpeechError
from avatar.protocol import (
    IMA_ADPCM,
    MAX_JPEG_BYTES,
    MOUTH,
    PCM_S16LE,
    Audio,
    Caption,
    End,
    Frame,
    Frames,
    Picture,
    Start,
    encode,
)
from avatar.renderers.base import Renderer
from avatar.streams import Slice, Utterance, fallback
from avatar.timeline import FPS, AudioChunk, BlendshapeTrack, Boundary, Phoneme
from avatar.tts.base import SpeechRequest
from avatar.visemes import BlendshapeStream

# The first slice is short: it is what somebody waits for. Later ones are long: each costs its way through Redis.
SLICES_MS = ((0, 80), (80, 200), (1000, 400))
# A stretch whose chunks claim other times than their samples add up to begins anew where it says.
DRIFT_MS = 20
# Sound waits for its frames, which need to know what comes next; but no longer than for so much more of it.
HOLD_MS = 600
Timed = TypeVar("Timed", Frame, Picture, Caption)


class Voice(Protocol):
    """What ``avatar.tts.chain.SpeechChain`` and every single engine do."""

    def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk | Boundary | Phoneme, None]: ...


def start(u: Utterance, renderer: Renderer) -> Slice:
    """The slice that says who will say what; it leaves before there is any sound."""
    packet = Start(u.generation, u.index, 0, u.utterance_id, u.text, u.avatar, u.mood, renderer.version)
    return Slice(0, 0, heard=encode(packet))


async def slices(
    u: Utterance, *, voice: Voice, renderer: Renderer, codec: int = IMA_ADPCM
) -> AsyncGenerator[Slice, None]:
    """Everything after ``start``; the last slice holds END, or FALLBACK where the voice failed."""
    request = SpeechRequest(text=u.text, voice=u.voice, rate=u.rate, lexicon=u.lexicon)
    track = BlendshapeStream(FPS)
    cut = Cutter(u, renderer, codec)
    try:
        async with aclosing(voice.synthesize(request)) as items:
            async for item in items:
                if isinstance(item, AudioChunk):
                    for piece in cut.hear(item):
                        yield piece
                elif isinstance(item, Phoneme):
                    track.push([item])
                else:
                    cut.say(item)
                if cut.ready:
                    cut.see(track.frames_until(cut.heard_ms))
                    for piece in cut.take():
                        yield piece
    except SpeechError as error:
        for piece in cut.close(track.finish(cut.heard_ms)):
            yield piece
        yield fallback(u, at_ms=cut.sent_ms, said=cut.said, code=error.code)
        return
    for piece in cut.close(track.finish(cut.heard_ms)):
        yield piece
    yield Slice(
        cut.sent_ms, cut.sent_ms, heard=encode(End(u.generation, u.index, cut.sent_ms)), said=len(u.text), last=True
    )


class Cutter:
    """Gathers sound, frames and captions of one utterance and cuts them into slices of whole milliseconds."""

    def __init__(self, u: Utterance, renderer: Renderer, codec: int) -> None:
        self._u = u
        self._renderer = renderer
        self._codec = codec
        self._encoder: Encoder | None = None
        self._rate_hz = 0
        self._pcm: list[npt.NDArray[np.int16]] = []
        self._samples = 0
        self._frames: list[Frame] = []
        self._pictures: list[Picture] = []
        self._captions: list[Caption] = []
        self._seen_ms = 0.0
        self.sent_ms = 0
        self.said = 0
        self._located = 0

    @property
    def heard_ms(self) -> int:
        """Sound gathered so far, in ms of the utterance."""
        return self.sent_ms + (self._samples * 1000 // self._rate_hz if self._rate_hz else 0)

    @property
    def ready(self) -> bool:
        return self.heard_ms - self.sent_ms >= self._length_ms

    @property
    def _whole(self) -> bool:
        """A slice can leave: its sound is here, and so are its frames, or the sound has waited for them long enough."""
        waiting_ms = self.heard_ms - self.sent_ms
        return self.ready and (self._seen_ms >= self.sent_ms + self._length_ms or waiting_ms >= HOLD_MS)

    @property
    def _length_ms(self) -> int:
        return [length for since, length in SLICES_MS if self.sent_ms >= since][-1]

    def hear(self, chunk: AudioChunk) -> list[Slice]:
        """Returns what must leave first, where another engine's rate or a gap in time begins a new stretch."""
        left: list[Slice] = []
        if len(chunk.pcm) == 0:
            return left
        if chunk.sample_rate_hz != self._rate_hz or chunk.pts_ms - self.heard_ms > DRIFT_MS:
            left = self.take(rest=True)
            self._rate_hz = chunk.sample_rate_hz
            self._encoder = Encoder(chunk.sample_rate_hz) if self._codec == IMA_ADPCM else None
            self.sent_ms = max(self.sent_ms, chunk.pts_ms)
        self._pcm.append(np.asarray(chunk.pcm, dtype=np.int16))
        self._samples += len(chunk.pcm)
        return left

    def say(self, word: Boundary) -> None:
        """A caption, found in the text behind the last one; a word that is not there is shown as it is."""
        text = word.text.strip()
        if not text:
            return
        at = self._u.text.find(text, self._located)
        begin, length = (at, len(text)) if at >= 0 else (self._located, 1)
        self._located = max(self._located, begin + (length if at >= 0 else 0))
        end_ms = max(word.start_ms, word.end_ms)
        self._captions.append(
            Caption(self._u.generation, self._u.index, word.start_ms, begin, length, end_ms, text[:256])
        )

    def see(self, track: BlendshapeTrack) -> None:
        times = [round(track.start_ms + i * 1000.0 / track.fps) for i in range(len(track.values))]
        if not times:
            return
        self._seen_ms = times[-1] + 1000.0 / track.fps
        if self._renderer.indexed:
            states = self._renderer.states_of(track.values, self._u.mood)
            self._frames += [Frame(at, int(state)) for at, state in zip(times, states, strict=True)]
            return
        for at, values in zip(times, track.values, strict=True):
            jpeg = self._renderer.render(values, self._u.mood)
            if len(jpeg) <= MAX_JPEG_BYTES:
                self._pictures.append(Picture(self._u.generation, self._u.index, at, MOUTH, jpeg))

    def take(self, *, rest: bool = False) -> list[Slice]:
        """The slices that are whole; with ``rest`` also what remains of the sound."""
        cut: list[Slice] = []
        while self._samples and (rest or self._whole):
            cut.append(self._cut(min(self._length_ms * self._rate_hz // 1000, self._samples)))
        return cut

    def close(self, track: BlendshapeTrack) -> list[Slice]:
        """What is left, with the frames behind the sound's end that close the mouth; nothing where there was no sound."""
        if not self._rate_hz:
            return []
        self.see(track)
        cut = self.take(rest=True)
        tail = [
            *(frame.pts_ms for frame in self._frames),
            *(picture.pts_ms for picture in self._pictures),
            *(caption.pts_ms for caption in self._captions),
        ]
        return [*cut, self._slice(self.sent_ms, b"", max(tail))] if tail else cut

    def _cut(self, samples: int) -> Slice:
        pcm = self._pcm[0] if len(self._pcm) == 1 else np.concatenate(self._pcm)
        now, later = pcm[:samples], pcm[samples:]
        self._pcm, self._samples = ([later] if len(later) else []), len(later)
        begin_ms = self.sent_ms
        self.sent_ms += max(1, samples * 1000 // self._rate_hz)
        data = self._encoder.encode(now) if self._encoder else now.astype("<i2").tobytes()
        codec = IMA_ADPCM if self._encoder else PCM_S16LE
        audio = Audio(self._u.generation, self._u.index, begin_ms, codec, self._rate_hz, len(now), data)
        return self._slice(begin_ms, encode(audio), self.sent_ms - 1)

    def _slice(self, begin_ms: int, audio: bytes, until_ms: int) -> Slice:
        """``audio`` with whatever is seen and captioned up to ``until_ms``."""
        captions = _up_to(self._captions, until_ms)
        frames = _up_to(self._frames, until_ms)
        pictures = _up_to(self._pictures, until_ms)
        if captions:
            self.said = max(self.said, *(caption.start + caption.length for caption in captions))
        seen = b"".join(encode(picture) for picture in pictures)
        if frames:
            seen += encode(Frames(self._u.generation, self._u.index, frames[0].pts_ms, MOUTH, tuple(frames)))
        return Slice(
            start_ms=begin_ms,
            end_ms=self.sent_ms,
            heard=audio + b"".join(encode(caption) for caption in captions),
            seen=seen,
            states=tuple(dict.fromkeys(frame.state for frame in frames)),
            said=min(self.said, len(self._u.text)),
        )


def _up_to(items: list[Timed], until_ms: int) -> list[Timed]:
    """Takes from the front of ``items``, which is in rising time."""
    n = 0
    while n < len(items) and items[n].pts_ms <= until_ms:
        n += 1
    taken = items[:n]
    del items[:n]
    return taken
