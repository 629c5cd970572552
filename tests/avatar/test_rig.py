"""A rig's folder: read, written, and refused with a reason."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from avatar.exceptions import RigError
from avatar.renderers import ASSETS
from avatar.rig import Rig
from avatar.timeline import MOODS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ASSETS / "xiaolan", tmp_path / "someone"))


def change(folder: Path, edit) -> None:
    path = folder / "rig.json"
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value))


def test_built_in_avatar_has_every_mood_a_closed_and_an_open_mouth_and_shut_eyes():
    rig = Rig.load(ASSETS / "xiaolan")
    assert {state.mood for state in rig.mouth_states} == {state.mood for state in rig.eye_states} == set(MOODS)
    assert any(state.jaw == 0 and state.press > 0.8 for state in rig.mouth_states)
    assert any(state.jaw > 0.9 for state in rig.mouth_states)
    assert any(state.blink == 1 for state in rig.eye_states)
    assert rig.origin


def test_a_saved_rig_loads_as_it_was(folder):
    rig = Rig.load(folder)
    again = replace(rig, origin="elsewhere").save(folder)
    assert again == replace(rig, origin="elsewhere", version=again.version)
    assert again.version != rig.version


def test_version_follows_every_picture(folder):
    before = Rig.load(folder)
    assert Rig.load(folder).version == before.version
    file = folder / before.mouth_states[-1].file
    file.write_bytes(file.read_bytes() + b"\0")
    assert Rig.load(folder).version != before.version


@pytest.mark.parametrize(
    "edit",
    [
        lambda value: value.pop("mouth"),
        lambda value: value.update(kind="puppet"),
        lambda value: value["mouth"]["states"][1].update(id=value["eyes"]["states"][0]["id"]),
        lambda value: value["mouth"]["states"][0].update(file="../../secret_key"),
        lambda value: value["mouth"]["states"][0].update(file="mouth/none.jpg"),
        lambda value: value["mouth"].update(box_px=[500, 500, 100, 100]),
        lambda value: value["eyes"]["states"][0].update(mood="fury"),
        lambda value: value["head"].update(pivot_px=[]),
        lambda value: value.update(mouth={"box_px": [0, 0, 9, 9], "states": []}),
    ],
)
def test_a_broken_rig_is_refused_with_a_typed_error(folder, edit):
    change(folder, edit)
    with pytest.raises(RigError) as caught:
        Rig.load(folder)
    assert caught.value.code == "rig_broken"


def test_what_is_no_rig_at_all(tmp_path):
    with pytest.raises(RigError):
        Rig.load(tmp_path)
