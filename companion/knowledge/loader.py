"""Reads the knowledge base from CSV files, and refuses what has no id, source, review state or sane numbers.

A folder holds reasons*.csv, medicines*.csv, examinations*.csv, laboratory*.csv, laboratory_ranges*.csv,
interactions*.csv, procedures*.csv and sources.yaml. Lists inside a cell are parted by ``|``; a cell ``@name`` stands for
a sentence of phrases.csv; ``source`` is an id of sources.yaml, in whose text ``{name}`` is the entry's name.
"""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from companion.knowledge.values import (
    REVIEW_STATES,
    Entry,
    ExaminationEntry,
    Interaction,
    KnowledgeInvalid,
    LaboratoryItem,
    MedicineEntry,
    ProcedureEntry,
    Range,
    ReasonEntry,
    Rows,
)

DATA = Path(__file__).resolve().parent.parent / "data" / "knowledge"
_ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_DAY = re.compile(r"20\d\d-[01]\d-[0-3]\d")
_SEXES = ("", "male", "female")
E = TypeVar("E")


@dataclass
class Shelf:
    """All entries read, by kind and id."""

    reasons: dict[str, ReasonEntry] = field(default_factory=dict)
    medicines: dict[str, MedicineEntry] = field(default_factory=dict)
    examinations: dict[str, ExaminationEntry] = field(default_factory=dict)
    laboratory: dict[str, LaboratoryItem] = field(default_factory=dict)
    interactions: dict[str, Interaction] = field(default_factory=dict)
    procedures: dict[str, ProcedureEntry] = field(default_factory=dict)

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """Every entry that can be asked about, with its kind."""
        for kind, some in (
            ("reason", self.reasons),
            ("medicine", self.medicines),
            ("examination", self.examinations),
            ("laboratory", self.laboratory),
            ("procedure", self.procedures),
        ):
            for entry in some.values():
                yield kind, entry


class Row:
    """One row of a file, read cell by cell; every complaint names the file and the line."""

    def __init__(self, cells: Rows, where: str, sources: Rows, phrases: Rows) -> None:
        self.cells, self.where, self._sources, self._phrases = cells, where, sources, phrases

    def wrong(self, why: str) -> KnowledgeInvalid:
        return KnowledgeInvalid(f"{self.where}: {why}")

    def text(self, column: str, *, needed: bool = False) -> str:
        value = (self.cells.get(column) or "").strip()
        if value.startswith("@"):
            if value[1:] not in self._phrases:
                raise self.wrong(f"{column}: no phrase {value}")
            value = self._phrases[value[1:]]
        if needed and not value:
            raise self.wrong(f"{column} is empty")
        return value

    def many(self, column: str, *, needed: bool = False) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.text(column, needed=needed).split("|") if part.strip())

    def number(self, column: str) -> float | None:
        value = self.text(column)
        try:
            return float(value) if value else None
        except ValueError as error:
            raise self.wrong(f"{column} is no number: {value}") from error

    def one_of(self, column: str, allowed: Sequence[str]) -> str:
        value = self.text(column)
        if value not in allowed:
            raise self.wrong(f"{column} must be one of {', '.join(allowed)}, not {value!r}")
        return value

    def id(self) -> str:
        value = self.text("id", needed=True)
        if not _ID.fullmatch(value):
            raise self.wrong(f"id {value!r} is not lower-case letters, digits, dots and dashes")
        return value

    def source(self) -> str:
        keys = self.many("source", needed=True)
        missing = [key for key in keys if key not in self._sources]
        if missing:
            raise self.wrong(f"source {missing[0]!r} is not in sources.yaml")
        return "；".join(self._sources[key] for key in keys).replace("{name}", self.text("name"))

    def review(self) -> str:
        return self.one_of("review", REVIEW_STATES)

    def updated(self) -> str:
        value = self.text("updated", needed=True)
        if not _DAY.fullmatch(value):
            raise self.wrong(f"updated {value!r} is not a date YYYY-MM-DD")
        return value

    def entry(self) -> dict[str, Any]:
        """What every entry has, whatever it is about."""
        return {
            "id": self.id(),
            "name": self.text("name", needed=True),
            "words": self.many("words"),
            "source": self.source(),
            "review": self.review(),
            "updated": self.updated(),
        }


def _reason(row: Row) -> ReasonEntry:
    return ReasonEntry(
        **row.entry(),
        departments=row.many("departments", needed=True),
        may_be=row.text("may_be", needed=True),
        self_care=row.text("self_care", needed=True),
        see_doctor=row.text("see_doctor", needed=True),
        red_flags=row.text("red_flags", needed=True),
        prepare=row.text("prepare", needed=True),
    )


def _medicine(row: Row) -> MedicineEntry:
    youngest, oldest = row.number("min_age"), row.number("max_age")
    if youngest is not None and oldest is not None and youngest >= oldest:
        raise row.wrong("min_age is not below max_age")
    return MedicineEntry(
        **row.entry(),
        tags=row.many("tags"),
        purpose=row.text("purpose", needed=True),
        use=row.text("use", needed=True),
        cautions=row.text("cautions", needed=True),
        pregnant=row.text("pregnant", needed=True),
        children=row.text("children", needed=True),
        elderly=row.text("elderly"),
        organs=row.text("organs"),
        food=row.text("food"),
        missed=row.text("missed", needed=True),
        storage=row.text("storage", needed=True),
        call=row.text("call", needed=True),
        min_age_years=youngest,
        max_age_years=oldest,
        sex=row.one_of("sex", _SEXES),
        prescription=row.one_of("rx", ("yes", "no")) == "yes",
    )


def _interaction(row: Row) -> Interaction:
    return Interaction(
        id=row.id(),
        one=row.text("one", needed=True),
        other=row.text("other", needed=True),
        text=row.text("text", needed=True),
        severe=row.one_of("severe", ("yes", "no")) == "yes",
        source=row.source(),
        review=row.review(),
        updated=row.updated(),
    )


def _examination(row: Row) -> ExaminationEntry:
    return ExaminationEntry(
        **row.entry(),
        what=row.text("what", needed=True),
        prepare=row.text("prepare", needed=True),
        fasting=row.one_of("fasting", ("yes", "no", "ask")),
        avoid=row.text("avoid", needed=True),
        pregnant=row.text("pregnant", needed=True),
        minutes=row.text("minutes", needed=True),
        results=row.text("results", needed=True),
    )


def _procedure(row: Row) -> ProcedureEntry:
    return ProcedureEntry(
        **row.entry(),
        steps=row.text("steps", needed=True),
        bring=row.text("bring", needed=True),
        differs=row.text("differs", needed=True),
    )


def _range(row: Row) -> Range:
    low, high = row.number("low"), row.number("high")
    age_low, age_high = row.number("age_low") or 0.0, row.number("age_high") or 200.0
    if low is None and high is None:
        raise row.wrong("neither low nor high")
    if low is not None and high is not None and low >= high:
        raise row.wrong(f"low {low:g} is not below high {high:g}")
    if age_low >= age_high:
        raise row.wrong("age_low is not below age_high")
    row.review(), row.updated()
    return Range(row.one_of("sex", _SEXES), age_low, age_high, low, high, row.source())


def _laboratory(row: Row, ranges: Sequence[Range]) -> LaboratoryItem:
    low, high = row.number("critical_low"), row.number("critical_high")
    if low is not None and high is not None and low >= high:
        raise row.wrong("critical_low is not below critical_high")
    for span in ranges:
        if (low is not None and span.low is not None and low >= span.low) or (
            high is not None and span.high is not None and high <= span.high
        ):
            raise row.wrong("a critical limit lies inside the reference range")
    if ranges and not row.text("unit"):
        raise row.wrong("ranges without a unit (write 1 for a bare ratio)")
    return LaboratoryItem(
        **row.entry(),
        loinc=row.text("loinc"),
        unit=row.text("unit"),
        meaning=row.text("meaning", needed=True),
        low_means=row.text("low_means"),
        high_means=row.text("high_means"),
        expected=row.text("expected"),
        critical_low=low,
        critical_high=high,
        ranges=tuple(ranges),
    )


class Reader:
    """Reads one folder; a later folder (a province's own) may replace entries by id."""

    def __init__(self, folder: Path, states: Sequence[str] = REVIEW_STATES) -> None:
        self.folder, self.states = folder, states
        self.sources: dict[str, str] = {}
        for path in sorted({DATA / "sources.yaml", folder / "sources.yaml"}):
            if path.exists():
                self.sources |= yaml.safe_load(path.read_text(encoding="utf-8"))["sources"]
        self.phrases = {row["id"]: row["text"] for path in _files(folder, "phrases") for _, row in _cells(path)}

    def rows(self, stem: str) -> Iterator[Row]:
        for path in _files(self.folder, stem):
            for line, cells in _cells(path):
                yield Row(cells, f"{path.name}:{line}", self.sources, self.phrases)

    def read(self, stem: str, make: Callable[[Row], E]) -> dict[str, E]:
        result: dict[str, E] = {}
        for row in self.rows(stem):
            entry = make(row)
            if row.id() in result:
                raise row.wrong(f"id {row.id()} is there twice")
            if row.review() in self.states:
                result[row.id()] = entry
        return result

    def shelf(self) -> Shelf:
        ranges: dict[str, list[Range]] = {}
        for row in self.rows("laboratory_ranges"):
            ranges.setdefault(row.text("item", needed=True), []).append(_range(row))
        shelf = Shelf(
            self.read("reasons", _reason),
            self.read("medicines", _medicine),
            self.read("examinations", _examination),
            self.read("laboratory", lambda row: _laboratory(row, ranges.pop(row.id(), []))),
            self.read("interactions", _interaction),
            self.read("procedures", _procedure),
        )
        if ranges:
            raise KnowledgeInvalid(f"laboratory_ranges: no item {min(ranges)}")
        return shelf


def _files(folder: Path, stem: str) -> list[Path]:
    return [p for p in sorted(folder.glob(f"{stem}*.csv")) if stem != "laboratory" or "ranges" not in p.name]


def spoken(folder: Path = DATA) -> dict[str, str]:
    """What residents say for a word that the entries use: 「小便」 → 「尿」. Both stand in spoken.csv."""
    return {row["said"]: row["means"] for path in _files(folder, "spoken") for _, row in _cells(path)}


def _cells(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        for cells in reader:
            if None in cells or None in cells.values():
                raise KnowledgeInvalid(f"{path.name}:{reader.line_num}: the row has not as many cells as the head")
            yield reader.line_num, cells


def load(folders: Sequence[Path] = (DATA,), states: Sequence[str] = REVIEW_STATES) -> Shelf:
    """Read all folders, later ones over earlier ones. Raises ``KnowledgeInvalid``."""
    shelf = Shelf()
    for folder in folders:
        more = Reader(folder, states).shelf()
        shelf.reasons |= more.reasons
        shelf.medicines |= more.medicines
        shelf.examinations |= more.examinations
        shelf.laboratory |= more.laboratory
        shelf.interactions |= more.interactions
        shelf.procedures |= more.procedures
    return shelf
