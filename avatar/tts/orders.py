"""A text in orders for an engine that makes a whole piece at a time: sentence by sentence, with the silence behind each."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from avatar.speech_text import Mark, Sound

LONGEST_ORDER = 60  # sounds
LONG_PAUSE_MS, SHORT_PAUSE_MS = 320, 170


def orders(sounds: Sequence[Sound]) -> Iterator[list[Sound]]:
    """Sentences; long ones are cut at a pause, or where there is none at LONGEST_ORDER. What makes no sound is left out."""
    held: list[Sound] = []
    for sound in sounds:
        if isinstance(sound, Mark) and (not held or isinstance(held[-1], Mark)):
            continue
        held.append(sound)
        pause = isinstance(sound, Mark) and (sound.long or len(held) > LONGEST_ORDER // 2)
        if pause or len(held) >= LONGEST_ORDER:
            yield held
            held = []
    if held:
        yield held


def silence(order: Sequence[Sound], pace: float, sample_rate_hz: int) -> npt.NDArray[np.int16]:
    """What follows an order: int16 zeros, a sentence's pause behind a long mark, a comma's behind a short one, else none."""
    mark = order[-1]
    length_ms = 0 if not isinstance(mark, Mark) else LONG_PAUSE_MS if mark.long else SHORT_PAUSE_MS
    return np.zeros(int(length_ms / pace) * sample_rate_hz // 1000, np.int16)
