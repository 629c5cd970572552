"""``manage.py evaluate SET.jsonl``: how often triage and understanding are right on labelled questions, as one table."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from companion.triage import Assessment, assess
from companion.understanding import UNKNOWN, Context, understand

WITHIN = 3
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)  # a fixed morning: dates said in a set mean the same in every run


@dataclass(slots=True)
class Tally:
    """Hits and rows by measure; ``missed`` counts (asked for, given) departments, ``by_department`` hits and rows."""

    hits: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    missed: Counter[tuple[str, str]] = field(default_factory=Counter)
    by_department: dict[str, list[int]] = field(default_factory=dict)
    wrong: list[dict[str, Any]] = field(default_factory=list)

    def add(self, measure: str, right: bool) -> None:
        """One row's outcome on one measure."""
        self.rows[measure] += 1
        self.hits[measure] += right

    def share(self, measure: str) -> float:
        """The share that was right, 0 to 1; 0 where no row carried the label."""
        return self.hits[measure] / self.rows[measure] if self.rows[measure] else 0.0


def accepted_departments(row: dict[str, Any]) -> list[str]:
    """The departments a row accepts, best first: ``departments``, or ``department`` and ``also_right``."""
    if "departments" in row:
        return list(row["departments"])
    return [row["department"], *row.get("also_right", ())] if row.get("department") else []


def _one_or_many(value: Any) -> list[str]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def score(rows: Iterable[dict[str, Any]], *, use_ranker: bool = True) -> Tally:
    """Answer every row and count. A row carries ``text`` and any of departments, ``urgency``, ``intent``."""
    tally = Tally()
    for row in rows:
        accepted = accepted_departments(row)
        if accepted or row.get("urgency"):
            found = assess(row["text"], age_years=row.get("age"), sex=row.get("sex"), use_ranker=use_ranker)
            _departments(tally, row, accepted, found)
            if row.get("urgency"):
                tally.add("urgency", found.urgency in _one_or_many(row["urgency"]))
        if row.get("intent"):
            wishes = understand(row["text"], Context(NOW)).wishes
            tally.add("intent", (wishes[0].intent if wishes else UNKNOWN) in _one_or_many(row["intent"]))
    return tally


def _departments(tally: Tally, row: dict[str, Any], accepted: list[str], found: Assessment) -> None:
    if not accepted:
        return
    given = [department.name for department in found.departments]
    first, within = given[0] in accepted, bool(set(given[:WITHIN]) & set(accepted))
    tally.add("department first", first)
    tally.add(f"department within {WITHIN}", within)
    counts = tally.by_department.setdefault(accepted[0], [0, 0, 0])
    counts[0] += first
    counts[1] += within
    counts[2] += 1
    if not first:
        tally.missed[accepted[0], given[0]] += 1
        tally.wrong.append({"text": row["text"], "accepted": accepted, "given": given[:WITHIN], "within": within})


def read_rows(path: Path, licence: str = "") -> Iterator[dict[str, Any]]:
    """The rows of a JSON-lines file; ``licence`` keeps only the rows that carry it."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise CommandError(f"line {number}: {error.msg}") from error
            if not isinstance(row, dict) or not isinstance(row.get("text"), str):
                raise CommandError(f'line {number}: expected an object with a string "text"')
            if not licence or row.get("licence") == licence:
                yield row


class Command(BaseCommand):
    help = "Measure triage (department first and within three, urgency) and intent on labelled JSON lines."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("set", type=Path, help='{"text", "departments"?, "urgency"?, "intent"?} a line')
        parser.add_argument("--licence", default="", help="only the rows of this licence")
        parser.add_argument("--no-ranker", action="store_true", help="the knowledge alone")
        parser.add_argument("--by-department", action="store_true", help="one line for each department")
        parser.add_argument("--wrong", type=Path, help="write the rows whose first department is wrong here")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["set"].is_file():
            raise CommandError(f"no such file: {options['set']}")
        started = time.perf_counter()
        tally = score(read_rows(options["set"], options["licence"]), use_ranker=not options["no_ranker"])
        if not tally.rows:
            raise CommandError("no row carries a department, an urgency or an intent")
        for measure, count in tally.rows.items():
            self.stdout.write(f"{measure:<22} {tally.share(measure):6.3f}  {tally.hits[measure]:>5} of {count}")
        if options["by_department"]:
            for name, (first, within, count) in sorted(tally.by_department.items(), key=lambda item: -item[1][2]):
                self.stdout.write(f"  {name}: {first / count:.2f} first, {within / count:.2f} within, {count} rows")
        for (asked, given), count in tally.missed.most_common(10):
            self.stdout.write(f"  {asked} taken for {given}: {count}")
        self.stdout.write(f"{time.perf_counter() - started:.1f} s")
        if options["wrong"]:
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in tally.wrong)
            options["wrong"].write_text("".join(lines), encoding="utf-8")
