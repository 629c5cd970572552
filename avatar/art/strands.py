"""Hair, brows and lashes of 小岚 as bundles of curves, grown on the head's surface.

A bundle is an array (strands, points, 3) in the mesh's coordinates (dm). Hair is grown once on the resting head; brows and
lashes are bound to the skin, so that they follow its facial units.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from mathutils import Vector
from mathutils.bvhtree import BVHTree
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter, median_filter

from avatar.art.face import SKULL_CENTRE, hairline
from avatar.art.head import Head, Points, Surface


def _unit(vectors: Points) -> Points:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Points = vectors / np.maximum(lengths, 1e-9)
    return unit


class Skull:
    """The distance from the skull's centre to its surface in every direction, ears smoothed away."""

    def __init__(self, points: Points, surface: Surface) -> None:
        tree = BVHTree.FromPolygons([Vector(p) for p in points], [list(face) for face in surface.faces])
        self._elevations = np.radians(np.arange(-60, 91, 3.0))
        self._azimuths = np.radians(np.arange(-180, 181, 3.0))
        table = np.zeros((len(self._elevations), len(self._azimuths)))
        for i, elevation in enumerate(self._elevations):
            for j, azimuth in enumerate(self._azimuths):
                direction = self._direction(elevation, azimuth)
                start = SKULL_CENTRE + 4.0 * direction
                hit = tree.ray_cast(Vector(start), Vector(-direction))[0]
                table[i, j] = np.linalg.norm(np.array(hit) - SKULL_CENTRE) if hit else 0.7
        smooth = median_filter(table, size=(11, 9), mode="nearest")
        beside_ears = np.abs(np.abs(np.degrees(self._azimuths)) - 95) < 30
        table = np.where(beside_ears[None, :], np.minimum(table, smooth + 0.01), table)
        # Below the ears the rays meet the shoulders; hair hangs in behind the neck instead.
        table = np.minimum(
            table, np.interp(np.degrees(self._elevations), [-60, -45, -25, 5], [1.05, 0.96, 0.84, 2.0])[:, None]
        )
        # Hair lies over the ears.
        over = np.exp(-(((np.abs(np.degrees(self._azimuths)) - 88) / 26) ** 2))[None, :]
        table += 0.055 * over * np.interp(np.degrees(self._elevations), [-45, -30, -5, 10], [0, 1, 1, 0])[:, None]
        self._table = gaussian_filter(table, 1.2, mode=("nearest", "wrap"))

    @staticmethod
    def _direction(elevation: float, azimuth: float) -> Points:
        return np.array([np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)])

    def radius(self, directions: Points) -> Points:
        """Distance (dm) of the skin for unit vectors (..., 3)."""
        elevation = np.arcsin(np.clip(directions[..., 1], -1, 1))
        azimuth = np.arctan2(directions[..., 0], directions[..., 2])
        row = np.clip((elevation - self._elevations[0]) / np.radians(3), 0, len(self._elevations) - 1.001)
        column = np.clip((azimuth - self._azimuths[0]) / np.radians(3), 0, len(self._azimuths) - 1.001)
        i, j = row.astype(int), column.astype(int)
        a, b = row - i, column - j
        t = self._table
        value: Points = (
            t[i, j] * (1 - a) * (1 - b)
            + t[i + 1, j] * a * (1 - b)
            + t[i, j + 1] * (1 - a) * b
            + t[i + 1, j + 1] * a * b
        )
        return value


def _bezier(controls: list[Points], count: int) -> Points:
    """Points (n, count, 3) on Bezier curves through control arrays (n, 3), by de Casteljau."""
    t = np.linspace(0, 1, count)[None, :, None]
    layers = [np.broadcast_to(control[:, None, :], (len(control), count, 3)) for control in controls]
    while len(layers) > 1:
        layers = [(1 - t) * first + t * second for first, second in zip(layers, layers[1:], strict=False)]
    return np.array(layers[0])


def _lifted(skull: Skull, paths: Points, lift: Points) -> Points:
    directions = _unit(paths)
    return np.asarray(SKULL_CENTRE + directions * (skull.radius(directions) + lift)[..., None])


def hair(skull: Skull, seed: int = 7, guides: int = 700, children: int = 34, count: int = 16) -> Points:
    """Hair parted on her left, swept over the temples and gathered low behind."""
    rng = np.random.default_rng(seed)
    roots = _unit(rng.normal(size=(guides * 12, 3)))
    roots = roots[hairline(roots) > rng.uniform(-1.0, 1.0, len(roots))]
    # More of the guides where the picture sees them: the front.
    roots = roots[rng.uniform(size=len(roots)) < np.clip(0.35 + 0.65 * (roots[:, 2] + 0.2), 0.12, 1.0)][:guides]
    part = 0.20
    side = np.where(roots[:, 0] > part, 1.0, -1.0)
    front = np.clip(roots[:, 2] * 1.3, 0.0, 1.0)[:, None]
    top = np.clip(roots[:, 1], 0.0, 1.0)[:, None]
    sideways = np.stack([side * 0.95, 0.42 + 0 * side, 0.55 + 0 * side], axis=1)
    over_ear = np.stack([side * 1.0, -0.50 + 0 * side, 0.02 + 0 * side], axis=1)
    behind = np.stack([side * 0.40, -0.75 + 0 * side, -0.75 + 0 * side], axis=1)
    middle = _unit(roots + 0.6 * over_ear)
    second = (1 - front * top) * middle + front * top * _unit(sideways)
    wander = rng.normal(scale=0.03, size=roots.shape)
    paths = _bezier([roots, second + wander, over_ear + wander, behind], count)
    t = np.linspace(0, 1, count)[None, :]
    crown = np.clip(_unit(paths)[..., 1], 0, 1) ** 2
    lift = np.minimum(1.0, t / 0.22) ** 0.7 * (0.035 + 0.075 * crown + rng.uniform(-0.012, 0.03, (len(roots), 1)))
    guide = _lifted(skull, paths, lift + 0.004)
    return np.concatenate([_children(guide, children, rng, 0.034), fringe(skull, rng, children, count)])


def _through(stops: list[Points], count: int) -> Points:
    """Smooth paths (n, count, 3) through the given stops (each (n, 3)), evenly paced."""
    stack = np.stack(stops, axis=1)
    pace = np.linalg.norm(np.diff(stack.mean(axis=0), axis=0), axis=1)
    at = np.concatenate([[0.0], np.cumsum(pace)])
    return np.array(CubicSpline(at / at[-1], stack, axis=1)(np.linspace(0, 1, count)))


# The side-swept fringe: the stops of its middle as directions from the skull's centre, how far locks spread there, how many.
FRINGE = (
    (
        (
            (0.20, 0.82, 0.55),
            (-0.02, 0.56, 0.84),
            (-0.46, 0.27, 0.85),
            (-0.80, -0.14, 0.62),
            (-0.84, -0.46, 0.36),
            (-0.40, -0.68, -0.62),
        ),
        (0.03, 0.10, 0.10, 0.08, 0.06, 0.06),
        110,
    ),
    (
        (
            (0.24, 0.82, 0.55),
            (0.42, 0.54, 0.76),
            (0.70, 0.20, 0.69),
            (0.85, -0.12, 0.56),
            (0.84, -0.46, 0.36),
            (0.40, -0.68, -0.62),
        ),
        (0.03, 0.08, 0.08, 0.06, 0.05, 0.06),
        75,
    ),
)


def fringe(skull: Skull, rng: np.random.Generator, children: int, count: int) -> Points:
    """From the part over the forehead's corners, past the temples, to behind the ears."""
    bundles = []
    for stops, spreads, number in FRINGE:
        place = rng.uniform(-1, 1, (number, 1))
        depth = rng.uniform(-1, 1, (number, 1))
        placed = []
        for index, (stop, spread) in enumerate(zip(stops, spreads, strict=True)):
            along = np.array([0.0, 0.0, 0.16]) if index == 0 else np.array([0.15, 1.0, 0.4])
            placed.append(
                _unit(
                    np.array(stop)
                    + place * along * (spread if index else 1.0)
                    + rng.normal(scale=0.012, size=(number, 3))
                )
            )
        paths = _through(placed, count)
        t = np.linspace(0, 1, count)[None, :]
        lift = np.minimum(1, t / 0.22) * (0.06 + 0.055 * np.sin(np.pi * np.clip(t * 1.25, 0, 1)) + 0.014 * depth)
        bundles.append(_children(_lifted(skull, paths, lift), children, rng, 0.022))
    return np.concatenate(bundles)


def _children(guide: Points, children: int, rng: np.random.Generator, width: float) -> Points:
    """Strands around each guide: apart at the root, drawn together along the lock, a few astray."""
    count = guide.shape[1]
    t = np.linspace(0, 1, count)[None, None, :, None]
    scatter = rng.normal(scale=width, size=(len(guide), children, 1, 3))
    scatter = np.clip(scatter, -2.0 * width, 2.0 * width)
    clump = 1.0 - 0.55 * np.sin(np.pi * np.clip(t * 1.2, 0, 1)) ** 0.8
    wave_phase = rng.uniform(0, 6.28, (len(guide), children, 1, 1))
    wave = 0.0035 * np.sin(9 * t + wave_phase) * rng.normal(size=(len(guide), children, 1, 3))
    strands = guide[:, None] + scatter * clump + wave
    # Ends of unlike length, so that the hair does not stop in one line.
    end = 1 - 0.16 * rng.uniform(size=(len(guide), children, 1)) ** 2
    at = np.linspace(0, 1, count)[None, None, :] * end * (count - 1)
    first = np.minimum(at.astype(int), count - 2)
    share = (at - first)[..., None]
    near = np.take_along_axis(strands, first[..., None], axis=2)
    strands = near * (1 - share) + np.take_along_axis(strands, first[..., None] + 1, axis=2) * share
    return strands.reshape(-1, count, 3)


@dataclass(frozen=True)
class Bound:
    """Points fixed to the skin: the face they lie in, their place in it, and their height above it (dm)."""

    triangles: npt.NDArray[np.int64]
    weights: Points
    heights: Points
    shape: tuple[int, int]

    def at(self, points: Points) -> Points:
        """The bundle (strands, points, 3) for a pose of the head."""
        a, b, c = (points[self.triangles[:, k]] for k in range(3))
        normal = _unit(np.cross(b - a, c - a))
        place = np.einsum("nk,nkd->nd", self.weights, np.stack([a, b, c], axis=1))
        bundle: Points = (place + normal * self.heights[:, None]).reshape(*self.shape, 3)
        return bundle


def brows(points: Points, surface: Surface, seed: int = 3, number: int = 330) -> Bound:
    """Both brows, soft and nearly straight, hair by hair; bound to the skin."""
    triangles = np.array([t for f in surface.faces for t in ((f[0], f[1], f[2]), (f[0], f[2], f[3]))])
    near = points[triangles].mean(axis=1)
    triangles = triangles[(near[:, 1] > 5.7) & (near[:, 1] < 6.3) & (near[:, 2] > 0.8)]
    tree = BVHTree.FromPolygons([Vector(p) for p in points], triangles.tolist())
    rng = np.random.default_rng(seed)
    along = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    middle_x = np.array([0.125, 0.215, 0.305, 0.385, 0.455])
    middle_y = np.array([5.935, 5.946, 5.950, 5.938, 5.902])
    half = np.array([0.015, 0.020, 0.019, 0.013, 0.004])
    lean = np.radians([55, 26, 10, -10, -24])
    chosen, weights, heights = [], [], []
    for side in (1.0, -1.0):
        for _ in range(number):
            u, v = rng.uniform(0, 1) ** 0.95, np.clip(rng.normal(scale=0.55), -1, 1)
            x, y = np.interp(u, along, middle_x), np.interp(u, along, middle_y) + v * np.interp(u, along, half)
            angle = np.interp(u, along, lean) - 0.30 * v + rng.normal(scale=0.08)
            length = 0.034 + rng.uniform(0, 0.02)
            for step in range(4):
                s = step / 3
                px, py = x + length * s * np.cos(angle - 0.4 * s), y + length * s * np.sin(angle - 0.4 * s)
                place, _normal, face, _ = tree.ray_cast(Vector((side * px, py, 3.0)), Vector((0, 0, -1)))
                corners = points[triangles[face]]
                solved = np.linalg.lstsq(
                    np.vstack([corners.T, np.ones(3)]), np.append(np.array(place), 1.0), rcond=None
                )[0]
                chosen.append(triangles[face])
                weights.append(solved)
                heights.append(0.003 + 0.007 * np.sin(np.pi * s * 0.8))
    return Bound(np.array(chosen), np.array(weights), np.array(heights), (2 * number, 4))


def _lash_grid(head: Head, group: str) -> npt.NDArray[np.int64]:
    """The lash strip (all quads) as vertex numbers (rows from the lid to the tips, columns along the lid)."""
    faces = head.surfaces[group].faces
    uses: dict[int, int] = {}
    owners: dict[frozenset[int], list[tuple[int, ...]]] = {}
    for face in faces:
        for k, vertex in enumerate(face):
            uses[vertex] = uses.get(vertex, 0) + 1
            owners.setdefault(frozenset((vertex, face[(k + 1) % 4])), []).append(face)
    border: dict[int, list[int]] = {}
    for edge, found in owners.items():
        if len(found) == 1:
            first, second = edge
            border.setdefault(first, []).append(second)
            border.setdefault(second, []).append(first)
    corners = [vertex for vertex in border if uses[vertex] == 1]
    sides = []
    for start in corners:
        for step in border[start]:
            walk = [start, step]
            while walk[-1] not in corners:
                walk.append(next(v for v in border[walk[-1]] if v != walk[-2]))
            sides.append(walk)
    longest = max(len(side) for side in sides)
    row = min((side for side in sides if len(side) == longest), key=lambda side: head.rest[side, 2].mean())
    rows, used = [row], set()
    while True:
        following: list[int] = []
        for a, b in zip(row, row[1:], strict=False):
            free = [face for face in owners[frozenset((a, b))] if face not in used]
            if not free:
                return np.array(rows)
            face = free[0]
            used.add(face)
            others = [v for v in face if v not in (a, b)]
            beside_a = next(v for v in others if frozenset((a, v)) in owners)
            beside_b = next(v for v in others if v != beside_a)
            following = [*following, beside_b] if following else [beside_a, beside_b]
        row = following
        rows.append(row)


def lashes(head: Head, points: Points, seed: int = 11) -> Points:
    """All four rows of lashes for a posed head, on the mesh's own lash strips."""
    bundles = []
    for eye in ("l", "r"):
        for strip, number, reach in (("2", 130, 0.52), ("1", 60, 0.32)):
            rng = np.random.default_rng(seed)
            grid = points[_lash_grid(head, f"helper-{eye}-eyelashes-{strip}")]
            rows, columns = grid.shape[:2]
            if grid[0, 0, 0] ** 2 > grid[0, -1, 0] ** 2:
                grid = grid[:, ::-1]
            u = np.sort(rng.uniform(0.02, 0.985, number)) * (columns - 1)
            length = reach * (0.55 + 0.5 * np.sin(np.pi * np.clip(u / (columns - 1) * 0.75 + 0.12, 0, 1)))
            length *= rng.uniform(0.72, 1.05, number)
            steps = np.linspace(0, 1, 5)[None, :] * length[:, None] * (rows - 1)
            lean = np.clip(u[:, None] + rng.normal(scale=0.22, size=(number, 1)) * steps / rows, 0, columns - 1.001)
            i, j = np.minimum(steps.astype(int), rows - 2), lean.astype(int)
            a, b = (steps - i)[..., None], (lean - j)[..., None]
            bundles.append(
                grid[i, j] * (1 - a) * (1 - b)
                + grid[i + 1, j] * a * (1 - b)
                + grid[i, j + 1] * (1 - a) * b
                + grid[i + 1, j + 1] * a * b
            )
    return np.concatenate(bundles)
