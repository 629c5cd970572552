"""The tables of ``avatar/data/speech``, read once."""

from functools import cache
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data" / "speech"


def rows(name: str) -> list[list[str]]:
    """The lines of ``name`` cut at tabs; ``#`` begins a comment line."""
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


@cache
def pairs(name: str) -> dict[str, str]:
    """First column -> second column."""
    return {row[0]: row[1] if len(row) > 1 else "" for row in rows(name)}


@cache
def first_column(name: str) -> tuple[str, ...]:
    """The first column, longest first: an order in which an alternation finds the longest."""
    return tuple(sorted((row[0] for row in rows(name)), key=lambda word: (-len(word), word)))
