"""A portrait file to an upright picture and the 478 landmarks of its one face; or a typed error that says what to do.

Landmark numbers are those of MediaPipe FaceMesh with refined landmarks (canonical_face_model.obj of the MediaPipe project).
Left and right are the picture's, not the person's.
"""

import io
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from avatar.exceptions import (
    NoFace,
    OpenMouth,
    PictureTooLarge,
    PictureTooSmall,
    PictureUnreadable,
    SeveralFaces,
    TurnedHead,
)

Points = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

MAX_FILE_BYTES = 20 * 1024 * 1024
MAX_PIXELS = 40_000_000
MIN_FACE_PX = 80
# Larger pictures are halved until their long side is below this: an avatar is 512 pixels wide.
WORK_SIDE_PX = 2048
MAX_YAW_DEG = 18.0
MAX_ROLL_DEG = 20.0
MAX_PITCH_DEG = 28.0
# Inner-lip gap / mouth width. A smile that shows its teeth is about 0.17 and can be closed; a mouth that speaks, whose inside is
# darker than teeth against the cheeks, cannot.
MAX_GAP = 0.24
MAX_DARK_GAP = 0.10
TEETH_AGAINST_CHEEKS = 0.62
# A second face smaller than this part of the first is a picture on the wall.
SECOND_FACE = 0.35

LEFT_CHEEK, RIGHT_CHEEK, FOREHEAD, CHIN = 234, 454, 10, 152
LEFT_EYE, RIGHT_EYE = 33, 263
LEFT_CORNER, RIGHT_CORNER = 78, 308
UPPER_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
UPPER_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LOWER_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
# From the outer to the inner corner in the left eye, from the inner to the outer one in the right: rising x in both.
UPPER_LIDS = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (362, 398, 384, 385, 386, 387, 388, 466, 263))
LOWER_LIDS = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (362, 382, 381, 380, 374, 373, 390, 249, 263))
BROWS = ((70, 63, 105, 66, 107, 46, 53, 52, 65, 55), (300, 293, 334, 296, 336, 276, 283, 282, 295, 285))
FACE_POINTS = 468


@dataclass(frozen=True, slots=True)
class Face:
    """``points``: float32, shape (478, 3), in pixels of the picture; z grows away from the camera, on the same scale."""

    points: Points

    @property
    def width_px(self) -> float:
        return float(np.linalg.norm((self.points[RIGHT_CHEEK] - self.points[LEFT_CHEEK])[:2]))

    @property
    def mouth_width_px(self) -> float:
        return float(np.linalg.norm((self.points[RIGHT_CORNER] - self.points[LEFT_CORNER])[:2]))

    @property
    def lip_gap(self) -> float:
        """Gap between the inner lips, as a part of the mouth's width."""
        return float(np.linalg.norm((self.points[14] - self.points[13])[:2])) / max(self.mouth_width_px, 1e-6)

    @property
    def yaw_deg(self) -> float:
        across = self.points[RIGHT_CHEEK] - self.points[LEFT_CHEEK]
        return math.degrees(math.atan2(float(across[2]), float(np.hypot(across[0], across[1]))))

    @property
    def roll_deg(self) -> float:
        across = self.points[RIGHT_EYE] - self.points[LEFT_EYE]
        return math.degrees(math.atan2(float(across[1]), float(across[0])))

    @property
    def pitch_deg(self) -> float:
        """0 for most people who look straight ahead; FaceMesh's forehead lies 10 degrees before its chin."""
        down = self.points[CHIN] - self.points[FOREHEAD]
        return math.degrees(math.atan2(float(down[2]), float(np.hypot(down[0], down[1])))) - 10.0


def read_portrait(path: Path) -> Picture:
    """The file as BGR uint8, upright by its EXIF, at most ``WORK_SIDE_PX`` a side.

    Raises PictureUnreadable, PictureTooLarge (bytes, or pixels as its header tells, before they are unpacked).
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise PictureTooLarge(f"The file is larger than {MAX_FILE_BYTES // 2**20} MB. Save it as JPEG.")
        data = path.read_bytes()
    except OSError as error:
        raise PictureUnreadable(f"The file cannot be opened: {error.strerror}.") from error
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise PictureTooLarge
            upright = ImageOps.exif_transpose(opened)
            if upright.mode in ("RGBA", "LA", "P"):
                upright = upright.convert("RGBA")
                ground = Image.new("RGBA", upright.size, (236, 240, 242, 255))
                upright = Image.alpha_composite(ground, upright)
            pixels = np.asarray(upright.convert("RGB"))
    except Image.DecompressionBombError as error:
        raise PictureTooLarge from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise PictureUnreadable from error
    if min(pixels.shape[:2]) < MIN_FACE_PX:
        raise PictureTooSmall
    shrink = WORK_SIDE_PX / max(pixels.shape[:2])
    if shrink < 1:
        pixels = cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(pixels[..., ::-1])


def find_faces(picture: Picture, most: int = 4) -> list[Face]:
    """Every face, the largest first. ``picture``: BGR uint8, shape (h, w, 3)."""
    # Imported here: it takes a second, and nobody who only renders needs it.
    from mediapipe.python.solutions.face_mesh import FaceMesh

    height, width = picture.shape[:2]
    with FaceMesh(static_image_mode=True, refine_landmarks=True, max_num_faces=most) as mesh:
        found = mesh.process(np.ascontiguousarray(picture[..., ::-1])).multi_face_landmarks or ()
    scale = np.array([width, height, width], np.float32)
    faces = [Face(np.array([(p.x, p.y, p.z) for p in face.landmark], np.float32) * scale) for face in found]
    return sorted(faces, key=lambda face: -face.width_px)


def find_face(picture: Picture) -> Face:
    """The one face of a portrait, fit to be given a voice.

    Raises NoFace, SeveralFaces, PictureTooSmall, TurnedHead, OpenMouth.
    """
    faces = _confirmed(picture, find_faces(picture)) or _confirmed(picture, _find_far(picture))
    if not faces:
        raise NoFace
    face = faces[0]
    if len(faces) > 1 and faces[1].width_px > SECOND_FACE * face.width_px:
        raise SeveralFaces
    if (
        abs(face.yaw_deg) > MAX_YAW_DEG
        or abs(face.roll_deg) > MAX_ROLL_DEG
        or abs(face.pitch_deg) > MAX_PITCH_DEG
        or _sideways(face)
    ):
        raise TurnedHead
    if face.width_px < MIN_FACE_PX:
        raise PictureTooSmall
    if face.lip_gap > MAX_GAP or (face.lip_gap > MAX_DARK_GAP and _inside(picture, face) < TEETH_AGAINST_CHEEKS):
        raise OpenMouth
    return face


def _inside(picture: Picture, face: Face) -> float:
    """How bright the mouth's inside is, against the cheeks."""
    rim = np.concatenate([face.points[list(UPPER_INNER)], face.points[list(LOWER_INNER[::-1])]])[:, :2]
    mask = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(rim).astype(np.int32)], 1)
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    cheeks = [
        float(grey[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].mean()) for x, y in face.points[[50, 280], :2]
    ]
    return float(grey[mask > 0].mean()) / max(float(np.mean(cheeks)), 1.0)


def _confirmed(picture: Picture, faces: list[Face]) -> list[Face]:
    """The faces that are found again, and better, when looked at closely: a small face is guessed in a large picture."""
    height, width = picture.shape[:2]
    seen = []
    for face in faces:
        centre, reach = face.points[1][:2], 1.3 * face.width_px
        x0, y0 = (int(max(0, value)) for value in centre - reach)
        x1, y1 = int(min(width, centre[0] + reach)), int(min(height, centre[1] + reach))
        if min(x1 - x0, y1 - y0) < 16:
            continue
        for again in find_faces(picture[y0:y1, x0:x1], most=1):
            seen.append(Face(again.points + np.array([x0, y0, 0], np.float32)))
    return sorted(seen, key=lambda face: -face.width_px)


def _sideways(face: Face) -> bool:
    """True where the nose is much nearer to one cheek than to the other: the depth of a profile is not to be trusted."""
    nose, left, right = (face.points[i][0] for i in (1, LEFT_CHEEK, RIGHT_CHEEK))
    nearer, farther = sorted((abs(nose - left), abs(right - nose)))
    return bool(nearer < 0.45 * farther)


def _find_far(picture: Picture) -> list[Face]:
    """Faces in a full-length picture: the detector only knows near ones, so look at overlapping quarters."""
    height, width = picture.shape[:2]
    side = max(height, width) // 2
    if side < 2 * MIN_FACE_PX:
        return []
    found: list[Face] = []
    for y in range(0, max(1, height - side // 2), side // 2):
        for x in range(0, max(1, width - side // 2), side // 2):
            for face in find_faces(picture[y : y + side, x : x + side]):
                here = Face(face.points + np.array([x, y, 0], np.float32))
                # Overlapping quarters see the same face twice.
                if all(
                    np.linalg.norm((here.points[1] - other.points[1])[:2]) > 0.5 * other.width_px for other in found
                ):
                    found.append(here)
    return sorted(found, key=lambda face: -face.width_px)
