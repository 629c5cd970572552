"""Render 小岚: portrait, atlas of mouths and eyes, head mask, and the ``rig.json`` that names them.

    python -m avatar.art.render MESH_FOLDER avatar/assets/xiaolan [--samples 12]

Runs in an environment of its own with ``bpy`` (Blender as a module, Python 3.11), numpy, scipy and Pillow; the project itself
does not need them. MESH_FOLDER holds the CC0 files of the MakeHuman project (3dobjs, targets, eyes).
"""

import argparse
import io
import json
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter, maximum_filter

from avatar.art import poses
from avatar.art.backdrop import backdrop
from avatar.art.scene import Stage

log = logging.getLogger("render")

SIZE = 512
# Shot this many times larger and brought down again: lashes and hair are finer than a pixel. Boxes and margins are even, so
# that they stay whole pixels.
OVERSIZE = 1.5
MOUTH_BOX = (160, 264, 192, 176)
EYES_BOX = (132, 150, 248, 112)
FEATHER_PX = 12
# Rendered around each box and cut off again, so that the denoiser sees the same surroundings at the edges.
MARGIN_PX = 12
CHIN_Y, SHOULDER_Y = 420, 486
QUALITY = 88

Picture = npt.NDArray[np.float64]
Box = tuple[int, int, int, int]


def graded(picture: Picture) -> Picture:
    """The film's colours a little fuller and its middle a little deeper, as one would grade a portrait."""
    grey = picture @ np.array([0.299, 0.587, 0.114])
    full = grey[..., None] + (picture - grey[..., None]) * 1.14
    deep = full + 0.06 * np.sin(2 * np.pi * (np.clip(full, 0, 1) - 0.5)) * 0.5
    return np.asarray(np.clip(deep, 0, 1))


class Studio:
    """Takes pictures of the stage in front of the backdrop."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._room = backdrop(SIZE)
        self._scratch = Path(tempfile.mkdtemp())

    def shoot(self, box: Box | None = None) -> tuple[Picture, Picture]:
        """The picture (height, width, 3) in 0..1 sRGB, and what of it is her (height, width)."""
        path = self._scratch / "shot.png"
        x, y, width, height = box or (0, 0, SIZE, SIZE)
        m = MARGIN_PX if box else 0
        around = (x - m, y - m, width + 2 * m, height + 2 * m)
        k = OVERSIZE
        oversized = (int(around[0] * k), int(around[1] * k), int(around[2] * k), int(around[3] * k))
        self._stage.render(path, oversized if box else None)
        # "RGBa" carries colour times alpha, the form in which pixels may be averaged.
        large = Image.open(path).convert("RGBA").convert("RGBa")
        small = large.resize((around[2], around[3]), Image.Resampling.LANCZOS).convert("RGBA")
        shot = np.asarray(small, dtype=np.float64) / 255
        if m:
            shot = shot[m:-m, m:-m]
        alpha = shot[..., 3:]
        shot = graded(shot[..., :3])
        room = self._room[y : y + height, x : x + width]
        return np.asarray(shot * alpha + room * (1 - alpha)), alpha[..., 0]


def feather(box: Box) -> Picture:
    """Weights (height, width, 1) of a patch: 1 inside, falling smoothly to 0 at its rim."""
    _, _, width, height = box

    def ramp(length: int) -> Picture:
        edge = np.minimum(np.arange(length), np.arange(length)[::-1])
        t = np.clip((edge - 1) / FEATHER_PX, 0, 1)
        return np.asarray(t * t * (3 - 2 * t))

    return (ramp(height)[:, None] * ramp(width)[None, :])[..., None]


def jpeg(picture: Picture, quality: int = QUALITY) -> bytes:
    buffer = io.BytesIO()
    pixels = np.round(picture * 255).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, optimize=True, subsampling=0)
    return buffer.getvalue()


def head_mask(alpha: Picture) -> Picture:
    """How much each pixel moves with the head: 1 on face and hair, smoothly 0 on shoulders and in the room."""
    rows = np.arange(SIZE)[:, None]
    t = np.clip((SHOULDER_Y - rows) / (SHOULDER_Y - CHIN_Y), 0, 1)
    upright = t * t * (3 - 2 * t)
    head = maximum_filter((alpha > 0.3) * (rows < CHIN_Y + 8.0), size=25)
    around = gaussian_filter(head.astype(float), 16)
    return np.clip(np.maximum(around * 1.15 - 0.05, 0), 0, 1) * upright


def patches(studio: Studio, stage: Stage, portrait: Picture, out: Path) -> tuple[list[dict], list[dict]]:
    """Render every mouth and every pair of eyes into ``out``; returns their entries for rig.json."""
    mouths: list[dict] = []
    eyes: list[dict] = []
    numbered = 0
    parts: tuple[tuple[str, Box, Sequence[poses.Mouth | poses.Eyes], list[dict]], ...] = (
        ("mouth", MOUTH_BOX, poses.mouths(), mouths),
        ("eyes", EYES_BOX, poses.eyes(), eyes),
    )
    for folder, box, states, entries in parts:
        (out / folder).mkdir(parents=True, exist_ok=True)
        x, y, width, height = box
        below, weights = portrait[y : y + height, x : x + width], feather(box)
        for index, state in enumerate(states):
            if isinstance(state, poses.Mouth):
                stage.pose(poses.mouth_units(state), state.tongue, state.roll)
            else:
                stage.pose(poses.eye_units(state))
            shot, _ = studio.shoot(box)
            name = f"{folder}/{index:03d}.jpg"
            (out / name).write_bytes(jpeg(below * (1 - weights) + shot * weights))
            entries.append({"id": numbered, **asdict(state), "file": name})
            numbered += 1
            if index % 20 == 0:
                log.info("%s %d of %d", folder, index, len(states))
    return mouths, eyes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mesh", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--samples", type=int, default=12)
    parser.add_argument("--portrait-only", action="store_true")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    stage = Stage(arguments.mesh, arguments.samples, int(SIZE * OVERSIZE))
    studio = Studio(stage)
    stage.pose(poses.mouth_units(poses.Mouth()))
    portrait, alpha = studio.shoot()
    (out / "portrait.jpg").write_bytes(jpeg(portrait, 93))
    Image.fromarray(np.round(head_mask(alpha) * 255).astype(np.uint8)).save(out / "head.png", optimize=True)
    if arguments.portrait_only:
        return
    mouths, eyes = patches(studio, stage, portrait, out)
    rig = {
        "name": "xiaolan",
        "kind": "atlas",
        "size_px": [SIZE, SIZE],
        "portrait": "portrait.jpg",
        "mouth": {"box_px": list(MOUTH_BOX), "states": mouths},
        "eyes": {"box_px": list(EYES_BOX), "states": eyes},
        "head": {"pivot_px": [256, 446], "mask": "head.png"},
        "origin": "Rendered by avatar/art from the MakeHuman project's CC0 head; see avatar/assets/README.md.",
    }
    (out / "rig.json").write_text(json.dumps(rig, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
