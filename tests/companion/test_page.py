"""The page's own tests, under Node."""

import re
from pathlib import Path

import pytest

from tests import node

FOLDER = Path(__file__).parent / "page"
APP = Path(__file__).resolve().parents[2] / "static" / "app"


def test_no_style_attribute_is_set_which_the_pages_policy_would_refuse() -> None:
    sources = sorted(APP.glob("*.js"))
    assert sources
    assert not [path.name for path in sources if re.search(r"\bstyle\s*[:=]", path.read_text(encoding="utf-8"))]


@node.needs_node
@pytest.mark.parametrize("file", sorted(path.name for path in FOLDER.glob("*.test.mjs")))
def test_under_node(file: str) -> None:
    node.run(FOLDER / file)
