"""What a living head does when nothing is said: breathing, blinks, a little sway; and the nod of agreement.

Everything is a pure function of time with parameters that travel to the client as JSON (``parameters``), so that page and film
move alike. Sway and breath are sums of sines ``amplitude * sin(2 pi (t / period_ms + phase))``. Blinks come once a slot of
``slot_ms``, at a moment that a 32-bit hash of the slot's number decides: nobody has to remember when the last one was.

Sources: about 15 blinks a minute in conversation, 100-400 ms each, the lid closing faster than it opens (Bentivoglio et al.,
Movement Disorders 12, 1997); 12-20 breaths a minute at rest.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# (amplitude, period_ms, phase). Periods share no small multiple, so that the sum does not visibly repeat.
SWAY_X_PX = ((1.5, 7300.0, 0.0), (0.7, 4700.0, 0.37))
SWAY_Y_PX = ((0.8, 6100.0, 0.21), (0.4, 3700.0, 0.64))
SWAY_DEG = ((0.45, 8900.0, 0.11), (0.25, 5300.0, 0.58))
BREATH_PX = ((1.6, 4100.0, 0.0),)
BLINK_SLOT_MS = 4000
BLINK_EARLIEST_MS = 400
BLINK_LATEST_MS = 3200
BLINK_CLOSE_MS = 90
BLINK_SHUT_MS = 50
BLINK_OPEN_MS = 160
# One slot in eight has two blinks in a row.
BLINK_TWICE_EVERY = 8
BLINK_TWICE_AFTER_MS = 420
NOD_PX = 5.0
NOD_MS = 900

Map = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pose:
    """The head against the portrait: moved by (``x_px``, ``y_px``), turned by ``angle_deg`` about the pivot, body up ``breath_px``."""

    x_px: float = 0.0
    y_px: float = 0.0
    angle_deg: float = 0.0
    breath_px: float = 0.0


def parameters() -> dict[str, Any]:
    """Everything a client needs to move alike; units are in the names."""
    return {
        "sway_x_px": SWAY_X_PX,
        "sway_y_px": SWAY_Y_PX,
        "sway_deg": SWAY_DEG,
        "breath_px": BREATH_PX,
        "blink": {
            "slot_ms": BLINK_SLOT_MS,
            "earliest_ms": BLINK_EARLIEST_MS,
            "latest_ms": BLINK_LATEST_MS,
            "close_ms": BLINK_CLOSE_MS,
            "shut_ms": BLINK_SHUT_MS,
            "open_ms": BLINK_OPEN_MS,
            "twice_every": BLINK_TWICE_EVERY,
            "twice_after_ms": BLINK_TWICE_AFTER_MS,
        },
        "nod": {"px": NOD_PX, "ms": NOD_MS},
    }


def pose(t_ms: float) -> Pose:
    return Pose(_sum(SWAY_X_PX, t_ms), _sum(SWAY_Y_PX, t_ms), _sum(SWAY_DEG, t_ms), _sum(BREATH_PX, t_ms))


def nod(since_ms: float) -> float:
    """Pixels down, ``since_ms`` after a nod began: down, up, and half as far again."""
    if not 0 <= since_ms < NOD_MS:
        return 0.0
    t = since_ms / NOD_MS
    return NOD_PX * math.sin(math.pi * t) * math.sin(2 * math.pi * t) ** 2 * (1.5 - t)


def blink(t_ms: float) -> float:
    """How far the lids are shut, 0..1, at ``t_ms`` >= 0."""
    slot = int(t_ms // BLINK_SLOT_MS)
    shut = 0.0
    for number in (slot - 1, slot):
        if number >= 0:
            shut = max(shut, *(_lid(t_ms - start) for start in blink_starts(number)))
    return shut


def blink_starts(slot: int) -> tuple[float, ...]:
    """When the lids begin to fall in slot number ``slot``, in ms: once, now and then twice."""
    value = _hash(slot)
    first = slot * BLINK_SLOT_MS + BLINK_EARLIEST_MS + value % (BLINK_LATEST_MS - BLINK_EARLIEST_MS)
    if (value >> 16) % BLINK_TWICE_EVERY == 0:
        return (first, first + BLINK_TWICE_AFTER_MS)
    return (first,)


def _lid(since_ms: float) -> float:
    if since_ms < 0:
        return 0.0
    if since_ms < BLINK_CLOSE_MS:
        return _smooth(since_ms / BLINK_CLOSE_MS)
    since_ms -= BLINK_CLOSE_MS + BLINK_SHUT_MS
    return 1.0 if since_ms < 0 else _smooth(max(0.0, 1.0 - since_ms / BLINK_OPEN_MS))


def _hash(slot: int) -> int:
    """A 32-bit mix that any language can repeat with unsigned multiplication (the finaliser of MurmurHash3)."""
    value = (slot + 0x9E3779B9) & 0xFFFFFFFF
    value = ((value ^ (value >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    value = ((value ^ (value >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return value ^ (value >> 16)


def _smooth(t: float) -> float:
    return t * t * (3.0 - 2.0 * t)


def _sum(waves: tuple[tuple[float, float, float], ...], t_ms: float) -> float:
    return sum(amplitude * math.sin(2 * math.pi * (t_ms / period + phase)) for amplitude, period, phase in waves)


class Warp:
    """Backward maps that move a whole face by a pose: the head with its mask, the body with the breath.

    ``head``: float32 0..1, shape (height, width): how much a pixel goes with the head. The body rises from the pivot (the neck)
    downwards and does not move at the picture's upper half, so that the background stays where it is.
    """

    def __init__(self, head: Map, pivot_px: tuple[float, float]) -> None:
        height, width = head.shape
        self._head = head.astype(np.float32)
        ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
        self._xs, self._ys = xs, ys
        self._from_x, self._from_y = self._head * (xs - pivot_px[0]), self._head * (ys - pivot_px[1])
        below = np.clip((ys - pivot_px[1]) / max(1.0, height - pivot_px[1]) * 2.0, 0.0, 1.0)
        body = (1.0 - self._head) * below * below * (3.0 - 2.0 * below)
        self._breath = (body + 0.35 * self._head).astype(np.float32)

    def maps(self, at: Pose) -> tuple[Map, Map]:
        """Where each pixel of the moved picture comes from, as ``cv2.remap`` takes it: two float32 arrays (height, width)."""
        turn = math.radians(at.angle_deg)
        # Small angles: the inverse turn about the pivot, minus the identity, to first order.
        map_x = self._xs - self._head * np.float32(at.x_px) + self._from_y * np.float32(turn)
        map_y = self._ys - self._head * np.float32(at.y_px) - self._from_x * np.float32(turn)
        map_y += self._breath * np.float32(at.breath_px)
        return map_x, map_y
