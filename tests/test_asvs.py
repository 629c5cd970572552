"""The ASVS page is whole and names nothing that does not exist."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "asvs.md").read_text(encoding="utf-8")
ROWS = [tuple(row) for row in re.findall(r"^\| (V[\d.]+) \| ([12]) \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.M)]
# How many requirements of level 1 and 2 each chapter of version 5.0.0 has.
CHAPTERS = [27, 11, 19, 10, 9, 35, 18, 7, 7, 29, 14, 9, 13, 9, 13, 16, 7]
STATES = {"met", "partly", "not met", "n/a"}


def defined_in(path: Path) -> set[str]:
    """``test_x`` and ``TestY::test_x`` of a file."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        inner = [(f"{node.name}::", n) for n in node.body] if isinstance(node, ast.ClassDef) else [("", node)]
        found |= {f"{prefix}{n.name}" for prefix, n in inner if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    return found


def anchors_in(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_requirement_is_there_once_and_in_order() -> None:
    ids = [tuple(int(part) for part in row[0][1:].split(".")) for row in ROWS]
    assert ids == sorted(set(ids))
    assert len(PAGE.splitlines()) - len(ROWS) < 100  # no row that the pattern above does not read
    assert [Counter(i[0] for i in ids)[chapter] for chapter in range(1, 18)] == CHAPTERS
    assert Counter(row[1] for row in ROWS) == {"1": 70, "2": 183}


def test_every_state_is_one_of_four_and_the_sum_is_right() -> None:
    states = Counter(row[3] for row in ROWS)
    assert set(states) <= STATES
    said = {state: int(number) for number, state in re.findall(r"(\d+) (met|partly|not met|n/a)", PAGE)}
    assert said == states


@pytest.mark.parametrize("chapter", range(1, 18))
def test_every_test_that_is_named_exists(chapter: int) -> None:
    rows = [row for row in ROWS if row[0].startswith(f"V{chapter}.")]
    named = {name for row in rows for name in re.findall(r"`(tests/[^`]+)`", row[4])}
    known: dict[str, set[str]] = {}
    for path, _, name in (n.partition("::") for n in named):
        known.setdefault(path, defined_in(ROOT / path))
        assert name in known[path], f"{path}::{name}"


def test_every_section_that_is_linked_exists() -> None:
    links = re.findall(r"\]\(([a-z_-]+\.md)(?:#([a-z-]+))?\)", PAGE)
    assert links
    for page, anchor in links:
        assert (ROOT / "docs" / page).exists(), page
        assert not anchor or anchor in anchors_in(ROOT / "docs" / page), f"{page}#{anchor}"
