"""The player's own tests, under Node; and that it moves a head as films do."""

import json
from pathlib import Path

import pytest

from avatar import idle
from tests import node

FOLDER = Path(__file__).parent / "player"


@node.needs_node
@pytest.mark.parametrize("file", sorted(path.name for path in FOLDER.glob("*.test.mjs")))
def test_under_node(file):
    blinks = [list(idle.blink_starts(slot)) for slot in range(200)]
    node.run(FOLDER / file, AVATAR_BLINKS=json.dumps(blinks))
