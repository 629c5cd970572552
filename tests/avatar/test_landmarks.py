"""Portraits that no rig can be made from: each refused with its own error, which says what to do."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar import landmarks
from avatar.exceptions import (
    NoFace,
    OpenMouth,
    PictureTooLarge,
    PictureTooSmall,
    PictureUnreadable,
    RigError,
    SeveralFaces,
    TurnedHead,
)
from avatar.landmarks import find_face, read_portrait
from avatar.renderers import ASSETS, get_renderer

PORTRAIT = ASSETS / "xiaolan" / "portrait.jpg"


@pytest.fixture(scope="module")
def her() -> np.ndarray:
    return read_portrait(PORTRAIT)


def written(folder: Path, image: np.ndarray, name: str = "portrait.png") -> Path:
    cv2.imwrite(str(folder / name), image)
    return folder / name


def bomb(path: Path, width: int, height: int) -> Path:
    """A PNG of a few bytes that says it is huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    return path


def test_the_default_portrait_is_a_face_from_the_front(her):
    face = find_face(her)
    assert face.points.shape == (478, 3)
    assert abs(face.yaw_deg) < 8 and abs(face.roll_deg) < 4
    assert face.lip_gap < 0.05


def test_no_face():
    with pytest.raises(NoFace) as caught:
        find_face(np.full((512, 512, 3), 200, np.uint8))
    assert "front" in caught.value.detail


def test_two_faces(her):
    with pytest.raises(SeveralFaces):
        find_face(np.concatenate([her, her], axis=1))


def test_a_face_far_away_is_found_and_two_are_seen(her):
    far = np.full((1600, 1600, 3), 190, np.uint8)
    far[1000:1512, 1000:1512] = her
    assert abs(find_face(far).points[1, 0] - 1000 - find_face(her).points[1, 0]) < 6
    far[100:612, 100:612] = her
    with pytest.raises(SeveralFaces):
        find_face(far)


def test_too_few_pixels(her):
    with pytest.raises(PictureTooSmall):
        find_face(cv2.resize(her, (180, 180), interpolation=cv2.INTER_AREA))


def test_tilted_head(her):
    turn = cv2.getRotationMatrix2D((256, 240), 32, 1.0)
    with pytest.raises(TurnedHead):
        find_face(cv2.warpAffine(her, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE))


def test_turned_head(her, monkeypatch):
    face = find_face(her)
    points = face.points.copy()
    points[:, 2] += 0.6 * (points[:, 0] - points[:, 0].mean())
    monkeypatch.setattr(landmarks, "_confirmed", lambda *_: [landmarks.Face(points)])
    with pytest.raises(TurnedHead):
        find_face(her)


@pytest.mark.parametrize("jaw", [1.0, 0.45])
def test_open_mouth(her, jaw):
    renderer = get_renderer("xiaolan")
    neutral = [s for s in renderer.rig.mouth_states if s.mood == "neutral" and s.tongue == s.round == s.width == 0]
    state = min(neutral, key=lambda s: abs(s.jaw - jaw))
    x, y, w, h = renderer.mouth_box
    speaking = her.copy()
    speaking[y : y + h, x : x + w] = cv2.imdecode(np.frombuffer(renderer.patch(state.id), np.uint8), 1)
    with pytest.raises(OpenMouth):
        find_face(speaking)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\xff\xd8\xff\xe0 no picture", b"<svg></svg>", b"\x00" * 999])
def test_what_is_no_picture(tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(PictureUnreadable):
        read_portrait(tmp_path / "file")


def test_half_a_picture(tmp_path):
    (tmp_path / "half.jpg").write_bytes(PORTRAIT.read_bytes()[:9000])
    with pytest.raises(PictureUnreadable):
        read_portrait(tmp_path / "half.jpg")


def test_no_file_and_a_folder(tmp_path):
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(PictureUnreadable):
            read_portrait(path)


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (8_000, 8_000)])
def test_decompression_bomb(tmp_path, width, height):
    with pytest.raises(PictureTooLarge):
        read_portrait(bomb(tmp_path / "bomb.png", width, height))


def test_too_big_a_file(tmp_path):
    with (tmp_path / "big.jpg").open("wb") as file:
        file.truncate(landmarks.MAX_FILE_BYTES + 1)
    with pytest.raises(PictureTooLarge) as caught:
        read_portrait(tmp_path / "big.jpg")
    assert "MB" in caught.value.detail


def test_tiny_and_large_pictures(tmp_path, her):
    with pytest.raises(PictureTooSmall):
        read_portrait(written(tmp_path, her[:60, :60]))
    large = read_portrait(written(tmp_path, cv2.resize(her, (3000, 3000)), "large.png"))
    assert max(large.shape) <= landmarks.WORK_SIDE_PX


def test_upright_by_exif_and_without_transparency(tmp_path, her):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    Image.fromarray(np.rot90(her[..., ::-1])).save(tmp_path / "turned.jpg", exif=exif)
    assert abs(find_face(read_portrait(tmp_path / "turned.jpg")).roll_deg) < 5
    cut_out = np.dstack([her, np.where(her.sum(axis=2) > 640, 0, 255).astype(np.uint8)])
    assert read_portrait(written(tmp_path, cut_out)).shape == her.shape


def test_every_refusal_is_the_users_to_mend():
    for error in (NoFace, SeveralFaces, TurnedHead, OpenMouth, PictureTooSmall, PictureTooLarge, PictureUnreadable):
        assert issubclass(error, RigError) and 400 <= error.status_code < 500 and len(error.detail) > 20
