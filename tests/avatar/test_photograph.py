"""Rigs from a photograph: what is drawn, where the lips land, and the command that builds one."""

from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from django.core.management import CommandError, call_command

from avatar import photograph
from avatar.encoders import picture
from avatar.exceptions import NoFace
from avatar.expressions import Mouth, eyes_moved
from avatar.landmarks import LOWER_INNER, UPPER_INNER, find_face, find_faces, read_portrait
from avatar.renderers import ASSETS, get_renderer
from avatar.renderers.mesh import MeshRenderer
from avatar.rig import EyeState, MouthState

PORTRAIT = ASSETS / "xiaolan" / "portrait.jpg"
STATES = (
    MouthState(0),
    MouthState(1, jaw=0.5),
    MouthState(2, jaw=1.0),
    MouthState(3, jaw=0.25, round=1.0),
    MouthState(4, press=1.0),
    MouthState(5, jaw=0.25, width=1.0),
    MouthState(6, jaw=0.3, tongue=1.0),
    MouthState(7, jaw=0.08, roll=1.0),
    MouthState(8, mood="smile"),
    MouthState(9, mood="concern"),
)


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> MeshRenderer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photograph, "mouth_grid", lambda: STATES)
        return MeshRenderer(photograph.build(PORTRAIT, "someone", tmp_path_factory.mktemp("avatars")))


@pytest.fixture(scope="module")
def mouth() -> Mouth:
    return Mouth.of(find_face(read_portrait(PORTRAIT)).points[:, :2])


def face(renderer: MeshRenderer, state: int) -> np.ndarray:
    image = cv2.imread(str(renderer.rig.folder / renderer.rig.portrait))
    x, y, w, h = renderer.mouth_box
    image[y : y + h, x : x + w] = picture(renderer.patch(state))
    return image


def gap_and_width(image: np.ndarray) -> tuple[float, float]:
    found = find_faces(image)[0]
    return found.lip_gap, found.mouth_width_px / found.width_px


def test_it_is_a_whole_rig(renderer):
    assert renderer.rig.kind == "mesh" and renderer.indexed
    assert renderer.rig.size_px == (512, 512)
    assert len(renderer.rig.eye_states) == 15
    assert {path.name for path in renderer.rig.folder.iterdir()} == {
        "rig.json",
        "mesh.npz",
        "portrait.jpg",
        "head.png",
        "eyes",
    }
    assert renderer.state_of(np.zeros(10, np.float32), "smile") == 8


def test_patches_show_no_seam(renderer):
    portrait = cv2.imread(str(renderer.rig.folder / "portrait.jpg")).astype(int)
    for states, (x, y, w, h), patch in (
        (renderer.rig.mouth_states, renderer.mouth_box, renderer.patch),
        (renderer.rig.eye_states, renderer.eyes_box, renderer.eye_patch),
    ):
        for state in states:
            drawn = picture(patch(state.id)).astype(int)
            for rim in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
                assert np.abs(drawn[rim] - portrait[y : y + h, x : x + w][rim]).mean() < 6


def test_the_lips_do_what_the_state_says(renderer):
    rest, rest_width = gap_and_width(face(renderer, 0))
    assert rest < 0.03
    assert gap_and_width(face(renderer, 4))[0] < 0.03
    half, full = gap_and_width(face(renderer, 1))[0], gap_and_width(face(renderer, 2))[0]
    assert 0.1 < half < full < 0.7
    assert gap_and_width(face(renderer, 3))[1] < 0.85 * rest_width < rest_width < gap_and_width(face(renderer, 5))[1]


def test_the_inside_is_teeth_tongue_and_dark_not_a_hole(renderer):
    opening = renderer._mesh.openings[2].astype(int)
    (x0, y0), (x1, y1) = opening.min(axis=0), opening.max(axis=0)
    patch = picture(renderer.patch(2))[y0:y1, x0 + 8 : x1 - 8].astype(int)
    brightness = patch.sum(axis=2)
    assert brightness.max() > 450, "upper teeth"
    assert brightness.min() < 160, "depth"
    lower = patch[-len(patch) // 3 :].reshape(-1, 3)
    assert ((lower[:, 2] - lower[:, 1]) > 40).mean() > 0.3, "a red tongue"


def test_upper_teeth_are_fixed_to_the_skull(renderer):
    """Between two jaws the row's upper part keeps its place: what is seen of it does not go down with the jaw."""

    def teeth_bottom(state: int) -> float:
        centre = int(renderer._mesh.measures[1])
        column = picture(renderer.patch(state))[:, centre - 2 : centre + 3].astype(int).mean(axis=1)
        top, bottom = (
            int(value)
            for value in (renderer._mesh.openings[state][:, 1].min(), renderer._mesh.openings[state][:, 1].max())
        )
        bright = np.flatnonzero(column[top:bottom].min(axis=1) > 120)
        return float(top + bright.max())

    assert abs(teeth_bottom(1) - teeth_bottom(2)) <= 3


def test_displacements(mouth):
    rest, shut, wide = (mouth.moved(state) for state in (STATES[0], STATES[4], STATES[2]))
    gap = lambda at: float(at[14, 1] - at[13, 1])  # noqa: E731
    assert gap(rest) < 1 and gap(shut) < 1
    assert 0.10 * mouth.face < gap(wide) < 0.20 * mouth.face
    assert wide[152, 1] - rest[152, 1] > 0.08 * mouth.face, "the chin goes with the jaw"
    for still in (10, 33, 263, 1):
        assert np.abs(wide[still] - rest[still]).max() < 0.01 * mouth.face
    assert (mouth.opening(STATES[2])[41:, 1].max() - mouth.opening(STATES[2])[:41, 1].min()) > gap(wide) * 0.9


def test_lips_never_cross(mouth):
    for state in photograph.mouth_grid():
        moved = mouth.moved(state)
        assert (moved[list(LOWER_INNER[1:-1]), 1] > moved[list(UPPER_INNER[1:-1]), 1]).all()


def test_lids_meet_and_open_as_they_were(mouth):
    shut, opened = (eyes_moved(mouth.source, EyeState(0, blink=blink)) for blink in (1.0, 0.0))
    assert np.abs(opened - mouth.source).max() < 0.01 * mouth.face
    for upper, lower in ((159, 145), (386, 374)):
        before = mouth.source[lower, 1] - mouth.source[upper, 1]
        assert 0 <= shut[lower, 1] - shut[upper, 1] < 0.12 * before


def test_a_teeth_smile_is_closed(mouth):
    smiling = mouth.source.copy()
    smiling[list(LOWER_INNER[1:-1]), 1] += 6
    closed = Mouth.of(smiling)
    assert (closed.rest[14] - closed.rest[13])[1] < 1.5


def test_grid_of_states_is_what_speech_needs():
    states = photograph.mouth_grid()
    assert [state.id for state in states] == list(range(len(states)))
    assert states[0] == MouthState(0)
    assert 100 <= len(states) <= 250


def test_command_builds_refuses_and_replaces(renderer, settings, tmp_path, monkeypatch):
    settings.DATA_DIR = tmp_path
    monkeypatch.setattr(photograph, "mouth_grid", lambda: STATES[:2])
    said = StringIO()
    call_command("build_avatar", str(PORTRAIT), "--name", "nurse", stdout=said)
    assert "2 mouths" in said.getvalue()
    first = get_renderer("nurse")
    with pytest.raises(CommandError, match="--replace"):
        call_command("build_avatar", str(PORTRAIT), "--name", "nurse")
    for name in ("xiaolan", "../nurse", "Nurse"):
        with pytest.raises(CommandError):
            call_command("build_avatar", str(PORTRAIT), "--name", name)
    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), np.full((400, 400, 3), 128, np.uint8))
    with pytest.raises(CommandError, match="no_face"):
        call_command("build_avatar", str(blank), "--name", "nurse", "--replace")
    assert get_renderer("nurse") is first, "what is refused changes nothing"
    monkeypatch.setattr(photograph, "mouth_grid", lambda: STATES[:3])
    call_command("build_avatar", str(PORTRAIT), "--name", "nurse", "--replace", stdout=said)
    assert get_renderer("nurse") is not first
    assert sorted(path.name for path in Path(tmp_path / "avatars").iterdir()) == ["nurse"]


def test_nothing_is_left_behind_by_a_portrait_without_a_face(tmp_path):
    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), np.full((400, 400, 3), 128, np.uint8))
    with pytest.raises(NoFace):
        photograph.build(blank, "nobody", tmp_path / "avatars")
    assert not (tmp_path / "avatars").exists()
