"""The values that travel along the avatar's chain: audio chunks, boundaries, phonemes, visemes, blendshape curves.

Time is integer milliseconds (``pts``) of the utterance's own audio; the audio clock is the master everywhere.
Everything here is frozen and free of I/O.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

VISEMES = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "I", "O", "U")

# The ARKit blendshapes that a Mandarin mouth needs, in the column order of BlendshapeTrack.values. Each in 0..1.
# tongueUp is ours: the tip behind the upper teeth (l n d t), which ARKit's tongueOut does not tell.
BLENDSHAPES = (
    "jawOpen",
    "mouthClose",
    "mouthFunnel",
    "mouthPucker",
    "mouthStretch",
    "mouthSmile",
    "mouthPress",
    "mouthRollLower",
    "mouthUpperUp",
    "tongueUp",
)

MOODS = ("neutral", "smile", "concern")

# Pictures a second, wherever nothing else is asked for.
FPS = 25.0


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """Mono speech. ``pcm``: int16, shape (n,); ``pts_ms``: when its first sample sounds in the utterance."""

    pts_ms: int
    sample_rate_hz: int
    pcm: npt.NDArray[np.int16]

    @property
    def duration_ms(self) -> float:
        return 1000.0 * len(self.pcm) / self.sample_rate_hz


@dataclass(frozen=True, slots=True)
class Boundary:
    """A word as the engine timed it. ``text`` is what is written (for captions), in the original's characters."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Phoneme:
    """One timed sound. ``phoneme``: a pinyin initial or final where the text is Chinese (``zh``, ``uang``)."""

    phoneme: str
    viseme: str
    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class VisemeSpan:
    viseme: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class BlendshapeTrack:
    """Curves sampled at ``fps``: ``values`` float32, shape (frames, len(BLENDSHAPES)); frame i is at start_ms + 1000 i / fps."""

    start_ms: int
    fps: float
    values: npt.NDArray[np.float32]
