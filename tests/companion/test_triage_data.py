"""The knowledge of triage: every entry has a source that is listed and a review state, and leads to a known department."""

import csv
import re
from importlib import import_module
from pathlib import Path

import pytest

from companion.safety.red_flags import read_yaml
from companion.triage import lexicon, ranker
from companion.triage.lexicon import DATA

red_flags = import_module("companion.safety.red_flags")  # the package gives the function of that name
STATES = {"draft", "reviewed"}
TABLES = sorted(DATA.glob("*.csv"))
LISTS = [DATA / name for name in ("departments.yaml", "questions.yaml", "urgency.yaml")]


def faults(row: dict[str, str], sources: dict[str, str]) -> list[str]:
    """What is missing from one entry."""
    found = []
    if row.get("source") not in sources:
        found.append("source")
    if row.get("review") not in STATES:
        found.append("review")
    return found


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.name)
def test_every_row_has_a_source_and_a_review_state(path: Path) -> None:
    sources = lexicon.load().sources
    with path.open(encoding="utf-8", newline="") as file:
        assert [row for row in csv.DictReader(file) if faults(row, sources) or None in row] == []


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.name)
def test_every_list_has_a_source_and_a_review_state(path: Path) -> None:
    assert faults(read_yaml(path), lexicon.load().sources) == []


@pytest.mark.parametrize("row", [{}, {"source": "internal"}, {"review": "draft"}, {"source": "x", "review": "draft"}])
def test_an_entry_without_them_is_refused(row: dict[str, str]) -> None:
    assert faults(row, lexicon.load().sources)


def test_every_word_leads_to_a_known_department() -> None:
    known = lexicon.load()
    assert len(known.departments) == 34
    assert {name for entry in known.words.values() for name, _ in entry.departments} <= set(known.departments)


@pytest.mark.parametrize("name", ["symptoms.csv", "diseases.csv", "parts.csv"])
def test_no_word_is_said_twice(name: str) -> None:
    column = "name" if name == "diseases.csv" else "words"
    words = [word for row in lexicon.rows(name) for word in row[column].split("|")]
    assert sorted({word for word in words if words.count(word) > 1}) == []


def test_every_phrase_has_two_halves_and_a_reach() -> None:
    known = lexicon.load()
    assert len(known.phrases) >= 250
    for row in lexicon.rows("phrases.csv"):
        assert row["level"] in known.levels and 0 < int(row["gap"]) <= 24
        for side in ("first", "second"):
            words = row[side].split("|")
            assert all(words) and len(words) == len(set(words))


def test_every_pattern_of_the_red_flags_compiles() -> None:
    for rule in red_flags.load().rules:
        for pattern in (rule.unless, *(part for way in rule.when for part in way)):
            re.compile(pattern)


def test_raising_pairs_name_known_risks_and_concepts() -> None:
    known = lexicon.load()
    ids = [pair["id"] for pair in known.pairs]
    assert len(ids) == len(set(ids))
    concepts = {entry.concept for entry in known.words.values()}
    for pair in known.pairs:
        assert pair["risk"] in known.risks
        assert {c for c in pair["concepts"].split("|") if ":" not in c} <= concepts


def test_the_ranker_is_small_and_knows_every_department() -> None:
    model = ranker.load()
    assert model is not None and set(model.names) == set(lexicon.load().departments)
    assert ranker.PATH.stat().st_size < 5_000_000
    assert model.log_probabilities("") == {}
