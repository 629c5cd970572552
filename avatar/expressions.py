"""How a face moves: where each landmark of a closed, neutral face goes for a mouth state or a pair of lids.

Pure geometry on an upright face. Lengths are parts of the face's width F (cheek to cheek, about 135 mm) or of the mouth's width W
(about 50 mm); the amounts were set by eye on contact sheets and by the lip figures of benchmarks/lips.py.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.landmarks import (
    BROWS,
    CHIN,
    FACE_POINTS,
    LEFT_CHEEK,
    LOWER_INNER,
    LOWER_LIDS,
    LOWER_OUTER,
    RIGHT_CHEEK,
    UPPER_INNER,
    UPPER_LIDS,
    UPPER_OUTER,
)
from avatar.rig import EyeState, MouthState

Flat = npt.NDArray[np.float32]

# A jaw of 1 drops the middle of the lower lip by this part of F; the upper lip rises by RAISE.
DROP = 0.125
RAISE = 0.018
# How far the corners go down with the jaw, against the lip's middle.
CORNER = 0.30
PURSE = 0.44
NARROW = 0.16
SPREAD = 0.12
# Lips that touch still need a hair's breadth between them, so that the triangulation knows which lip is which.
TOUCH_PX = 0.3


def _ramp(low: float, high: float, value: Flat) -> Flat:
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)


def _bell(value: Flat, width: float) -> Flat:
    return np.asarray(np.exp(-((value / width) ** 2)), np.float32)


@dataclass(frozen=True, slots=True)
class Mouth:
    """A face's lower half in its own measures. ``source``: float32 (n, 2) as photographed; ``rest``: the same with lips closed."""

    source: Flat
    rest: Flat
    upper: npt.NDArray[np.bool_]
    face: float

    @classmethod
    def of(cls, points: Flat) -> "Mouth":
        """``points``: float32, shape (>= FACE_POINTS, 2), of an upright face."""
        source = np.asarray(points[:FACE_POINTS], np.float32)
        face = float(np.linalg.norm(source[RIGHT_CHEEK] - source[LEFT_CHEEK]))
        top, bottom = _curve(source, UPPER_INNER), _curve(source, LOWER_INNER)
        x, y = source[:, 0], source[:, 1]
        gap = np.maximum(_at(bottom, x) - _at(top, x), 0.0)
        middle = (_at(top, x) + _at(bottom, x)) / 2
        upper = y < middle
        upper[list(UPPER_INNER[1:-1])] = True
        upper[list(LOWER_INNER)] = False
        # Parted lips close towards each other; what is farther from them follows less, the chin hardly.
        away = np.abs(y - np.where(upper, _at(top, x), _at(bottom, x))) / face
        follow = np.where(upper, _bell(away, 0.07), _bell(away, 0.16))
        rest = source.copy()
        rest[:, 1] += np.where(upper, 1.0, -1.0) * 0.5 * gap * follow
        return cls(source, rest, upper, face)

    def opening(self, state: MouthState) -> Flat:
        """The inner lips of ``state`` as a closed polygon, float32, shape (82, 2)."""
        moved = self.moved(state)
        return np.concatenate([smooth(moved[list(UPPER_INNER)]), smooth(moved[list(LOWER_INNER)])[::-1]])

    def moved(self, state: MouthState) -> Flat:
        """Where every landmark goes in ``state``: float32, shape (FACE_POINTS, 2)."""
        f, at, upper = self.face, self.rest, self.upper
        left, right = at[UPPER_INNER[0]], at[UPPER_INNER[-1]]
        centre, half = float(left[0] + right[0]) / 2, float(right[0] - left[0]) / 2
        x, y = at[:, 0], at[:, 1]
        line = _at((_curve(at, UPPER_INNER) + _curve(at, LOWER_INNER)) / 2, x)
        u = (x - centre) / half
        side, au = np.sign(u), np.abs(u)
        near = np.minimum(au, 1.0)
        beyond = _bell(np.maximum(au - 1.0, 0.0), 0.8)
        h = (y - line) / f
        thick_up = np.maximum(line - _at(_curve(at, UPPER_OUTER), x), 1.0)
        thick_low = np.maximum(_at(_curve(at, LOWER_OUTER), x) - line, 1.0)
        # 0 on the line between the lips, 1 on the lips' outer edge.
        ring = np.where(upper, (line - y) / thick_up, (y - line) / thick_low)
        past = np.maximum(ring - 1.0, 0.0)
        fade = _bell(past, 0.8)
        dx, dy = np.zeros_like(x), np.zeros_like(y)

        # The jaw: the lower lip hangs between the corners, the chin goes with it, the upper lip gives way a little.
        corner = CORNER * (1.0 - 0.6 * state.round)
        hang = np.where(au < 1, corner + (1 - corner) * (1 - near**2.4), corner * beyond)
        chin = _ramp(0.04, 0.30, h)
        low = (1 - chin) * hang + chin * 0.88 * np.exp(-((au / 2.2) ** 4))
        high = corner * np.where(au < 1, near**3, beyond) * _bell(h, 0.12)
        drop = DROP * f * state.jaw * (1.0 - 0.12 * state.round)
        dy += drop * np.where(upper, high, low)
        dy -= RAISE * f * np.sqrt(state.jaw) * (1 - state.round) * np.where(upper, (1 - near**2) * _bell(h, 0.10), 0.0)
        dx -= side * 0.06 * half * state.jaw * near * beyond * _bell(h, 0.15)

        # Pursing and narrowing bring the corners in and the lips forward, which is seen as fuller lips.
        inward = (PURSE * state.round + NARROW * max(-state.width, 0.0)) * near * half * beyond * _bell(h, 0.17)
        dx -= side * inward
        # The bow of a smile straightens, as its corners come in.
        level = float(line[list(UPPER_INNER)].mean())
        dy += 0.7 * state.round * (level - line) * beyond * _bell(h, 0.14)
        # Shut lips purse flat: fuller ones look parted.
        fullness = state.round * min(1.0, 0.2 + state.jaw / 0.12) * (1.0 - state.press)
        full = 0.020 * f * fullness * np.minimum(ring, 1.0) * fade * (1 - 0.5 * near**2)
        dy += np.where(upper, -full, full)

        # Spreading draws the corners out and up, and the lips thinner.
        spread = max(state.width, 0.0)
        dx += side * SPREAD * spread * near * half * beyond * _bell(h, 0.16)
        dy -= 0.012 * f * spread * near**2 * beyond * _bell(h, 0.10)
        thin = (0.10 * spread + 0.36 * state.press) * np.minimum(ring, 1.0) * fade
        dy += np.where(upper, thin * thick_up, -thin * thick_low)

        # For f the lower lip is drawn up and in, the upper lip shows the teeth that touch it.
        tuck = 0.45 * state.roll * np.minimum(ring, 1.0) * fade * thick_low
        dy -= np.where(upper, RAISE * f * state.roll * (1 - near**2) * _bell(h, 0.10), tuck)

        about_corner = (1.0 - 0.7 * state.round) * (near**2) * beyond * _bell(h, 0.13)
        if state.mood == "smile":
            dx += side * 0.10 * half * about_corner
            dy -= 0.030 * f * about_corner
        elif state.mood == "concern":
            dx -= side * 0.05 * half * about_corner
            dy += 0.016 * f * about_corner

        moved = at + np.stack([dx, dy], axis=1)
        above, below = list(UPPER_INNER[1:-1]), list(LOWER_INNER[1:-1])
        need = np.maximum(TOUCH_PX - (moved[below, 1] - moved[above, 1]), 0.0) / 2
        moved[above, 1] -= need
        moved[below, 1] += need
        return np.asarray(moved, np.float32)


def eyes_moved(points: Flat, state: EyeState) -> Flat:
    """Where every landmark goes when the lids are ``state``: float32, shape (FACE_POINTS, 2).

    The eyeball does not move: only the lids, the skin around them and the brows do.
    """
    at = np.asarray(points[:FACE_POINTS], np.float32)
    face = float(np.linalg.norm(at[RIGHT_CHEEK] - at[LEFT_CHEEK]))
    x, y = at[:, 0], at[:, 1]
    dy = np.zeros_like(y)
    for uppers, lowers, brow in zip(UPPER_LIDS, LOWER_LIDS, BROWS, strict=True):
        top, bottom = _curve(at, uppers), _curve(at, lowers)
        left, right = float(at[uppers[0], 0]), float(at[uppers[-1], 0])
        u = np.abs(x - (left + right) / 2) / ((right - left) / 2)
        over = _bell(np.maximum(u - 0.9, 0.0), 0.35)
        height = np.where(u < 1, np.maximum(_at(bottom, x) - _at(top, x), 0.0), 0.0)
        shut = state.blink
        squint = {"neutral": 0.0, "smile": 0.22, "concern": 0.05}[state.mood] * (1 - shut)
        brow_y = float(at[list(brow), 1].mean())
        lid_y = float(at[list(uppers), 1].min())
        # From the lid's edge, which goes all the way, to the brow, which stays.
        rise = np.clip((y - brow_y) / max(lid_y - brow_y, 1.0), 0.0, 1.0)
        is_upper = y <= (_at(top, x) + _at(bottom, x)) / 2
        dy += np.where(is_upper, 0.88 * shut * height * rise**2, 0.0) * over
        below = np.maximum(y - _at(bottom, x), 0.0) / face
        dy -= np.where(is_upper, 0.0, (0.08 * shut + squint) * height * _bell(below, 0.05)) * over
        for index in (uppers[0], uppers[-1]):
            dy[index] = 0.0
    for brow, inner in zip(BROWS, (1.0, -1.0), strict=True):
        middle = float(at[list(brow), 0].mean())
        span = float(np.ptp(at[list(brow), 0])) / 2
        mine = _bell((x - middle) / (1.6 * span), 1.0) * _bell((y - float(at[list(brow), 1].mean())) / face, 0.06)
        if state.mood == "concern":
            dy -= 0.020 * face * mine * np.clip(0.5 + inner * (x - middle) / span / 2, 0.0, 1.2)
        elif state.mood == "smile":
            dy -= 0.006 * face * mine
    moved = at.copy()
    moved[:, 1] += dy
    return np.asarray(moved, np.float32)


def smooth(curve: Flat, count: int = 41) -> Flat:
    """A landmark curve as ``count`` points of a cubic through them: float32, shape (count, 2)."""
    from scipy.interpolate import CubicSpline

    along = np.arange(len(curve), dtype=np.float64)
    return np.asarray(CubicSpline(along, curve)(np.linspace(0, len(curve) - 1, count)), np.float32)


def _curve(points: Flat, indexes: tuple[int, ...]) -> Flat:
    return points[list(indexes)]


def _at(curve: Flat, x: Flat) -> Flat:
    """The curve's y at ``x``; beyond its ends, the ends' y."""
    order = np.argsort(curve[:, 0])
    return np.asarray(np.interp(x, curve[order, 0], curve[order, 1]), np.float32)


__all__ = ["CHIN", "DROP", "Flat", "Mouth", "eyes_moved", "smooth"]
