"""From blendshapes to a mouth state: what of each axis the eye sees, and a table that answers in microseconds."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.rig import EyeState, MouthState
from avatar.timeline import BLENDSHAPES, MOODS

Values = npt.NDArray[np.float32]

_AT = {name: index for index, name in enumerate(BLENDSHAPES)}

AXES = ("jaw", "width", "round", "press", "tongue", "roll")
_LOW = np.array([0.0, -1.0, 0.0, 0.0, 0.0, 0.0], np.float32)
_LEVELS = np.array([33, 9, 9, 5, 3, 3])
_STEP = (1.0 - _LOW) / (_LEVELS - 1)
# How far apart two mouths look for one unit of each axis. A tongue is only seen between parted lips.
_WEIGHT = np.array([1.6, 0.55, 0.9, 0.7, 0.35, 0.8], np.float32)


def axes_of(values: Values) -> npt.NDArray[np.float32]:
    """``values``: float32, shape (n, len(BLENDSHAPES)) -> the mouth axes, float32, shape (n, len(AXES))."""
    v = np.clip(values, 0.0, 1.0)
    close = v[:, _AT["mouthClose"]]
    # mouthClose shuts the lips over an open jaw; what is seen is how far they stay apart.
    jaw = v[:, _AT["jawOpen"]] * (1.0 - close)
    rounded = np.maximum(v[:, _AT["mouthPucker"]], 0.8 * v[:, _AT["mouthFunnel"]])
    width = np.maximum(v[:, _AT["mouthStretch"]], 0.7 * v[:, _AT["mouthSmile"]]) * (1.0 - rounded)
    # Lips that close for b p m have to be seen shut, so that half a press asks for nearly a whole one.
    press = np.minimum(1.0, 1.6 * np.maximum(v[:, _AT["mouthPress"]], close))
    jaw = np.maximum(jaw, 0.10 * v[:, _AT["mouthUpperUp"]] * (1.0 - press))
    return np.stack([jaw, width, rounded, press, v[:, _AT["tongueUp"]], v[:, _AT["mouthRollLower"]]], axis=1)


def _seen(axes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Axes as the eye measures them: the first millimetres of an opening count most, a pressed lip hides the jaw."""
    seen = axes.copy()
    seen[:, 0] = np.sqrt(np.maximum(axes[:, 0], 0.0) + 0.01) - 0.1
    seen[:, 4] = axes[:, 4] * np.minimum(1.0, axes[:, 0] / 0.15)
    return np.asarray(seen * _WEIGHT, np.float32)


@dataclass(frozen=True, slots=True)
class Lookup:
    """Tables over a grid of the axes, one a mood, built once a rig. ``eyes``: (blinks, ids) a mood, sorted by blink."""

    tables: dict[str, npt.NDArray[np.int32]]
    eyes: dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]]

    @classmethod
    def over(cls, mouths: tuple[MouthState, ...], eyes: tuple[EyeState, ...]) -> "Lookup":
        grid = np.stack(np.meshgrid(*(np.arange(n) for n in _LEVELS), indexing="ij"), axis=-1).reshape(-1, len(AXES))
        asked = _seen((_LOW + grid * _STEP).astype(np.float32))
        tables, lids = {}, {}
        for mood in MOODS:
            states = [state for state in mouths if state.mood == mood] or [s for s in mouths if s.mood == "neutral"]
            have = _seen(np.array([[getattr(state, axis) for axis in AXES] for state in states], np.float32))
            # |a - b|^2 without the constant |a|^2; the first of equals wins, so the order of states decides nothing else.
            distance = (have**2).sum(axis=1)[None, :] - 2.0 * asked @ have.T
            ids = np.array([state.id for state in states], np.int32)
            tables[mood] = ids[distance.argmin(axis=1)]
            pairs = [state for state in eyes if state.mood == mood] or [s for s in eyes if s.mood == "neutral"]
            pairs.sort(key=lambda state: state.blink)
            lids[mood] = (
                np.array([state.blink for state in pairs], np.float32),
                np.array([state.id for state in pairs], np.int32),
            )
        return cls(tables, lids)

    def mouths(self, values: Values, mood: str) -> npt.NDArray[np.int32]:
        steps = np.rint((axes_of(values) - _LOW) / _STEP).astype(np.int64)
        return self.tables[mood][np.ravel_multi_index(tuple(steps.T), tuple(_LEVELS), mode="clip")]

    def eye(self, blink: float, mood: str) -> int:
        blinks, ids = self.eyes[mood]
        return int(ids[int(np.abs(blinks - blink).argmin())])
