"""What 小岚 wears: a light-blue blouse with a collar, and a white coat with lapels over it, draped on the body.

Each piece is a grid of points with quads between them, in the mesh's coordinates (dm).
"""

import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree
from scipy.interpolate import CubicSpline

from avatar.art.head import Head, Points

Piece = tuple[Points, list[tuple[int, ...]]]


def _quads(rows: int, columns: int) -> list[tuple[int, ...]]:
    return [
        (r * columns + c, r * columns + c + 1, (r + 1) * columns + c + 1, (r + 1) * columns + c)
        for r in range(rows - 1)
        for c in range(columns - 1)
    ]


class Body:
    """The shoulders and the neck as something to lay cloth on."""

    def __init__(self, head: Head) -> None:
        faces = [list(f) for f in head.surfaces["body"].faces if head.rest[list(f), 1].max() < 5.3]
        self._tree = BVHTree.FromPolygons([Vector(p) for p in head.rest], faces)

    def laid(self, point: Points, height: float | Points) -> Points:
        """The point moved to ``height`` (dm) above the nearest skin."""
        place, normal, _, _ = self._tree.find_nearest(Vector(point))
        return np.array(place) + np.array(normal) * height

    def neck(self, angle: float, y: float) -> Points:
        """The skin around the neck at ``angle`` (radians, 0 in front, rising to her left) and height ``y``."""
        axis = np.array([0.0, y, 0.25])
        direction = np.array([np.sin(angle), 0.0, np.cos(angle)])
        hit = self._tree.ray_cast(Vector(axis + 3.0 * direction), Vector(-direction))[0]
        return np.array(hit) if hit else axis + 0.5 * direction


def shell(head: Head, body: Body, height: float, opening: float, lowest: float) -> Piece:
    """The torso's skin raised by ``height``; in front it is open by ``opening`` (dm, half width at y = 4.4)."""
    place = head.rest
    chosen = []
    for face in head.surfaces["body"].faces:
        x, y, z = place[list(face)].mean(axis=0)
        neck_line = 4.60 + 0.10 * np.clip(-z, -0.5, 1.0)
        spread = max(0.0, opening + 0.42 * (y - 4.4))
        if y < lowest or y > neck_line or abs(x) > 2.4 or (z > 0.45 and abs(x) < spread):
            continue
        chosen.append(face)
    used = np.unique(np.concatenate([np.asarray(f) for f in chosen]))
    number = {int(v): k for k, v in enumerate(used)}
    points = np.array([body.laid(place[v], height) for v in used])
    return points, [tuple(number[v] for v in f) for f in chosen]


def collar(
    body: Body,
    *,
    base: tuple[float, float, float],
    stand: float,
    fall: tuple[float, float],
    slack: tuple[float, float],
    gap: float,
    number: int = 90,
) -> Piece:
    """A folded collar. ``base``: its height at front, side, back; ``stand``: how far it rises before it turns over;
    ``fall``: how far it hangs behind and at its points; ``slack``: its distance from the neck inside and outside;
    ``gap``: half the opening in front (radians)."""
    angles = np.linspace(-np.pi + 1e-3, np.pi - 1e-3, number)
    angles = angles[np.abs(angles) > gap]
    halves = [angles[angles < 0], angles[angles > 0]]
    # Behind the neck both halves meet: one strip from the right point round the back to the left one.
    ordered = np.concatenate([halves[1][::-1] * 1.0, [np.pi], halves[0][::-1]])[::-1]
    height = CubicSpline([0, np.pi / 2, np.pi], base, bc_type="clamped")
    rows = []
    for angle in ordered:
        turn = abs(angle)
        y = float(height(turn))
        point_share = np.clip((1.25 - turn) / (1.25 - gap), 0, 1) ** 1.4
        hang = fall[0] + (fall[1] - fall[0]) * point_share
        outwards = np.array([np.sin(angle), 0.0, np.cos(angle)])
        inner = body.neck(angle, y) + outwards * slack[0]
        top = inner + np.array([0, stand * (1 - 0.85 * point_share), 0]) + outwards * 0.02
        turned = top + outwards * 0.055 + np.array([0, -0.005, 0])
        below = turned + outwards * (0.35 * hang) + np.array([np.sign(angle) * 0.10 * point_share, -hang, 0])
        profile = [inner - np.array([0, 0.10, 0]), inner, top, turned]
        for share in (0.33, 0.66, 1.0):
            hanging = turned * (1 - share) + below * share
            profile.append(_outside(body, hanging, slack[1]))
        rows.append(profile)
    grid = np.array(rows)
    return grid.reshape(-1, 3), _quads(len(rows), grid.shape[1])


def _outside(body: Body, point: Points, height: float) -> Points:
    """The point, lifted where it would sink below ``height`` over the skin."""
    skin = body.laid(point, 0.0)
    raised = body.laid(point, height)
    normal = (raised - skin) / height
    depth = float((point - skin) @ normal)
    return point if depth > height else raised


def lapels(body: Body, height: float) -> list[Piece]:
    """The coat's collar and lapels: one band from behind the neck down the front, folded back on the shoulder."""
    line = np.array(
        [
            [0.0, 4.86, -0.36],
            [0.34, 4.82, -0.20],
            [0.52, 4.70, 0.12],
            [0.50, 4.52, 0.52],
            [0.38, 4.30, 0.92],
            [0.27, 4.0, 1.15],
            [0.14, 3.55, 1.35],
        ]
    )
    out = np.array(
        [
            [0.0, -0.45, -0.9],
            [0.45, -0.45, -0.6],
            [0.95, -0.35, 0.0],
            [0.95, -0.22, 0.25],
            [0.95, 0.02, 0.2],
            [0.95, 0.12, 0.1],
            [0.9, 0.15, 0.1],
        ]
    )
    width = np.array([0.22, 0.23, 0.25, 0.27, 0.31, 0.38, 0.36])
    at = np.linspace(0, 1, len(line))
    fine = np.linspace(0, 1, 60)
    path, away = CubicSpline(at, line)(fine), CubicSpline(at, out)(fine)
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    wide = CubicSpline(at, width)(fine)
    # The notch where the collar ends and the lapel begins.
    wide -= 0.20 * np.exp(-(((fine - 0.70) / 0.018) ** 2))
    pieces = []
    for side in (1.0, -1.0):
        rows = []
        for place, direction, reach in zip(path, away, wide, strict=True):
            row = []
            for share in np.linspace(0, 1, 7):
                lift = height + 0.075 * np.exp(-((share / 0.35) ** 2)) + 0.03 + 0.02 * share
                point = body.laid(place + direction * reach * share, lift)
                row.append(point * [side, 1, 1])
            inner = body.laid(place + [0, 0.0, 0], height - 0.03) * [side, 1, 1]
            rows.append([inner, *row])
        grid = np.array(rows)
        quads = _quads(len(rows), grid.shape[1])
        pieces.append((grid.reshape(-1, 3), quads if side > 0 else [tuple(reversed(q)) for q in quads]))
    return pieces
