"""The inside of a mouth, drawn in the tones of the photograph: upper teeth fixed to the skull, lower teeth and tongue on the jaw.

Each part is a layer of its own in the coordinates of the mouth's box. How they lie over each other depends on jaw, tongue and rounding alone,
so that a rig's few views are composed once, when it is loaded; what a patch costs is the light through its own opening.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from avatar.expressions import DROP
from avatar.rig import MouthState

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
PHASES = 4
_FINE = 4


def _over(under: Floats, layer: Floats, down_px: float) -> Floats:
    """``layer``, moved ``down_px``, over ``under``: BGR float32 (h, w, 3) both, the layer premultiplied with its opacity fourth."""
    moved = cv2.warpAffine(layer, np.array([[1, 0, 0], [0, 1, down_px]], np.float32), layer.shape[1::-1])
    return np.asarray(under * (1.0 - moved[..., 3:]) + moved[..., :3], np.float32)


@dataclass(frozen=True, slots=True)
class Interior:
    """``face``: the face's width in px. Layers, (h, w, 4) premultiplied, are drawn for a closed mouth."""

    cavity: Floats
    upper_teeth: Floats
    lower_teeth: Floats
    tongue: Floats
    face: float

    @classmethod
    def drawn(
        cls, *, size: tuple[int, int], centre_x: float, line_y: float, face: float, skin: Floats, lip: Floats
    ) -> "Interior":
        """``size``: (width, height) of the box; lips meet on ``line_y``; ``skin``, ``lip``: mean BGR of the photograph."""
        width, height = size
        light = float(np.clip(skin.mean() / 175.0, 0.45, 1.1))
        white = np.clip(np.array([205, 222, 232], np.float32) * light * 0.75 + skin * 0.25, 0, 240)
        flesh = np.clip(np.array([112, 104, 190], np.float32) * light * 0.65 + lip * 0.35, 0, 225)
        dark = np.clip(np.array([26, 22, 52], np.float32) * light, 8, 80)
        ys = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
        cavity = dark * (0.75 + 0.5 * ys) * np.ones((height, width, 1), np.float32)
        return cls(
            cavity.astype(np.float32),
            _teeth(size, centre_x, line_y + 0.016 * face, face, white, above=True),
            _teeth(size, centre_x, line_y + 0.004 * face, 0.86 * face, white * 0.82, above=False),
            _tongue(size, centre_x, line_y - 0.030 * face, face, flesh),
            face,
        )

    def at(self, state: MouthState) -> Floats:
        """Everything behind the lips at the state's jaw, tongue and rounding, BGR float32 (h, w, 3), evenly lit."""
        drop = DROP * self.face * state.jaw
        # The tip rises to the upper teeth whatever the jaw does.
        lifted = drop + state.tongue * (0.052 * self.face - drop)
        if state.tongue < 0.5:
            inside = _over(_over(self.cavity, self.tongue, lifted), self.lower_teeth, drop)
        else:
            inside = _over(_over(self.cavity, self.lower_teeth, drop), self.tongue, lifted)
        # Pursed lips come forward and hide the teeth.
        return _over(inside, self.upper_teeth, -0.026 * self.face * state.round)


def show(image: Image, inside: Floats, opening: Floats, face: float) -> None:
    """Show ``inside`` in ``image`` (BGR uint8, the box) where the lips leave it ``opening``: float32 (n, 2), box pixels."""
    (x0, y0), (x1, y1) = opening.min(axis=0), opening.max(axis=0)
    x0, y0 = max(int(x0) - 2, 0), max(int(y0) - 2, 0)
    x1, y1 = min(int(x1) + 4, image.shape[1]), min(int(y1) + 4, image.shape[0])
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillPoly(mask, [((opening - (x0, y0)) * 16 + 0.5).astype(np.int32)], 255, cv2.LINE_AA, 4)
    # Light falls in through the opening: less at its rim and its corners.
    reach = max(3, int(0.045 * face) | 1)
    light = cv2.blur(mask, (reach, reach), borderType=cv2.BORDER_CONSTANT)
    lit = cv2.multiply(inside[y0:y1, x0:x1], cv2.cvtColor(_LIGHT[light], cv2.COLOR_GRAY2BGR), dtype=cv2.CV_8U)
    soft = _PART[cv2.blur(mask, (2, 2))]
    part = image[y0:y1, x0:x1]
    part[:] = cv2.blendLinear(lit, part, soft, 1.0 - soft)


_PART = (np.arange(256, dtype=np.float32) / 255.0).astype(np.float32)
_LIGHT = (0.42 + 0.58 * _PART).astype(np.float32)


def _canvas(size: tuple[int, int]) -> tuple[Floats, Floats]:
    width, height = size
    return (
        np.zeros((height * _FINE, width * _FINE, 3), np.float32),
        np.zeros((height * _FINE, width * _FINE), np.float32),
    )


def _shrink(colour: Floats, opacity: Floats, size: tuple[int, int]) -> Floats:
    premultiplied = np.dstack([colour * opacity[..., None], opacity])
    small = cv2.resize(premultiplied, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _teeth(size: tuple[int, int], centre_x: float, edge_y: float, face: float, white: Floats, *, above: bool) -> Floats:
    """One row of ten teeth on an arch, seen from the front: narrower and darker to the sides, warm at the gum."""
    colour, opacity = _canvas(size)
    colour[:] = white
    up = -1.0 if above else 1.0
    # Half a row from the middle, as parts of the face's width: central and lateral incisor, canine, premolars. The mean widths of
    # crowns (8.5, 6.5, 7.5, 7, 7 mm above; 5, 5.5, 7, 7, 7 mm below) on a face of 135 mm, the arch turning away to the sides.
    widths = (0.062, 0.047, 0.043, 0.032, 0.022) if above else (0.038, 0.041, 0.043, 0.034, 0.022)
    lengths = (0.085, 0.076, 0.080, 0.070, 0.062)
    edges = (0.0, 0.006, 0.002, 0.010, 0.016)
    for side in (-1.0, 1.0):
        x = centre_x
        for number, (wide, length, edge) in enumerate(zip(widths, lengths, edges, strict=True)):
            next_x = x + side * wide * face
            left, right = sorted((x, next_x))
            y = edge_y + up * edge * face
            far = y + up * length * face
            low, high = sorted((y, far))
            tooth = np.zeros(opacity.shape, np.uint8)
            corner = 0.22 * wide * face
            body = _rounded(left + 0.15, low, right - 0.15, high, corner)
            cv2.fillPoly(tooth, [np.round(body * _FINE).astype(np.int32)], 255, cv2.LINE_AA)
            cover = tooth.astype(np.float32) / 255.0
            shade = (1.0, 0.95, 0.86, 0.72, 0.56)[number]
            ys = np.arange(opacity.shape[0], dtype=np.float32)[:, None] / _FINE
            xs = np.arange(opacity.shape[1], dtype=np.float32)[None, :] / _FINE
            round_off = 1.0 - 0.16 * np.abs((xs - (left + right) / 2) / ((right - left) / 2)).clip(0, 1) ** 3
            gum = 1.0 - 0.22 * np.clip(np.abs(ys - y) / (length * face), 0, 1)
            lit = white * (shade * round_off * gum)[..., None]
            colour = colour * (1 - cover[..., None]) + lit * cover[..., None]
            opacity = np.maximum(opacity, cover)
            x = next_x
    # What lies between two teeth is a shadow, not a hole.
    solid = cv2.morphologyEx(opacity, cv2.MORPH_CLOSE, np.ones((3, 2 * _FINE + 1), np.uint8))
    colour = np.where((opacity < 0.5)[..., None], white * 0.74, colour)
    return _shrink(colour.astype(np.float32), solid, size)


def _rounded(left: float, top: float, right: float, bottom: float, corner: float) -> Floats:
    turns = np.linspace(0, np.pi / 2, 6)
    corner = min(corner, (right - left) / 2, (bottom - top) / 2)
    parts = []
    for cx, cy, start in (
        (right - corner, bottom - corner, 0.0),
        (left + corner, bottom - corner, np.pi / 2),
        (left + corner, top + corner, np.pi),
        (right - corner, top + corner, 1.5 * np.pi),
    ):
        parts.append(np.stack([cx + corner * np.cos(start + turns), cy + corner * np.sin(start + turns)], axis=1))
    return np.concatenate(parts).astype(np.float32)


def _tongue(size: tuple[int, int], centre_x: float, top_y: float, face: float, flesh: Floats) -> Floats:
    """A flat mound with a groove, lit on its back."""
    colour, opacity = _canvas(size)
    ys, xs = np.mgrid[0 : opacity.shape[0], 0 : opacity.shape[1]].astype(np.float32) / _FINE
    u = (xs - centre_x) / (0.115 * face)
    top = top_y + 0.035 * face * np.abs(u) ** 3
    depth = (ys - top) / (0.16 * face)
    opacity[:] = np.clip((ys - top) * 1.2, 0, 1) * (np.abs(u) < 1.25)
    groove = 1.0 - 0.16 * np.exp(-((u / 0.10) ** 2)) * np.clip(depth * 6, 0, 1)
    lit = np.clip(0.62 + 0.5 * np.exp(-(((depth - 0.16) / 0.20) ** 2)) - 0.22 * u**2, 0.2, 1.12) * groove
    colour[:] = flesh * lit[..., None]
    return _shrink(colour, opacity, size)
