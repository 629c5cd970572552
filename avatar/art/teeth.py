"""Teeth and gums of 小岚, modelled tooth by tooth on the arch of the CC0 head's own teeth."""

import numpy as np

from avatar.art.head import Head, Points

# Widths and heights (dm) from the middle outwards: incisors, canine, premolars, molars.
UPPER = ((0.086, 0.100), (0.068, 0.090), (0.076, 0.097), (0.070, 0.080), (0.068, 0.075), (0.095, 0.070))
LOWER = ((0.054, 0.082), (0.059, 0.085), (0.068, 0.092), (0.070, 0.080), (0.070, 0.075), (0.100, 0.070))

Part = tuple[Points, list[tuple[int, ...]]]


def _arch(head: Head, group: str) -> Points:
    """The outer arch of the mesh's own teeth (x >= 0), as points from the middle outwards."""
    points = head.rest[head.surfaces[group].vertices]
    beside = np.abs(points[:, 0])
    stations = np.linspace(0, 0.32, 9)
    front = [points[np.abs(beside - station) < 0.035, 2].max() for station in stations]
    x = np.linspace(0, 0.33, 200)
    return np.stack([x, np.zeros_like(x), np.polyval(np.polyfit(stations, front, 4), x)], axis=1)


def _box(width: float, height: float, depth: float, n: int = 7) -> Part:
    """A rounded block (superellipsoid) centred on its root's edge: x across, y down the crown, z outwards."""
    v = np.linspace(-np.pi / 2, np.pi / 2, n)
    u = np.linspace(-np.pi, np.pi, 2 * n, endpoint=False)
    power = 0.45

    def bent(values: Points) -> Points:
        return np.sign(values) * np.abs(values) ** power

    uu, vv = np.meshgrid(u, v)
    x = bent(np.cos(vv)) * bent(np.cos(uu))
    z = bent(np.cos(vv)) * bent(np.sin(uu))
    y = bent(np.sin(vv))
    taper = 0.90 + 0.10 * y
    points = np.stack([x * taper * width / 2, y * height / 2, z * depth / 2 * (1.05 - 0.25 * y)], axis=-1).reshape(
        -1, 3
    )
    columns = 2 * n
    faces: list[tuple[int, ...]] = [
        (r * columns + c, r * columns + (c + 1) % columns, (r + 1) * columns + (c + 1) % columns, (r + 1) * columns + c)
        for r in range(n - 1)
        for c in range(columns)
    ]
    return points, faces


def row(
    head: Head, group: str, sizes: tuple[tuple[float, float], ...], edge_y: float, upwards: bool
) -> tuple[Part, Part]:
    """One row of teeth and its gum. ``edge_y``: height (dm) of the biting edge; ``upwards``: the lower row."""
    arch = _arch(head, group)
    steps = np.linalg.norm(np.diff(arch, axis=0), axis=1)
    length = np.concatenate([[0.0], np.cumsum(steps)])
    points: list[Points] = []
    faces: list[tuple[int, ...]] = []
    gum_line = []
    count = 0
    for side in (1.0, -1.0):
        walked = 0.0
        for index, (width, height) in enumerate(sizes):
            middle = walked + width / 2
            walked += width
            place = np.array([np.interp(middle, length, arch[:, k]) for k in range(3)])
            ahead = np.array([np.interp(middle + 0.02, length, arch[:, k]) for k in range(3)]) - place
            yaw = np.arctan2(-ahead[2], ahead[0])
            block, quads = _box(width * 0.985, height, 0.075 if index < 3 else 0.10)
            if not upwards:
                block[:, 1] = -block[:, 1]
                quads = [tuple(reversed(quad)) for quad in quads]
            turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
            block = block @ turn.T
            uneven = 0.006 if index == 1 and not upwards else 0.0
            away = -1.0 if upwards else 1.0
            place[0] *= 0.81
            centre = place + np.array([0, edge_y + away * (height / 2 + uneven), -0.05 if upwards else -0.035])
            block = block + centre
            block[:, 0] *= side
            points.append(block)
            faces += [tuple(v + count for v in (quad if side > 0 else reversed(quad))) for quad in quads]
            count += len(block)
            gum_line.append((side * (centre[0]), centre[1] + away * height * 0.42, centre[2] + 0.012))
    gum_line.sort()
    return (np.concatenate(points), faces), _tube(np.array(gum_line), 0.036, -1.0 if upwards else 1.0)


def _tube(path: Points, radius: float, away: float, around: int = 10) -> Part:
    """A gum: an oval tube along the roots, standing off from the crowns."""
    fine = np.linspace(0, len(path) - 1, 60)
    smooth = np.stack([np.interp(fine, np.arange(len(path)), path[:, k]) for k in range(3)], axis=1)
    smooth[:, 1] += away * radius * 0.8
    forward = np.gradient(smooth, axis=0)
    outwards = np.stack([forward[:, 2], 0 * forward[:, 1], -forward[:, 0]], axis=1)
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    angle = np.linspace(0, 2 * np.pi, around, endpoint=False)
    ring = (
        smooth[:, None]
        + np.cos(angle)[None, :, None] * outwards[:, None] * radius
        + np.sin(angle)[None, :, None] * np.array([0, 1.6 * radius, 0])
    )
    faces: list[tuple[int, ...]] = [
        (i * around + k, i * around + (k + 1) % around, (i + 1) * around + (k + 1) % around, (i + 1) * around + k)
        for i in range(len(smooth) - 1)
        for k in range(around)
    ]
    return ring.reshape(-1, 3), faces
