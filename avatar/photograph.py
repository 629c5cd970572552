"""Makes a rig from a photograph: crop, closed rest, displacement fields of every mouth state, lids, masks.

The fields are solved once, here: each is the piecewise linear map of a triangulation from where a state puts the landmarks back to
where the photograph has them, so that lips land exactly on their contours and drawing a state is one remap.
"""

import itertools
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import Delaunay

from avatar.encoders import jpeg
from avatar.expressions import Flat, Mouth, eyes_moved, smooth
from avatar.interior import Interior
from avatar.landmarks import (
    CHIN,
    FACE_POINTS,
    LEFT_EYE,
    LOWER_INNER,
    LOWER_LIDS,
    LOWER_OUTER,
    RIGHT_EYE,
    UPPER_INNER,
    UPPER_LIDS,
    UPPER_OUTER,
    Face,
    Picture,
    find_face,
    find_faces,
    read_portrait,
)
from avatar.rig import MESH_FILE, Box, EyeState, MouthState, Rig
from avatar.timeline import MOODS

SIZE_PX = 512
FACE_PX = 190.0
LARGEST_FACE_PX = 224.0
CHIN_AT = 0.73
PORTRAIT_QUALITY = 92
# Lips and lids have curves of their own; the mesh's points on and between them would only disturb these.
_LIPS = sorted({*UPPER_INNER, *LOWER_INNER, *UPPER_OUTER, *LOWER_OUTER, 62, 76, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292, 306,
                96, 77, 89, 90, 179, 180, 86, 85, 15, 16, 316, 315, 403, 404, 319, 320, 325, 307, 184, 74, 73, 72, 11, 302, 303,
                304, 408})  # fmt: skip

JAWS = (0.0, 0.05, 0.10, 0.17, 0.25, 0.35, 0.47, 0.62, 0.80, 1.0)
FEW_JAWS = (0.0, 0.10, 0.25, 0.45, 0.75)


@dataclass(frozen=True, slots=True)
class Mesh:
    """What ``mesh.npz`` holds. Boxes and openings are in pixels of the picture or, where said, of the mouth's box.

    ``source``: the upright photograph, its mouth filled in, BGR uint8 (512, 512, 3); ``whole``: int16 (states, h, w, 2) and ``parts``:
    uint16 (states, h, w), where each pixel of the mouth's box comes from, in OpenCV's fixed-point form; ``openings``: float32 (states, 82, 2), inner lips in box pixels; ``points``: float32 (478, 2);
    ``triangles``: int32 (n, 3); ``tones``: float32 (2, 3), BGR of skin and lips; ``measures``: face width, centre x and line y
    of the closed lips, in box pixels.
    """

    source: Picture
    whole: npt.NDArray[np.int16]
    parts: npt.NDArray[np.uint16]
    openings: Flat
    points: Flat
    triangles: npt.NDArray[np.int32]
    tones: Flat
    measures: Flat
    closed: bool

    @classmethod
    def load(cls, path: Path) -> "Mesh":
        with np.load(path, allow_pickle=False) as stored:
            values = {name: stored[name] for name in stored.files}
        values["source"] = cv2.imdecode(values["source"], cv2.IMREAD_COLOR)
        values["closed"] = bool(values["closed"])
        return cls(**values)

    def save(self, path: Path) -> None:
        _, source = cv2.imencode(".png", self.source)
        np.savez_compressed(
            path,
            source=source,
            whole=self.whole,
            parts=self.parts,
            openings=self.openings,
            points=self.points,
            triangles=self.triangles,
            tones=self.tones,
            measures=self.measures,
            closed=self.closed,
        )

    def interior(self, box: Box) -> Interior:
        face, centre_x, line_y = (float(value) for value in self.measures)
        return Interior.drawn(
            size=(box[2], box[3]), centre_x=centre_x, line_y=line_y, face=face, skin=self.tones[0], lip=self.tones[1]
        )


def build(portrait: Path, name: str, home: Path) -> Rig:
    """Make the avatar ``name`` from the file ``portrait`` in the folder ``home/name``, in place of one that is there.

    Raises what ``read_portrait`` and ``find_face`` raise; then nothing is changed.
    """
    picture, face = framed(read_portrait(portrait))
    home.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=home))
    try:
        _write(picture, face, name, work)
        final = home / name
        if final.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{name}-old-", dir=home))
            final.replace(old / name)
            work.replace(final)
            shutil.rmtree(old)
        else:
            work.replace(final)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Rig.load(home / name)


def framed(picture: Picture) -> tuple[Picture, Face]:
    """The face upright in a 512 x 512 crop at the size an avatar has on a phone, and its landmarks there."""
    face = find_face(picture)
    height, width = picture.shape[:2]
    scale = FACE_PX / face.width_px
    # Rather a larger face than a crop beyond the photograph's edge.
    scale = min(max(scale, SIZE_PX / min(height, width)), LARGEST_FACE_PX / face.width_px)
    chin, eyes = face.points[CHIN][:2], (face.points[LEFT_EYE][:2] + face.points[RIGHT_EYE][:2]) / 2
    turn = cv2.getRotationMatrix2D((float(eyes[0]), float(eyes[1])), face.roll_deg, scale)
    to = turn[:, :2] @ chin + turn[:, 2]
    x, y = to[0] - SIZE_PX / 2, to[1] - CHIN_AT * SIZE_PX
    if abs(face.roll_deg) < 3:
        x = np.clip(x, turn[0, 2], max(turn[0, 2], turn[0, 2] + scale * width - SIZE_PX))
        y = np.clip(y, turn[1, 2], max(turn[1, 2], turn[1, 2] + scale * height - SIZE_PX))
    turn[:, 2] -= (x, y)
    how = cv2.INTER_AREA if scale < 0.7 else cv2.INTER_CUBIC
    if scale < 0.5:
        picture = cv2.resize(picture, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
        turn[:, :2] /= 2 * scale
        how = cv2.INTER_LINEAR
    crop = cv2.warpAffine(picture, turn, (SIZE_PX, SIZE_PX), flags=how, borderMode=cv2.BORDER_REFLECT_101)
    if scale > 1.2:
        crop = cv2.addWeighted(crop, 1.5, cv2.GaussianBlur(crop, (0, 0), 1.6), -0.5, 0)
    again = find_faces(crop)
    return np.asarray(crop, np.uint8), (again[0] if again else find_face(crop))


def mouth_grid() -> tuple[MouthState, ...]:
    """The states of every photograph's rig, ids from 0, the resting one first."""
    states: dict[MouthState, None] = {}
    for mood in MOODS:
        full = mood == "neutral"
        shapes = (
            ((0.0, 0.0), (0.0, 0.35), (0.0, 0.7), (0.0, 1.0), (0.5, 0.0), (1.0, 0.0), (-0.6, 0.0))
            if full
            else ((0.0, 0.0), (0.0, 0.45), (0.0, 0.9), (0.8, 0.0))
        )
        for (width, rounded), jaw in itertools.product(shapes, JAWS if full else FEW_JAWS):
            if jaw * rounded <= 0.7:
                states[MouthState(0, jaw, width, rounded, mood=mood)] = None
        for width, rounded in ((0.0, 0.0), (0.6, 0.0), (0.0, 0.6)):
            for press in (0.5, 1.0) if full else (1.0,):
                states[MouthState(0, 0.0, width, rounded, press, mood=mood)] = None
            states[MouthState(0, 0.08, width, rounded, roll=1.0, mood=mood)] = None
            for jaw in (0.12, 0.25, 0.42) if full else (0.2,):
                states[MouthState(0, jaw, width, rounded, tongue=1.0, mood=mood)] = None
    return tuple(
        MouthState(number, s.jaw, s.width, s.round, s.press, s.tongue, s.roll, s.mood)
        for number, s in enumerate(states)
    )


def _write(picture: Picture, face: Face, name: str, folder: Path) -> None:
    points = face.points[:, :2].astype(np.float32)
    mouth = Mouth.of(points)
    mouth_box, eyes_box = _boxes(points, mouth)
    states = mouth_grid()
    whole, parts, openings = _mouth_fields(mouth, states, mouth_box)
    x, y, w, h = mouth_box
    corners = mouth.rest[[UPPER_INNER[0], UPPER_INNER[-1]]]
    middle = mouth.rest[[UPPER_INNER[5], LOWER_INNER[5]]].mean(axis=0)
    closed = face.lip_gap < 0.03
    mesh = Mesh(
        source=picture if closed else _filled(picture, mouth),
        whole=whole,
        parts=parts,
        openings=openings,
        points=points,
        triangles=Delaunay(points[:FACE_POINTS]).simplices.astype(np.int32),
        tones=_tones(picture, points),
        measures=np.array([mouth.face, corners[:, 0].mean() - x, middle[1] - y], np.float32),
        closed=closed,
    )
    mesh.save(folder / MESH_FILE)
    # Imported here: the renderer reads what this module writes.
    from avatar.renderers.mesh import draw

    portrait = picture.copy()
    portrait[y : y + h, x : x + w] = draw(mesh, 0, None)
    (folder / "portrait.jpg").write_bytes(jpeg(portrait, PORTRAIT_QUALITY))
    eyes = _write_eyes(picture, points, eyes_box, len(states), folder)
    cv2.imwrite(str(folder / "head.png"), _head(points, mouth.face))
    pivot = points[CHIN] + (0.0, 0.16 * mouth.face)
    Rig(
        name=name,
        kind="mesh",
        size_px=(SIZE_PX, SIZE_PX),
        portrait="portrait.jpg",
        mouth_box_px=mouth_box,
        mouth_states=states,
        eyes_box_px=eyes_box,
        eye_states=eyes,
        pivot_px=(round(float(pivot[0]), 1), round(float(min(pivot[1], SIZE_PX - 8)), 1)),
        mask="head.png",
        origin="A photograph given to build_avatar.",
        folder=folder,
    ).save(folder)


def _boxes(points: Flat, mouth: Mouth) -> tuple[Box, Box]:
    f = mouth.face
    side = int(np.round(0.84 * f / 16) * 16)
    lips = mouth.rest[list(UPPER_INNER)].mean(axis=0)
    chin_y = float(points[CHIN][1])
    top = min(lips[1] - 0.26 * f, chin_y + 0.24 * f - side)
    lids = points[[index for row in (*UPPER_LIDS, *LOWER_LIDS) for index in row]]
    centre = lids.mean(axis=0)
    wide, high = int(np.ceil(0.98 * f / 8) * 8), int(np.ceil(0.46 * f / 8) * 8)
    return _inside(lips[0] - side / 2, top, side, side), _inside(
        centre[0] - wide / 2, centre[1] - 0.56 * high, wide, high
    )


def _inside(x: float, y: float, w: int, h: int) -> Box:
    return int(np.clip(round(x), 0, SIZE_PX - w)), int(np.clip(round(y), 0, SIZE_PX - h)), w, h


def _window(box: Box, rim: int) -> Flat:
    """1 inside, falling smoothly to 0 at the rim: a field times this leaves the box's edges where they are. (h, w, 1)."""

    def ramp(length: int) -> Flat:
        t = np.clip(np.minimum(np.arange(length), np.arange(length)[::-1]) / rim, 0, 1)
        return np.asarray(t * t * (3 - 2 * t), np.float32)

    return np.asarray((ramp(box[3])[:, None] * ramp(box[2])[None, :])[..., None], np.float32)


def _field(target: Flat, source: Flat, box: Box) -> Flat:
    """Solve one backward field over ``box``: float32 (h, w, 2). Around the box nothing moves."""
    x, y, w, h = box
    across, down = np.linspace(x - 1, x + w, 13), np.linspace(y - 1, y + h, 13)
    rim = np.array(
        [(px, py) for px in across for py in (y - 1, y + h)] + [(px, py) for py in down for px in (x - 1, x + w)]
    )
    inside = (target[:, 0] > x) & (target[:, 0] < x + w - 1) & (target[:, 1] > y) & (target[:, 1] < y + h - 1)
    nodes = np.concatenate([target[inside], rim])
    moves = np.concatenate([source[inside] - target[inside], np.zeros_like(rim)])
    solved = LinearNDInterpolator(Delaunay(nodes), moves, fill_value=0.0)
    ys, xs = np.mgrid[y : y + h, x : x + w]
    return np.asarray(solved(xs, ys), np.float32) * _window(box, 10)


def _mouth_fields(
    mouth: Mouth, states: tuple[MouthState, ...], box: Box
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint16], Flat]:
    curves = (UPPER_INNER, LOWER_INNER, UPPER_OUTER, LOWER_OUTER)
    rest_of = np.setdiff1d(np.arange(FACE_POINTS), _LIPS)

    def nodes(points: Flat) -> Flat:
        # The two ends of a lower curve are those of the upper one.
        lines = [smooth(points[list(curve)]) for curve in curves]
        return np.concatenate([lines[0], lines[1][1:-1], lines[2], lines[3][1:-1], points[rest_of]])

    source = nodes(mouth.source)
    x, y, w, h = box
    ys, xs = np.mgrid[y : y + h, x : x + w].astype(np.float32)
    whole, parts = np.empty((len(states), h, w, 2), np.int16), np.empty((len(states), h, w), np.uint16)
    openings = np.empty((len(states), 82, 2), np.float32)
    for number, state in enumerate(states):
        field = _field(nodes(mouth.moved(state)), source, box)
        whole[number], parts[number] = cv2.convertMaps(xs + field[..., 0], ys + field[..., 1], cv2.CV_16SC2)
        openings[number] = mouth.opening(state) - np.array(box[:2], np.float32)
    return whole, parts, openings


def _write_eyes(picture: Picture, points: Flat, box: Box, first: int, folder: Path) -> tuple[EyeState, ...]:
    (folder / "eyes").mkdir()
    x, y, w, h = box
    grid_y, grid_x = np.mgrid[y : y + h, x : x + w].astype(np.float32)
    lids = [index for row in (*UPPER_LIDS, *LOWER_LIDS) for index in row]
    # Lashes stand above the lid's contour: a strip of them goes with it unbent, and no landmark within may say otherwise.
    strip = 0.022 * float(np.linalg.norm(points[454] - points[234]))
    rims = np.concatenate([smooth(points[list(row)]) for row in UPPER_LIDS])
    apart = np.linalg.norm(points[:FACE_POINTS, None] - rims[None], axis=2).min(axis=1)
    others = np.setdiff1d(np.flatnonzero(apart > 1.6 * strip), lids)

    def nodes(at: Flat) -> Flat:
        uppers = [smooth(at[list(row)]) for row in UPPER_LIDS]
        lashes = [line[4:-4] - (0.0, strip) for line in uppers]
        lowers = [smooth(at[list(row)])[1:-1] for row in LOWER_LIDS]
        return np.concatenate([*uppers, *lashes, *lowers, at[others]])

    def apertures(at: Flat, corner: tuple[int, int], shape: tuple[int, ...]) -> Picture:
        mask = np.zeros(shape, np.uint8)
        for uppers, lowers in zip(UPPER_LIDS, LOWER_LIDS, strict=True):
            rim = np.concatenate([smooth(at[list(uppers)]), smooth(at[list(lowers)])[::-1]]) - corner
            cv2.fillPoly(mask, [np.round(rim * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        return mask

    # Lids that meet must not leave slivers of the eye.
    lids_only = cv2.inpaint(picture, apertures(points, (0, 0), picture.shape[:2]), 3, cv2.INPAINT_TELEA)
    source = nodes(points[:FACE_POINTS])
    states: list[EyeState] = []
    for mood in MOODS:
        for blink in (0.0, 0.25, 0.5, 0.75, 1.0):
            state = EyeState(first + len(states), blink, mood, f"eyes/{first + len(states):03d}.jpg")
            moved = eyes_moved(points, state)
            field = _field(nodes(moved), source, box)
            skin = cv2.remap(lids_only, grid_x + field[..., 0], grid_y + field[..., 1], cv2.INTER_LINEAR)
            open_eyes = apertures(moved, (x, y), (h, w)) if blink < 1 else np.zeros((h, w), np.uint8)
            # The eyeball stays where it is behind the moving lids.
            seen = cv2.GaussianBlur(open_eyes, (0, 0), 0.7).astype(np.float32)[..., None] / 255.0
            still = picture[y : y + h, x : x + w]
            (folder / state.file).write_bytes(jpeg(np.round(skin * (1 - seen) + still * seen).astype(np.uint8)))
            states.append(state)
    return tuple(states)


def _filled(picture: Picture, mouth: Mouth) -> Picture:
    """The photograph with lips where it shows teeth: closing the mouth must not leave slivers of them."""
    rim = np.concatenate([smooth(mouth.source[list(UPPER_INNER)]), smooth(mouth.source[list(LOWER_INNER)])[::-1]])
    teeth = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(teeth, [np.round(rim).astype(np.int32)], 255)
    reach = int(0.02 * mouth.face) * 2 + 1
    return np.asarray(
        cv2.inpaint(picture, cv2.dilate(teeth, np.ones((reach, reach), np.uint8)), 5, cv2.INPAINT_TELEA), np.uint8
    )


def _tones(picture: Picture, points: Flat) -> Flat:
    """Mean BGR of both cheeks and of the lips."""

    def mean(indexes: tuple[int, ...]) -> Flat:
        spots = [
            picture[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3].reshape(-1, 3) for x, y in points[list(indexes)]
        ]
        return np.asarray(np.concatenate(spots).mean(axis=0), np.float32)

    return np.stack([mean((50, 280, 205, 425, 9)), mean((16, 15, 11, 315, 85))])


def _head(points: Flat, face: float) -> Picture:
    """How much each pixel moves with the head: all of face, hair and throat, fading into shoulders and background."""
    mask = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
    top, chin = points[10], points[CHIN]
    centre = (int((top[0] + chin[0]) / 2), int((top[1] + chin[1]) / 2 - 0.12 * face))
    cv2.ellipse(mask, centre, (int(0.66 * face), int(0.86 * face)), 0, 0, 360, 255, -1)
    throat = (int(chin[0] - 0.26 * face), int(chin[1] - 0.1 * face), int(0.52 * face), int(0.24 * face))
    cv2.rectangle(mask, throat, 255, -1)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), 0.11 * face), np.uint8)
