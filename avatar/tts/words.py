"""Words as an online voice times them, set beside what was written: boundaries in the written text, phonemes in the sound."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.speech_text import Foreign, Reading, Syllable, read
from avatar.timeline import Boundary, Phoneme
from avatar.tts.within import HOP_MS, envelope, time_word

# A decoder begins a little late: where the first word is heard up to so much behind its time, all are moved.
MOST_LATE_MS = 60
AUDIBLE = 0.08  # of the first word's loudest
LOOK_AHEAD = 24  # characters that the service may have left out between two words


@dataclass(frozen=True, slots=True)
class Word:
    """``text`` as the service tells it: a stretch of what was sent to be said."""

    text: str
    start_ms: float
    end_ms: float


class WordTimer:
    """Takes words in their order. ``phonemes`` yields the word's phonemes, and boundaries as soon as they are whole."""

    def __init__(self, reading: Reading, sample_rate_hz: int) -> None:
        self._reading = reading
        self._rate_hz = sample_rate_hz
        self._sounds = [sound for sound in reading.sounds if isinstance(sound, Syllable | Foreign)]
        self._folded = reading.plain.lower()
        self._at = 0  # in ``said``
        self._next = 0  # in ``_sounds``
        self._late_ms: float | None = None
        self.end_ms = 0  # of the last word's phonemes
        self._open: tuple[int, int, int, int] | None = None  # written begin and end, ms begin and end

    def until_ms(self, word: Word) -> float:
        """How much sound the word's phonemes need: up to its end, wherever the first one turns out to begin."""
        return word.end_ms + (MOST_LATE_MS if self._late_ms is None else self._late_ms)

    def phonemes(self, word: Word, pcm: npt.NDArray[np.int16], begins_at: int) -> Iterator[Phoneme | Boundary]:
        """``pcm``: the sound from sample ``begins_at`` on, at least up to ``until_ms(word)`` where there is so much."""
        if self._late_ms is None:
            self._late_ms = self._lateness(word, pcm, begins_at)
        start = max(self.end_ms, round(word.start_ms + self._late_ms))
        end = round(word.end_ms + self._late_ms)
        found = self._folded.find(word.text.lower(), self._at, self._at + LOOK_AHEAD + len(word.text))
        if found >= 0:
            sounds = self._taken(found + len(word.text))
            self._at = found + len(word.text)
        else:  # the service says it in its own words
            sounds = [sound for sound in read(word.text).sounds if isinstance(sound, Syllable | Foreign)]
        if end <= start:
            return
        first = max(0, round(start * self._rate_hz / 1000) - begins_at)
        last = max(first, round(end * self._rate_hz / 1000) - begins_at)
        yield from time_word(sounds, start, end, envelope(pcm[first:last], self._rate_hz))
        self.end_ms = end
        if found >= 0 and sounds:
            yield from self._written(sounds, start, end)

    def rest(self) -> Iterator[Boundary]:
        """The last boundary, which was still open."""
        if self._open:
            begin, end, start_ms, end_ms = self._open
            self._open = None
            yield Boundary(self._reading.text[begin:end], start_ms, end_ms)

    def _taken(self, until: int) -> list[Syllable | Foreign]:
        """The sounds up to ``until`` in what is said, those that the service did not name included."""
        first = self._next
        while self._next < len(self._sounds) and self._sounds[self._next].said_at < until:
            self._next += 1
        return self._sounds[first : self._next]

    def _written(self, sounds: list[Syllable | Foreign], start: int, end: int) -> Iterator[Boundary]:
        begin, until = sounds[0].start, sounds[-1].end
        if self._open and begin < self._open[1]:  # two words said for one that is written: 零点 and 五 for 0.5
            self._open = (self._open[0], max(until, self._open[1]), self._open[2], end)
            return
        yield from self.rest()
        self._open = (begin, until, start, end)

    def _lateness(self, word: Word, pcm: npt.NDArray[np.int16], begins_at: int) -> float:
        """How much later than its time the first word is heard, within bounds."""
        begin = max(0, round(word.start_ms * self._rate_hz / 1000) - begins_at)
        levels = envelope(
            pcm[begin : begin + round((word.end_ms - word.start_ms) * self._rate_hz / 1000)], self._rate_hz
        )
        if len(levels) == 0 or levels.max() == 0:
            return 0.0
        onset = int(np.argmax(levels >= AUDIBLE * levels.max())) * HOP_MS
        return float(onset) if onset <= MOST_LATE_MS else 0.0
