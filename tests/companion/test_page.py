"""The page's own tests, under Node."""

from pathlib import Path

import pytest

from tests import node

FOLDER = Path(__file__).parent / "page"


@node.needs_node
@pytest.mark.parametrize("file", sorted(path.name for path in FOLDER.glob("*.test.mjs")))
def test_under_node(file: str) -> None:
    node.run(FOLDER / file)
