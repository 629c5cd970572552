"""The journey's wording, read once from data/journey/prompts.yaml."""

from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True, slots=True)
class PromptWording:
    say: str
    card: str | None
    mood: str
    by_itself: bool
    quiet: bool


@dataclass(frozen=True, slots=True)
class NextWording:
    say: str
    label: str
    say_instead: str


def _load() -> tuple[dict[str, PromptWording], dict[str, NextWording]]:
    path = Path(__file__).parent / "data" / "journey" / "prompts.yaml"
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    return (
        {name: PromptWording(**entry) for name, entry in data["prompts"].items()},
        {name: NextWording(**entry) for name, entry in data["next"].items()},
    )


PROMPTS, NEXT = _load()
