"""The CC0 head: reads the MakeHuman base mesh, its targets and its high-poly eyes, and bends them into a pose.

Everything here is numpy and scipy alone. Coordinates are the mesh's own (decimetres, x to her left, y up, z towards the viewer);
``scene.py`` turns them into Blender's axes when it hands them over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

Points = npt.NDArray[np.float64]

# Her right eye's slit tears its lashes in the mesh's own target; the left one's, turned over, does not.
MIRRORED = {"expression/units/asian/eye-right-slit": "expression/units/asian/eye-left-slit"}


@dataclass(frozen=True)
class Surface:
    """Part of the head. ``faces``: tuples of indices into the head's vertices; ``uvs``: per corner, in the same order."""

    faces: tuple[tuple[int, ...], ...]
    uvs: tuple[tuple[float, float], ...]

    @property
    def vertices(self) -> npt.NDArray[np.int64]:
        """The head's vertex numbers that this surface uses, rising."""
        return np.unique(np.concatenate([np.asarray(face) for face in self.faces]))


def read_obj(path: Path) -> tuple[Points, dict[str, Surface]]:
    """Vertices and the named groups of a Wavefront file (every face carries texture corners)."""
    points: list[list[float]] = []
    corners: list[tuple[float, float]] = []
    faces: dict[str, list[tuple[int, ...]]] = {}
    uvs: dict[str, list[tuple[float, float]]] = {}
    group = "all"
    for line in path.read_text().splitlines():
        word, _, rest = line.partition(" ")
        if word == "v":
            points.append([float(value) for value in rest.split()[:3]])
        elif word == "vt":
            u, v = rest.split()[:2]
            corners.append((float(u), float(v)))
        elif word == "g":
            group = rest.strip()
        elif word == "f":
            pairs = [corner.split("/") for corner in rest.split()]
            faces.setdefault(group, []).append(tuple(int(pair[0]) - 1 for pair in pairs))
            uvs.setdefault(group, []).extend(corners[int(pair[1]) - 1] for pair in pairs)
    surfaces = {name: Surface(tuple(faces[name]), tuple(uvs[name])) for name in faces}
    return np.array(points), surfaces


class Head:
    """The base mesh with a shape of its own (``shape``: target path without suffix -> weight), ready to be posed."""

    def __init__(self, folder: Path, shape: Mapping[str, float]) -> None:
        self.folder = folder
        base, self.surfaces = read_obj(folder / "3dobjs" / "base.obj")
        _, self._opposite = cKDTree(base).query(base * np.array([-1.0, 1.0, 1.0]))
        self._targets: dict[str, tuple[npt.NDArray[np.int64], Points]] = {}
        self.rest = self._bent(base, shape)
        _, eyes = read_obj(folder / "eyes" / "high-poly" / "high-poly.obj")
        self.eye_surface = next(iter(eyes.values()))

    def target(self, name: str) -> tuple[npt.NDArray[np.int64], Points]:
        """Vertex numbers and offsets (dm) of ``targets/<name>.target``."""
        if name not in self._targets and name in MIRRORED:
            indices, offsets = self.target(MIRRORED[name])
            self._targets[name] = (self._opposite[indices], offsets * np.array([-1.0, 1.0, 1.0]))
        if name not in self._targets:
            rows = [
                line.split()
                for line in (self.folder / "targets" / f"{name}.target").read_text().splitlines()
                if line and not line.startswith("#")
            ]
            indices = np.array([int(row[0]) for row in rows], dtype=np.int64)
            offsets = np.array([[float(value) for value in row[1:4]] for row in rows]).reshape(-1, 3)
            self._targets[name] = (indices, offsets)
        return self._targets[name]

    def _bent(self, points: Points, weights: Mapping[str, float]) -> Points:
        bent = points.copy()
        for name, weight in weights.items():
            if weight:
                indices, offsets = self.target(name)
                bent[indices] += weight * offsets
        return bent

    def posed(self, units: Mapping[str, float]) -> Points:
        """Vertices with facial units (names under ``expression/units/asian``) at the given weights."""
        return self._bent(self.rest, {f"expression/units/asian/{unit}": value for unit, value in units.items()})

    def mask(self, *names: str) -> npt.NDArray[np.float64]:
        """How strongly each vertex belongs to what the targets move, 0..1: the mesh's own notion of a lip or a lid."""
        strength = np.zeros(len(self.rest))
        for name in names:
            indices, offsets = self.target(name)
            moved = np.linalg.norm(offsets, axis=1)
            strength[indices] = np.maximum(strength[indices], moved / moved.max())
        return strength

    @cached_property
    def _eye_fit(self) -> tuple[npt.NDArray[np.int64], Points, Points, list[tuple[int, int, int, float]]]:
        lines = (self.folder / "eyes" / "high-poly" / "high-poly.mhclo").read_text().splitlines()
        start = lines.index("verts 0") + 1
        rows = []
        for line in lines[start:]:
            parts = line.split()
            if len(parts) != 9:
                break
            rows.append([float(part) for part in parts])
        table = np.array(rows)
        scales = []
        for line in lines[:start]:
            for axis, word in enumerate(("x_scale", "y_scale", "z_scale")):
                if line.startswith(word):
                    _, first, second, length = line.split()
                    scales.append((axis, int(first), int(second), float(length)))
        return table[:, :3].astype(np.int64), table[:, 3:6], table[:, 6:9], scales

    def eyes(self) -> Points:
        """Vertices of the high-poly eyes, fitted to the head at rest (eyeballs do not move with the face)."""
        anchors, weights, offsets, scales = self._eye_fit
        scaled = offsets.copy()
        for axis, first, second, length in scales:
            scaled[:, axis] *= abs(self.rest[first, axis] - self.rest[second, axis]) / length
        fitted: Points = np.einsum("nk,nkd->nd", weights, self.rest[anchors]) + scaled
        return fitted
