"""The contract of a speech engine: a request in, audio chunks with phonemes and word boundaries out, in rising time."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from avatar.timeline import AudioChunk, Boundary, Phoneme

Spoken = AudioChunk | Boundary | Phoneme


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """``text`` as it is written; the engine speaks its normalised form. ``rate`` 1.0 is the voice's own."""

    text: str
    voice: str = ""
    rate: float = 1.0
    lexicon: tuple[tuple[str, str], ...] = ()


class SpeechEngine(Protocol):
    """Raises ``avatar.exceptions.SpeechError``. Phonemes come before, or with, the audio that they sound in."""

    name: str
    sample_rate_hz: int

    def synthesize(self, request: SpeechRequest) -> AsyncIterator[Spoken]: ...
