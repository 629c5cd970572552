"""Who 小岚 is: the shape of her face, the colour of her skin, and what of the mesh is lip or mouth."""

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter

from avatar.art.head import Head, Points

# Target (path under targets/) -> weight. Small steps from the young Asian woman of the mesh's authors.
_BOTH_EYES = {
    "eye-scale-incr": 0.8,
    "eye-height2-incr": 0.45,
    "eye-height1-incr": 0.2,
    "eye-trans-in": 0.2,
    "eye-eyefold-up": 0.4,
    "eye-bag-decr": 0.5,
    "eye-corner2-up": 0.15,
}
SHAPE: dict[str, float] = {
    "macrodetails/asian-female-young": 1.0,
    "head/head-oval": 0.35,
    "head/head-scale-horiz-decr": 0.45,
    "head/head-fat-decr": 0.15,
    "head/head-scale-vert-decr": 0.25,
    "forehead/forehead-scale-vert-decr": 0.3,
    "chin/chin-width-decr": 0.45,
    "chin/chin-triangle": 0.25,
    "chin/chin-bones-decr": 0.3,
    "nose/nose-width2-decr": 0.3,
    "nose/nose-width3-decr": 0.35,
    "nose/nose-point-up": 0.25,
    "nose/nose-scale-horiz-decr": 0.25,
    "nose/nose-scale-vert-decr": 0.2,
    "nose/nose-flaring-decr": 0.4,
    "mouth/mouth-upperlip-height-incr": -0.05,
    "mouth/mouth-scale-horiz-incr": 0.12,
    "mouth/mouth-cupidsbow-incr": 0.5,
    "mouth/mouth-angles-up": 0.25,
    "mouth/mouth-scale-vert-decr": 0.15,
    "mouth/mouth-upperlip-volume-decr": 0.25,
    **{f"eyes/{side}-{name}": weight for name, weight in _BOTH_EYES.items() for side in "lr"},
    **{f"cheek/{side}-cheek-volume-incr": 0.25 for side in "lr"},
    **{f"cheek/{side}-cheek-bones-decr": 0.3 for side in "lr"},
}

SKIN = (0.78, 0.475, 0.33)
MOUTH_SEED = 710


def with_small_ears(points: Points) -> Points:
    """The head with its ears drawn in: hardly anything stands out beyond the skull, for hair lies over it."""
    drawn = points.copy()
    side = np.sign(points[:, 0])
    out = np.abs(points[:, 0]) - np.interp(points[:, 1], [5.2, 5.5, 5.8, 6.0], [0.64, 0.70, 0.735, 0.75])
    ear = (out > 0) & (points[:, 1] > 5.2) & (points[:, 1] < 6.0) & (points[:, 2] < 0.75)
    drawn[ear, 0] -= (side * out * 0.92)[ear]
    return drawn


# Where light glints on each eye, from its foremost point (dm: to her left, up), and how large: the window, and its echo.
GLINTS = ((-0.020, 0.020, 0.0095), (0.020, -0.016, 0.0034))


def glints(eyes: Points) -> list[tuple[Points, list[tuple[int, int, int]]]]:
    """Small discs on the corneas of the fitted ``eyes``: their points and faces."""
    discs = []
    around = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    for side in (1.0, -1.0):
        eye = eyes[eyes[:, 0] * side > 0]
        front = eye[eye[:, 2].argmax()]
        for x, y, radius in GLINTS:
            middle = front + [x, y, 0.012]
            ring = middle + np.stack([0.8 * radius * np.cos(around), radius * np.sin(around), 0 * around], axis=1)
            discs.append((np.vstack([middle, ring]), [(0, k + 1, (k + 1) % 14 + 1) for k in range(14)]))
    return discs


def _smooth(values: Points, low: float, high: float) -> Points:
    t = np.clip((values - low) / (high - low), 0, 1)
    eased: Points = t * t * (3 - 2 * t)
    return eased


def with_slim_neck(points: Points) -> Points:
    """The head with a slimmer neck (drawn towards its axis, the jaw left alone)."""
    x, y, z = points.T
    strength = _smooth(y, 4.35, 4.65) * (1 - _smooth(y, 4.9, 5.15)) * (1 - _smooth(z, 0.70, 0.95))
    strength *= np.hypot(x, z - 0.2) < 0.9
    slim = points.copy()
    slim[:, 0] *= 1 - 0.13 * strength
    return slim


def with_larger_eyes(head: Head, points: Points, scale: float) -> Points:
    """The head with its eyes, lids and lashes scaled about each eye's centre; the eyeballs are fitted afterwards."""
    larger = points.copy()
    for side in "lr":
        centre = points[head.surfaces[f"joint-{side}-eye"].vertices].mean(axis=0)
        offset = points - centre
        reach = np.hypot(offset[:, 0], offset[:, 1] * 1.25)
        strength = (1 - _smooth(reach, 0.16, 0.38)) * (points[:, 2] > 0.85)
        larger += (strength * (scale - 1))[:, None] * offset
    return larger


def lower_lip(head: Head) -> Points:
    """0..1: how far a vertex follows the lower lip when it rolls under the teeth for *f*."""
    x, y, z = head.rest.T
    edge = head.rest[540]
    weight: Points = np.exp(-((x / 0.13) ** 2) - ((y - edge[1] + 0.02) / 0.055) ** 2)
    below = _smooth(-y, -edge[1] - 0.003, -edge[1] + 0.003)
    return weight * below * (z > 1.1) * (z < 1.5)


EYE_SCALE = 1.18


def proportioned(head: Head) -> Points:
    """Her resting head: the shaped mesh with small ears, a slimmer neck and larger eyes."""
    return with_larger_eyes(head, with_small_ears(with_slim_neck(head.rest)), EYE_SCALE)


def mouth_inside(head: Head, depth: float) -> npt.NDArray[np.bool_]:
    """Vertices of the mouth's cavity: those reached from its back wall without coming further forward than ``depth``."""
    neighbours: dict[int, set[int]] = {}
    for face in head.surfaces["body"].faces:
        for k, vertex in enumerate(face):
            neighbours.setdefault(vertex, set()).update((face[k - 1], face[(k + 1) % len(face)]))
    inside = np.zeros(len(head.rest), dtype=bool)
    inside[MOUTH_SEED] = True
    waiting = [MOUTH_SEED]
    while waiting:
        for vertex in neighbours[waiting.pop()]:
            if not inside[vertex] and head.rest[vertex, 2] < depth:
                inside[vertex] = True
                waiting.append(vertex)
    return inside


def cavity_squeeze(head: Head) -> Points:
    """Factors on x that draw the mouth's cavity in, so that its walls do not shine through the cheeks when it opens."""
    deep = _smooth(-head.rest[:, 2], -1.22, -1.02)
    return np.where(mouth_inside(head, 1.22), 1 - 0.28 * deep, 1.0)


SKULL_CENTRE = np.array([0.0, 5.95, 0.35])
# Where hair begins: degrees away from straight ahead -> degrees above the skull's centre.
_HAIRLINE_AZIMUTHS = (0, 20, 38, 52, 62, 68, 75, 84, 110, 135, 180)
_HAIRLINE_ELEVATIONS = (30, 29.5, 25, 15, 2, -10, -20, -12, -8, -28, -38)


def hairline(directions: Points) -> Points:
    """Degrees by which unit vectors from the skull's centre lie above the hairline (below it: negative)."""
    azimuth = np.degrees(np.abs(np.arctan2(directions[:, 0], directions[:, 2])))
    elevation = np.degrees(np.arcsin(np.clip(directions[:, 1], -1, 1)))
    return elevation - np.interp(azimuth, _HAIRLINE_AZIMUTHS, _HAIRLINE_ELEVATIONS)


# Vertices on the upper border of the lips' red, from its dip to the corner; the corner; the lower border's middle.
UPPER_BORDER = (466, 7222, 7219, 7216, 7211, 11953, 7207, 7173)
CORNER = 7250
LOWER_MIDDLE = 496
LIP_BOX = (-0.32, 4.92, 0.64, 0.48)


def lip_picture(head: Head, width: int = 1024) -> Points:
    """The lips' red as seen from the front at rest: (height, width) in 0..1 over ``LIP_BOX`` (x, y, width, height in dm).

    The upper border runs through the mesh's own vertices, so that it stays on the lips whatever shape the face has.
    """
    corner = head.rest[CORNER] + [0.002, -0.003, 0.0]
    upper = np.vstack([head.rest[list(UPPER_BORDER), :2], corner[:2]])
    bottom = head.rest[LOWER_MIDDLE, 1] - 0.004
    left, low, wide, high = LIP_BOX
    height = int(width * high / wide)
    x = np.abs(left + wide * (np.arange(width) + 0.5) / width)[None, :]
    y = (low + high * (np.arange(height) + 0.5) / height)[:, None]
    top = PchipInterpolator(upper[:, 0], upper[:, 1], extrapolate=False)(np.minimum(x, corner[0] - 1e-6))
    base = corner[1] - (corner[1] - bottom) * np.clip(1 - (x / corner[0]) ** 1.9, 0, 1) ** 0.9
    inside = np.minimum(top - y, y - base)
    soft = 0.012
    red: Points = np.clip(inside / soft + 0.5, 0, 1) * (x < corner[0])
    return gaussian_filter(red, 0.006 * width / wide * 0.5)


def tone(head: Head) -> Points:
    """Skin colour (linear RGB) of every vertex: redder cheeks, nose, ears and lids, paler brow and chin."""
    place = head.rest
    colour = np.tile(np.array(SKIN), (len(place), 1))

    def spot(x: float, y: float, wide: float, high: float) -> Points:
        spread: Points = np.exp(-(((np.abs(place[:, 0]) - x) / wide) ** 2) - ((place[:, 1] - y) / high) ** 2)
        return spread * (place[:, 2] > 0.5)

    def tint(strength: Points, factor: tuple[float, float, float]) -> None:
        colour[:] *= 1 + strength[:, None] * (np.array(factor) - 1)

    tint(spot(0.40, 5.53, 0.22, 0.16), (1.0, 0.78, 0.79))
    tint(spot(0.0, 5.44, 0.11, 0.08), (1.0, 0.84, 0.84))
    tint(spot(0.0, 4.96, 0.14, 0.08), (1.0, 0.90, 0.90))
    tint(spot(0.28, 5.84, 0.15, 0.035), (0.93, 0.80, 0.77))
    tint(spot(0.28, 5.72, 0.13, 0.04), (0.98, 0.88, 0.87))
    tint(spot(0.0, 6.2, 0.35, 0.15), (1.0, 1.03, 1.04))
    tint((np.abs(place[:, 0]) > 0.72) * (place[:, 1] > 5.3) * 1.0, (1.0, 0.82, 0.80))
    offset = place - SKULL_CENTRE
    above = hairline(offset / np.linalg.norm(offset, axis=1, keepdims=True))
    tint(_smooth(above, 1.0, 7.0), (0.06, 0.05, 0.05))
    return np.clip(colour, 0, 1)
