"""The renderer's contract, and that the state it takes is the mouth one would choose by eye."""

import time

import cv2
import numpy as np
import pytest

from avatar.encoders import picture
from avatar.exceptions import AvatarNotFound
from avatar.renderers import get_renderer
from avatar.renderers.lookup import Lookup
from avatar.rig import EyeState, MouthState
from avatar.timeline import BLENDSHAPES, MOODS


def shape(**weights: float) -> np.ndarray:
    return np.array([weights.get(name, 0.0) for name in BLENDSHAPES], np.float32)


@pytest.fixture(scope="module")
def renderer():
    return get_renderer("xiaolan")


def chosen(renderer, mood="neutral", **weights) -> MouthState:
    found = renderer.state_of(shape(**weights), mood)
    return next(state for state in renderer.rig.mouth_states if state.id == found)


def test_every_patch_is_a_picture_of_its_box(renderer):
    for states, box, patch in (
        (renderer.rig.mouth_states, renderer.mouth_box, renderer.patch),
        (renderer.rig.eye_states, renderer.eyes_box, renderer.eye_patch),
    ):
        for state in states:
            assert picture(patch(state.id)).shape == (box[3], box[2], 3)


def test_patches_show_no_seam(renderer):
    portrait = cv2.imread(str(renderer.rig.folder / renderer.rig.portrait)).astype(int)
    x, y, w, h = renderer.mouth_box
    for state in renderer.rig.mouth_states:
        patch = picture(renderer.patch(state.id)).astype(int)
        under = portrait[y : y + h, x : x + w]
        for rim in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
            assert np.abs(patch[rim] - under[rim]).mean() < 6


def test_rest_is_the_portrait(renderer):
    portrait = cv2.imread(str(renderer.rig.folder / renderer.rig.portrait)).astype(int)
    x, y, w, h = renderer.mouth_box
    rest = picture(renderer.patch(renderer.state_of(shape(), "neutral"))).astype(int)
    assert np.abs(rest - portrait[y : y + h, x : x + w]).mean() < 3


def test_lips_that_press_are_shut(renderer):
    for jaw in (0.0, 0.05, 0.2):
        state = chosen(renderer, jawOpen=jaw, mouthClose=1.0, mouthPress=0.6)
        assert state.jaw == 0 and state.press > 0


def test_vowels_are_open_and_as_wide_as_they_sound(renderer):
    a, i, u = (
        chosen(renderer, jawOpen=0.8),
        chosen(renderer, jawOpen=0.2, mouthStretch=0.8),
        chosen(renderer, jawOpen=0.25, mouthPucker=0.9),
    )
    assert a.jaw > 0.6 and a.round < 0.3
    assert i.width > 0.4 and 0 < i.jaw < 0.45
    assert u.round > 0.6 and 0 < u.jaw < 0.5


def test_tongue_and_lower_lip(renderer):
    assert chosen(renderer, jawOpen=0.3, tongueUp=1.0).tongue > 0.4
    assert chosen(renderer, jawOpen=0.1, mouthRollLower=1.0).roll > 0.4


def test_every_jaw_state_of_a_shape_is_reached_in_rising_order(renderer):
    jaws = [chosen(renderer, jawOpen=jaw / 50).jaw for jaw in range(51)]
    assert jaws == sorted(jaws) and len(set(jaws)) >= 7


@pytest.mark.parametrize("mood", MOODS)
def test_moods_keep_to_their_own_states(renderer, mood):
    rng = np.random.default_rng(5)
    values = rng.random((300, len(BLENDSHAPES)), np.float32)
    moods = {state.id: state.mood for state in renderer.rig.mouth_states}
    ids = renderer.states_of(values, mood)
    assert {moods[int(found)] for found in ids} == {mood}
    assert [renderer.state_of(one, mood) for one in values[:20]] == list(ids[:20])
    assert renderer.patch(int(ids[0])) and renderer.render(values[0], mood)


def test_blink_takes_the_nearest_lids(renderer):
    blinks = {state.id: state.blink for state in renderer.rig.eye_states}
    assert blinks[renderer.eye_state(0.0, "neutral")] == 0
    assert blinks[renderer.eye_state(0.96, "smile")] == 1
    assert renderer.eye_patch(renderer.eye_state(0.4, "concern"))


def test_a_state_nobody_has(renderer):
    with pytest.raises(KeyError):
        renderer.patch(10**9)
    with pytest.raises(KeyError):
        renderer.eye_patch(10**9)


def test_lookup_over_any_set_of_states():
    lookup = Lookup.over((MouthState(7), MouthState(9, jaw=1.0, width=-1.0)), (EyeState(3),))
    assert lookup.mouths(shape(jawOpen=1.0)[None], "smile")[0] == 9
    assert lookup.mouths(np.full((1, len(BLENDSHAPES)), 7.0, np.float32), "neutral")[0] in (7, 9)
    assert lookup.eye(1.0, "concern") == 3


def test_lookup_costs_microseconds(renderer):
    values = shape(jawOpen=0.4, mouthPucker=0.3)
    started = time.perf_counter()
    for _ in range(200):
        renderer.state_of(values, "neutral")
    assert (time.perf_counter() - started) / 200 < 1e-3


@pytest.mark.parametrize("name", ["nobody", "../xiaolan", "", "a/b", "XIAOLAN", "x" * 90])
def test_no_avatar_of_that_name(name):
    with pytest.raises(AvatarNotFound):
        get_renderer(name)


def test_one_renderer_a_process():
    assert get_renderer("xiaolan") is get_renderer("xiaolan")
