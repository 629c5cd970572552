"""The player's own tests, under Node; and that it moves a head as films do."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from avatar import idle

FOLDER = Path(__file__).parent / "player"
NODE = shutil.which("node")


def node_major() -> int:
    if NODE is None:
        return 0
    said = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.strip().lstrip("v").split(".")[0])


@pytest.mark.skipif(node_major() < 18, reason="the player's tests need Node 18 or newer, which is not on this machine")
@pytest.mark.parametrize("file", sorted(path.name for path in FOLDER.glob("*.test.mjs")))
def test_under_node(file):
    blinks = [list(idle.blink_starts(slot)) for slot in range(200)]
    run = subprocess.run(
        [NODE, "--test", str(FOLDER / file)],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"AVATAR_BLINKS": json.dumps(blinks)},
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    assert "# fail 0" in run.stdout and "# pass 0" not in run.stdout
