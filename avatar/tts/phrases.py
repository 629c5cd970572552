"""Sounds over an utterance whose engine tells no times at all: phrases found by their silences, syllables by ``within``."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from avatar.speech_text import Foreign, Mark, Sound, Syllable
from avatar.timeline import Phoneme
from avatar.tts.within import HOP_MS, envelope, time_word, typical

QUIET = 0.04  # of the loudest: softer is silence
SHORTEST_SILENCE_MS = 60
Words = list[Syllable | Foreign]


def time_phrases(
    sounds: Sequence[Sound], pcm: npt.NDArray[np.int16], sample_rate_hz: int
) -> list[tuple[Syllable | Foreign, list[Phoneme]]]:
    """Each sound with its phonemes, from 0 ms of ``pcm`` on. Marks fall into silences where there are any near their place."""
    phrases = _phrases(sounds)
    loudness = envelope(pcm, sample_rate_hz)
    loud = np.flatnonzero(loudness > QUIET * loudness.max()) if len(loudness) else np.zeros(0, np.int_)
    if not phrases or len(loud) == 0:
        return []
    start_ms, end_ms = int(loud[0]) * HOP_MS, (int(loud[-1]) + 1) * HOP_MS
    silences = _silences(loud)
    total = sum(map(_length, phrases))
    borders: list[tuple[float, float]] = []
    begin, spoken_ms = float(start_ms), (end_ms - start_ms) - sum(b - a for a, b in silences)
    for n, phrase in enumerate(phrases[:-1]):
        expected = begin + _length(phrase) / total * spoken_ms
        left = [s for s in silences if s[0] > begin]
        # the silences behind must do for the marks behind
        usable = left[: max(1, len(left) - (len(phrases) - 2 - n))]
        border = min(usable, key=lambda s: abs(s[0] - expected), default=(expected, expected))
        borders.append(border)
        begin = border[1]
    timed: list[tuple[Syllable | Foreign, list[Phoneme]]] = []
    edges = [(float(start_ms), float(start_ms)), *borders, (float(end_ms), float(end_ms))]
    for phrase, (before, behind) in zip(phrases, pairwise(edges), strict=True):
        begin_ms, until_ms = round(before[1]), round(max(before[1], behind[0]))
        phonemes = time_word(phrase, begin_ms, until_ms, loudness[begin_ms // HOP_MS : until_ms // HOP_MS])
        timed += _shared(phrase, phonemes)
    return timed


def _phrases(sounds: Sequence[Sound]) -> list[Words]:
    phrases: list[Words] = [[]]
    for sound in sounds:
        if isinstance(sound, Mark):
            phrases.append([])
        else:
            phrases[-1].append(sound)
    return [phrase for phrase in phrases if phrase]


def _length(phrase: Words) -> float:
    return sum(sum(typical(sound)) for sound in phrase)


def _silences(loud: npt.NDArray[np.int_]) -> list[tuple[float, float]]:
    """Begin and end in ms of the silences between the loud hops."""
    gaps = np.flatnonzero(np.diff(loud) * HOP_MS > SHORTEST_SILENCE_MS)
    return [(float(loud[n] + 1) * HOP_MS, float(loud[n + 1]) * HOP_MS) for n in gaps]


def _shared(phrase: Words, phonemes: list[Phoneme]) -> list[tuple[Syllable | Foreign, list[Phoneme]]]:
    """The phonemes given back to their sounds: one for a sound without an initial, two for the others."""
    left = iter(phonemes)
    counts = (2 if isinstance(sound, Syllable) and sound.initial else 1 for sound in phrase)
    return [(sound, [p for _, p in zip(range(n), left, strict=False)]) for sound, n in zip(phrase, counts, strict=True)]
