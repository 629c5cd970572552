"""``manage.py train_triage QUESTIONS.jsonl``: learn the ranker's n-gram weights and write companion/data/triage/ranker.npz.

What goes in, how rows are weighted and what comes out: docs/triage.md. Needs scikit-learn (extra ``train``).
"""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from django.core.management.base import BaseCommand, CommandError, CommandParser
from scipy.sparse import csr_matrix

from companion.safety import prepared
from companion.triage import lexicon as knowledge
from companion.triage.lexicon import DATA
from companion.triage.ranker import BUCKETS, PATH, features

SEED = 5
ALSO_RIGHT = 0.35  # weight of a department that is right beside the first
KNOWLEDGE_SHARE = 0.8  # weight of one row made from the knowledge, against one question a resident asked
QUESTION_SHARE = 0.3  # weight of one resident's question: a few places asked them all, about a few diseases
MOST_A_CLASS = 150.0  # a class's rows together count at most as much as this many
FRAMES = (
    "{}",
    "{}怎么治疗",
    "得了{}怎么办",
    "{}是什么原因",
    "医生说是{}",
    "我{}好几天了",
    "请问{}挂什么科",
    "{}吃什么药好",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One training row: a text, a department and how much it counts."""

    text: str
    department: str
    weight: float


def questions(path: Path, without: str, known: Iterable[str]) -> Iterator[Row]:
    """Residents' questions ``{"text", "department", "also_right", "licence"}``; ``without`` leaves one licence out."""
    names = set(known)
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if row["department"] not in names or (without and row.get("licence") == without):
                continue
            text = prepared(row["text"])
            yield Row(text, row["department"], QUESTION_SHARE)
            for name in row.get("also_right", ()):
                if name in names:
                    yield Row(text, name, QUESTION_SHARE * ALSO_RIGHT)


def from_knowledge() -> Iterator[Row]:
    """Rows made from the project's own words, in the frames that residents use."""
    random = np.random.default_rng(SEED)
    for word, entry in sorted(knowledge.load().words.items()):
        if entry.kind in ("complaint",) or not entry.departments:
            continue
        best = max(weight for _, weight in entry.departments)
        frames = random.choice(len(FRAMES), size=2, replace=False)
        for frame in frames:
            text = prepared(FRAMES[int(frame)].format(word))
            for name, weight in entry.departments:
                if weight >= 0.4 * best:
                    yield Row(text, name, KNOWLEDGE_SHARE * weight / best)
    for row in knowledge.rows("phrases.csv"):
        firsts, seconds = row["first"].split("|"), row["second"].split("|")
        found = knowledge.weights(row["departments"])
        best = max(weight for _, weight in found)
        for second in seconds:
            text = prepared(firsts[int(random.integers(len(firsts)))] + second)
            for name, weight in found:
                if weight >= 0.4 * best:
                    yield Row(text, name, KNOWLEDGE_SHARE * weight / best)


def from_facts(path: Path, table: Path) -> Iterator[Row]:
    """Rows made from a table of diseases ``{"name", "alias", "symptom", "department"}``; the table itself is not kept.

    ``table``: CSV of the outer department names and ours.
    """
    with table.open(encoding="utf-8", newline="") as file:
        ours = {row["outer"]: row["ours"].split("|") for row in csv.DictReader(file)}
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            names = Counter(name for outer in row["department"] for name in ours.get(outer, ()))
            if not names:
                continue
            texts = [row["name"], *row["alias"][:2]]
            if row["symptom"]:
                texts += ["、".join(row["symptom"]), row["name"] + "," + "、".join(row["symptom"][:3])]
            for text in texts:
                for name, count in names.items():
                    yield Row(prepared(text), name, 0.3 * count / sum(names.values()))


def train(rows: list[Row], classes: tuple[str, ...], steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients [classes, BUCKETS] and biases [classes] of a multinomial logistic regression on hashed n-grams."""
    from sklearn.linear_model import LogisticRegression

    totals: dict[str, float] = {}
    for row in rows:
        totals[row.department] = totals.get(row.department, 0.0) + row.weight
    balance = {name: (min(total, MOST_A_CLASS) / total) for name, total in totals.items()}
    pointers, columns, values = [0], [], []
    for row in rows:
        buckets, weights = features(row.text)
        columns.append(buckets)
        values.append(weights)
        pointers.append(pointers[-1] + len(buckets))
    matrix = csr_matrix((np.concatenate(values), np.concatenate(columns), pointers), shape=(len(rows), BUCKETS))
    index = {name: number for number, name in enumerate(classes)}
    target = np.array([index[row.department] for row in rows])
    weight = np.array([row.weight * balance[row.department] for row in rows])
    model = LogisticRegression(C=12.0, solver="lbfgs", max_iter=steps, tol=1e-3)
    model.fit(matrix, target, sample_weight=weight)
    coefficients = np.zeros((len(classes), BUCKETS), dtype=np.float32)
    biases = np.full(len(classes), -9.0, dtype=np.float32)
    for position, number in enumerate(model.classes_):
        coefficients[number] = model.coef_[position]
        biases[number] = model.intercept_[position]
    return coefficients, biases


def write(path: Path, coefficients: np.ndarray, biases: np.ndarray, classes: tuple[str, ...]) -> int:
    """Quantise to int8 with one scale a class and write; the file's size in bytes."""
    scale = np.abs(coefficients).max(axis=1) / 127.0
    scale[scale == 0] = 1.0
    weights = np.clip(np.round(coefficients / scale[:, None]), -127, 127).astype(np.int8).T
    np.savez_compressed(path, weights=weights, scale=scale.astype(np.float32), bias=biases, names=np.array(classes))
    return path.stat().st_size


class Command(BaseCommand):
    help = "Train the triage ranker from questions with departments (JSON lines)."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("questions", type=Path, help='JSON lines {"text", "department", "also_right", "licence"}')
        parser.add_argument("--facts", type=Path, help="JSON lines of diseases to learn names and symptoms from")
        parser.add_argument("--without", default="", help="leave the questions of this licence out, to test on them")
        parser.add_argument("--output", type=Path, default=PATH)
        parser.add_argument("--steps", type=int, default=40)

    def handle(self, *args: Any, **options: Any) -> None:
        classes = tuple(knowledge.load().departments)
        for path in (options["questions"], options["facts"]):
            if path is not None and not path.is_file():
                raise CommandError(f"no such file: {path}")
        rows = list(questions(options["questions"], options["without"], classes))
        asked = len(rows)
        rows += from_knowledge()
        if options["facts"]:
            rows += from_facts(options["facts"], DATA / "outer_departments.csv")
        self.stdout.write(f"{asked} rows from questions, {len(rows) - asked} from knowledge and facts")
        coefficients, biases = train(rows, classes, options["steps"])
        size = write(options["output"], coefficients, biases, classes)
        self.stdout.write(f"wrote {options['output'].name}: {size / 1e6:.1f} MB")
