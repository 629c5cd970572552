"""The contract of a speech engine: a request in, audio chunks with phonemes and word boundaries out, in rising time."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from avatar.timeline import AudioChunk, Boundary, Phoneme

Spoken = AudioChunk | Boundary | Phoneme
SLOWEST, FASTEST = 0.5, 2.0


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """``text`` as it is written; the engine speaks its normalised form. ``rate`` 1.0 is the voice's own.

    ``lexicon``: words of one hospital with their pinyin or with what to say instead (see ``avatar.speech_text.read``).
    """

    text: str
    voice: str = ""
    rate: float = 1.0
    lexicon: tuple[tuple[str, str], ...] = ()

    @property
    def pace(self) -> float:
        """``rate`` within what any voice can do."""
        return min(FASTEST, max(SLOWEST, self.rate))


class SpeechEngine(Protocol):
    """One voice. An instance serves many requests at once, on any number of event loops.

    ``synthesize`` raises ``avatar.exceptions.SpeechError`` and nothing else. Phonemes come before, or with, the audio that
    they sound in; each kind is in rising time; a boundary's text is what is written. A text without a sound gives nothing.
    ``aclose`` frees what the running loop holds; the next request takes it anew.
    """

    name: str
    sample_rate_hz: int

    def synthesize(self, request: SpeechRequest) -> AsyncGenerator[Spoken, None]: ...

    async def aclose(self) -> None: ...
