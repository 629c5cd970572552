"""The words that triage knows, read from companion/data/triage, and how they are found in a text.

At each place the longest known word wins, so that 胸口疼 is not also 口疼. A body part and a complaint that stand
near each other in one clause (膝盖…肿) make one mention, with the departments of that pair; so do the two halves of a
phrase (吃饭…噎), which residents rarely say in one fixed form.
"""

import csv
import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from companion.safety import Scope
from companion.safety.red_flags import DATA as SAFETY_DATA
from companion.safety.red_flags import read_yaml
from companion.triage.values import Mention

DATA = Path(__file__).resolve().parent.parent / "data" / "triage"
Weights = tuple[tuple[str, float], ...]
HISTORY = 0.4  # what is told before the turn to this time's trouble counts, beside being past
INSIDE = 0.5  # what a word counts that stands inside a phrase about something else


@dataclass(frozen=True, slots=True)
class Entry:
    """What one known word stands for."""

    kind: str
    concept: str
    departments: Weights
    level: str = "outpatient"
    source: str = ""
    inner: tuple[str, str] | None = None  # a disease's name may say a symptom: its (concept, level)


@dataclass(frozen=True, slots=True)
class Phrase:
    """Two halves said in this order, with at most ``gap`` characters between them."""

    entry: Entry
    gap: int


@dataclass(frozen=True, slots=True)
class Part:
    """A body part: where it leads on its own, and with each complaint."""

    departments: Weights
    overrides: dict[str, Weights]


@dataclass(frozen=True, slots=True)
class Lexicon:
    """All words and tables, immutable, one a process; ``version`` is a digest of the files."""

    words: dict[str, Entry]
    lengths: dict[str, tuple[int, ...]]
    phrases: tuple[Phrase, ...]
    halves: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    half_lengths: dict[str, tuple[int, ...]]
    parts: dict[str, Part]
    complaints: dict[str, tuple[Weights, int]]
    people: dict[str, dict[str, str]]
    risks: dict[str, dict[str, Any]]
    pairs: tuple[dict[str, str], ...]
    departments: dict[str, str]
    groups: dict[str, str]
    fallback: str
    levels: dict[str, dict[str, Any]]
    minor: dict[str, Any]
    questions: tuple[dict[str, Any], ...]
    sources: dict[str, str]
    version: str


def weights(text: str) -> Weights:
    """'消化内科:3 普外科:1' as pairs."""
    pairs = (item.rsplit(":", 1) for item in text.split())
    return tuple((name, float(weight)) for name, weight in pairs)


def rows(name: str) -> Iterator[dict[str, str]]:
    """The rows of one CSV file of the knowledge."""
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _digest() -> str:
    digest = hashlib.sha256()
    for folder in (DATA, SAFETY_DATA):
        for path in sorted(folder.iterdir()):
            if path.suffix in (".csv", ".yaml", ".npz"):
                digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _words() -> dict[str, Entry]:
    words: dict[str, Entry] = {}
    for row in rows("neutral.csv"):  # 里头, 小心, 影响: a part or a complaint only by its characters
        for word in row["words"].split("|"):
            words[word] = Entry("neutral", word, ())
    for row in rows("stems.csv"):
        found = weights(row["departments"])
        for stem in row["stems"].split("|"):
            for ending in row["endings"].split("|"):
                name = stem + ending
                words[name] = Entry("disease", name, found, "outpatient", row["source"])
    for row in rows("parts.csv"):
        for word in row["words"].split("|"):
            words[word] = Entry("part", row["id"], weights(row["departments"]), "outpatient", row["source"])
    for row in rows("complaints.csv"):
        for word in row["words"].split("|"):
            words[word] = Entry("complaint", row["id"], weights(row["departments"]), "outpatient", row["source"])
    for row in rows("symptoms.csv"):
        entry = Entry("symptom", row["id"], weights(row["departments"]), row["level"], row["source"])
        for word in row["words"].split("|"):
            words[word] = entry
    for row in rows("diseases.csv"):
        name = row["name"]
        inner = _inner(name, words)
        words[name] = Entry("disease", name, weights(row["departments"]), "outpatient", row["source"], inner)
    return words


def _inner(name: str, words: dict[str, Entry]) -> tuple[str, str] | None:
    """The longest symptom said inside a longer name (胸痛 in 左侧胸痛), so that what raises the level is not hidden."""
    for length in range(len(name), 1, -1):
        for at in range(len(name) - length + 1):
            entry = words.get(name[at : at + length])
            if entry is not None and entry.kind == "symptom":
                return entry.concept, entry.level
    return None


def _lengths(words: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """By first character, how long the words are that begin with it, longest first."""
    found: dict[str, set[int]] = {}
    for word in words:
        found.setdefault(word[0], set()).add(len(word))
    return {first: tuple(sorted(lengths, reverse=True)) for first, lengths in found.items()}


def _phrases() -> tuple[tuple[Phrase, ...], dict[str, tuple[tuple[int, ...], tuple[int, ...]]]]:
    """The phrases, and for each half the numbers of those it begins and of those it ends."""
    phrases: list[Phrase] = []
    halves: dict[str, tuple[list[int], list[int]]] = {}
    for number, row in enumerate(rows("phrases.csv")):
        entry = Entry("symptom", row["id"], weights(row["departments"]), row["level"], row["source"])
        phrases.append(Phrase(entry, int(row["gap"])))
        for side, column in enumerate(("first", "second")):
            for word in row[column].split("|"):
                halves.setdefault(word, ([], []))[side].append(number)
    return tuple(phrases), {word: (tuple(begins), tuple(ends)) for word, (begins, ends) in halves.items()}


@lru_cache(maxsize=1)
def load() -> Lexicon:
    """Read the knowledge once a process."""
    words = _words()
    phrases, halves = _phrases()
    departments = read_yaml(DATA / "departments.yaml")
    urgency = read_yaml(DATA / "urgency.yaml")
    parts = {
        row["id"]: Part(
            weights(row["departments"]),
            {
                key: weights(value)
                for key, value in (item.split("=", 1) for item in row["overrides"].split(",") if item)
            },
        )
        for row in rows("parts.csv")
    }
    return Lexicon(
        words=words,
        lengths=_lengths(words),
        phrases=phrases,
        halves=halves,
        half_lengths=_lengths(halves),
        parts=parts,
        complaints={row["id"]: (weights(row["departments"]), int(row["gap"])) for row in rows("complaints.csv")},
        people={word: row for row in rows("people.csv") for word in row["words"].split("|")},
        risks={row["id"]: {**row, "words": [w for w in row["words"].split("|") if w]} for row in rows("risks.csv")},
        pairs=tuple(rows("raising_pairs.csv")),
        departments={row["name"]: row["code"] for row in departments["departments"]},
        groups={row["name"]: row["group"] for row in departments["departments"]},
        fallback=departments["fallback"],
        levels={row["level"]: row for row in urgency["levels"]},
        minor=urgency["minor"],
        questions=tuple(read_yaml(DATA / "questions.yaml")["questions"]),
        sources=read_yaml(DATA / "sources.yaml")["sources"],
        version=_digest(),
    )


def _hits(text: str, lexicon: Lexicon) -> list[tuple[int, int, Entry]]:
    found = []
    at, end = 0, len(text)
    while at < end:
        step = 1
        for length in lexicon.lengths.get(text[at], ()):
            entry = lexicon.words.get(text[at : at + length])
            if entry is not None:
                found.append((at, at + length, entry))
                step = length
                break
        at += step
    return found


def _phrase_hits(text: str, lexicon: Lexicon) -> list[tuple[int, int, Entry]]:
    """Each phrase once, where its halves stand nearest; a sentence's end or a question mark parts them."""
    begun: dict[int, list[tuple[int, int]]] = {}
    found: dict[int, tuple[int, int, int]] = {}
    for at, first in enumerate(text):
        if first in "。!?;\n":
            begun.clear()
            continue
        for length in lexicon.half_lengths.get(first, ()):
            half = lexicon.halves.get(text[at : at + length])
            if half is None:
                continue
            for number in half[1]:
                for start, end in begun.get(number, ()):
                    gap = at - end
                    if 0 <= gap <= lexicon.phrases[number].gap and gap < found.get(number, (99, 0, 0))[0]:
                        found[number] = (gap, start, at + length)
            for number in half[0]:
                begun.setdefault(number, []).append((at, at + length))
    return [(start, end, lexicon.phrases[number].entry) for number, (_, start, end) in sorted(found.items())]


def mentions(scope: Scope) -> tuple[Mention, ...]:
    """What the text mentions, in order, each with whether it is denied, past or only supposed."""
    lexicon = load()
    text = scope.text
    hits = _hits(text, lexicon)
    part_hits = [(start, end, entry) for start, end, entry in hits if entry.kind == "part"]
    part_starts = [start for start, _, _ in part_hits]
    used: set[int] = set()
    found: list[Mention] = []

    def add(concept: str, kind: str, start: int, end: int, departments: Weights, level: str, source: str) -> None:
        found.append(
            Mention(
                concept=concept,
                kind=kind,
                word=text[start:end],
                start=start,
                end=end,
                departments=tuple((name, weight * HISTORY) for name, weight in departments)
                if start < present
                else departments,
                level=level,
                source=source,
                negated=scope.negated(start, end),
                past=scope.past(start) or start < present,
                supposed=scope.supposed(start),
            )
        )

    phrases = _phrase_hits(text, lexicon)
    present = scope.present_from()
    if not any(start >= present and entry.kind in ("symptom", "disease") for start, _, entry in (*hits, *phrases)):
        present = 0  # nothing is said of this time: the history is what they came for

    def spoken_of(start: int, end: int, entry: Entry) -> Weights:
        """The departments of a word, less where it is only a piece of a phrase about something else (掉眼泪)."""
        inside = any(
            first <= start and end <= last and phrase.concept != entry.concept for first, last, phrase in phrases
        )
        return tuple((name, weight * INSIDE) for name, weight in entry.departments) if inside else entry.departments

    for start, end, entry in hits:
        if entry.kind in ("symptom", "disease"):
            add(entry.concept, entry.kind, start, end, spoken_of(start, end, entry), entry.level, entry.source)
            if entry.inner is not None:
                add(entry.inner[0], entry.kind, start, end, (), entry.inner[1], entry.source)
        elif entry.kind == "complaint":
            own, gap = lexicon.complaints[entry.concept]
            clause = scope.clause(start)
            index = bisect_right(part_starts, start) - 1
            near = None
            if index >= 0 and part_hits[index][0] >= clause[0] and start - part_hits[index][1] <= gap:
                near = index
            elif (
                index + 1 < len(part_hits)
                and part_hits[index + 1][0] - end <= 3
                and part_hits[index + 1][0] < clause[1]
            ):
                near = index + 1
            if near is None:
                if own:
                    add(entry.concept, "complaint", start, end, own, "outpatient", entry.source)
                continue
            used.add(near)
            part_start, part_end, part_entry = part_hits[near]
            part = lexicon.parts[part_entry.concept]
            departments = part.overrides.get(entry.concept)
            if departments is None:
                merged = dict(part.departments)
                for name, weight in own:
                    merged[name] = merged.get(name, 0.0) + weight
                departments = tuple(merged.items())
            add(
                f"part:{part_entry.concept}+{entry.concept}",
                "part+complaint",
                min(start, part_start),
                max(end, part_end),
                departments,
                "outpatient",
                entry.source,
            )
    for start, end, entry in phrases:
        add(entry.concept, entry.kind, start, end, entry.departments, entry.level, entry.source)
    for index, (start, end, entry) in enumerate(part_hits):
        if index not in used:
            faint = tuple((name, weight * 0.45) for name, weight in entry.departments)
            add(f"part:{entry.concept}", "part", start, end, faint, "outpatient", entry.source)
    return tuple(sorted(found, key=lambda mention: (mention.start, mention.end)))
