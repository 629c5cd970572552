"""Phonemes inside a word whose begin and end are known: typical lengths of initials and finals, moved to where the sound changes.

Lengths in ms are those of read standard Mandarin at an even pace, rounded; only their proportions matter, since a word's own length
scales them. The sound then decides: syllables meet where it is weakest, and a vowel begins where it rises.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from avatar.speech_text import Foreign, Syllable
from avatar.timeline import Phoneme
from avatar.visemes import viseme_of

HOP_MS = 5
WINDOW_MS = 15
_INITIAL_MS = {
    **dict.fromkeys(("b", "d", "g"), 45),
    **dict.fromkeys(("m", "n", "l", "r"), 65),
    **dict.fromkeys(("zh", "z", "j"), 75),
    **dict.fromkeys(("p", "t", "k", "f", "h"), 95),
    **dict.fromkeys(("ch", "c", "q", "sh", "s", "x"), 120),
}
_VOWELS = "aoeiuvê"
NEUTRAL, LAST = 0.65, 1.15  # a neutral tone is shorter, the last syllable of a word longer
REACH = 0.9  # how far a border may lie from its typical place, in syllables
LOUDNESS_COST = 1.2  # of a border in the loudest place, against a syllable e times too long
VOWEL_REACH = 0.4  # how far a vowel's begin may move, as a part of the shorter of initial and final
RISEN, FLAT = 0.25, 0.8
LETTER_MS = 70
Envelope = npt.NDArray[np.float64]


def typical(syllable: Syllable | Foreign) -> tuple[float, float]:
    """Typical lengths of initial and final in ms; a foreign word has no initial."""
    if isinstance(syllable, Foreign):
        return 0.0, float(LETTER_MS * len(syllable.text))
    vowels = sum(c in _VOWELS for c in syllable.final)
    final = 120.0 + 22 * max(0, vowels - 1) + (40 if syllable.final.endswith(("n", "g")) else 0)
    initial = float(_INITIAL_MS.get(syllable.initial, 0))
    weak = NEUTRAL if syllable.tone == 5 else 1.0
    return initial * weak, final * weak


def envelope(pcm: npt.NDArray[np.int16], sample_rate_hz: int) -> Envelope:
    """Loudness every HOP_MS: float64, shape (n,), the root mean square around each hop."""
    hop, width = sample_rate_hz * HOP_MS // 1000, sample_rate_hz * WINDOW_MS // 1000
    power = np.concatenate([[0.0], np.cumsum(pcm.astype(np.float64) ** 2)])
    middles = np.arange(0, len(pcm), hop)
    low, high = np.clip(middles - width // 2, 0, len(pcm)), np.clip(middles + width // 2, 0, len(pcm))
    levels: Envelope = np.sqrt((power[high] - power[low]) / np.maximum(high - low, 1))
    return levels


def time_word(
    sounds: Sequence[Syllable | Foreign], start_ms: int, end_ms: int, loudness: Envelope | None = None
) -> list[Phoneme]:
    """``sounds`` over ``start_ms``..``end_ms``, without gaps. ``loudness`` is ``envelope`` of the sound from ``start_ms`` on."""
    if not sounds or end_ms <= start_ms:
        return []
    lengths = [typical(sound) for sound in sounds]
    if len(lengths) > 1:
        lengths[-1] = (lengths[-1][0] * LAST, lengths[-1][1] * LAST)
    borders = _borders([sum(length) for length in lengths], start_ms, end_ms, loudness)
    phonemes: list[Phoneme] = []
    for n, (sound, (initial, final)) in enumerate(zip(sounds, lengths, strict=True)):
        begin, end = round(borders[n]), round(borders[n + 1])
        if isinstance(sound, Foreign):
            phonemes.append(Phoneme(sound.text, viseme_of(sound.text), sound.text, begin, end))
            continue
        middle = begin
        if sound.initial:
            span = borders[n + 1] - borders[n]
            share = initial / (initial + final) * span
            rise = _rise(loudness, borders[n] + share, VOWEL_REACH * min(share, span - share), start_ms)
            middle = min(max(round(rise), begin + 1), end)
            phonemes.append(Phoneme(sound.initial, viseme_of(sound.initial), sound.text, begin, middle))
        phonemes.append(Phoneme(sound.final, viseme_of(sound.final, sound.initial), sound.text, middle, end))
    return phonemes


def _borders(lengths: list[float], start_ms: int, end_ms: int, loudness: Envelope | None) -> list[float]:
    """Where syllables begin, and the end: together as near to typical lengths and to weak places as can be (a shortest path)."""
    scale = (end_ms - start_ms) / sum(lengths)
    expected = np.array(lengths) * scale
    typical_places = start_ms + np.concatenate([[0.0], np.cumsum(expected)])
    if loudness is None or len(loudness) < 3 or len(lengths) < 2 or loudness.max() == 0:
        return [float(place) for place in typical_places]
    level = loudness / loudness.max()
    reach = max(3, int(REACH * (end_ms - start_ms) / len(lengths) / HOP_MS))
    # For each border its candidate hops, the cost of the best way there, and whence that way came.
    hops = np.zeros(1, np.int_)
    costs = np.zeros(1)
    ways: list[tuple[npt.NDArray[np.int_], npt.NDArray[np.int_]]] = []
    for n, length in enumerate(expected, start=1):
        middle = round((typical_places[n] - start_ms) / HOP_MS)
        if n == len(expected):
            there = np.array([len(loudness)])
        else:
            there = np.arange(max(1, middle - reach), min(len(loudness) - 1, middle + reach) + 1)
            if len(there) == 0:
                return [float(place) for place in typical_places]
        took = np.log(np.maximum(there[:, None] - hops[None, :], 0.2) * HOP_MS / length)
        weak = LOUDNESS_COST * level[np.minimum(there, len(level) - 1)] if n < len(expected) else np.zeros(1)
        whole = costs[None, :] + took**2 + weak[:, None]
        best = whole.argmin(axis=1)
        ways.append((hops, best))
        hops, costs = there, whole[np.arange(len(there)), best]
    at = int(costs.argmin())
    path: list[int] = []
    for before, best in reversed(ways):
        at = int(best[at])
        path.append(int(before[at]))
    # A window's middle is told; the weak place begins a hop before it.
    inner = [start_ms + max(0, hop - 1) * HOP_MS for hop in reversed(path[:-1])]
    return [float(place) for place in np.maximum.accumulate([start_ms, *inner, end_ms])]


def _near(loudness: Envelope | None, at_ms: float, reach_ms: float, start_ms: int) -> tuple[int, Envelope]:
    """The loudness around ``at_ms`` and the index of its first value; empty where there is no sound to look at."""
    if loudness is None:
        return 0, np.zeros(0)
    low = max(0, int((at_ms - reach_ms - start_ms) // HOP_MS))
    high = int((at_ms + reach_ms - start_ms) // HOP_MS) + 1
    return low, loudness[low:high]


def _rise(loudness: Envelope | None, at_ms: float, reach_ms: float, start_ms: int) -> float:
    """Where it has risen by RISEN of the way from the weakest place to the loudest behind it."""
    low, levels = _near(loudness, at_ms, reach_ms, start_ms)
    if _flat(levels):
        return at_ms
    weakest = int(np.argmin(levels))
    behind = levels[weakest:]
    risen = int(np.argmax(behind >= behind[0] + RISEN * (behind.max() - behind[0])))
    return float(start_ms + (low + weakest + risen) * HOP_MS)


def _flat(levels: Envelope) -> bool:
    return len(levels) < 3 or bool(levels.min() > FLAT * levels.max())
