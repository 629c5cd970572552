"""Red flags: what a resident said that must be acted on before anything else, found by the rules of data/safety.

The facts (words, kinds, what to do, sources) are in companion/data/safety/red_flags.yaml; this module only reads them.
"""

import re
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

from companion.safety.scope import Scope
from companion.safety.text import mend, normalise

DATA = Path(__file__).resolve().parent.parent / "data" / "safety"
LEVELS = ("ambulance", "emergency")
_SELF = ("self_harm", "harm_others", "withdrawal")


@dataclass(frozen=True, slots=True)
class RedFlag:
    """One red flag found. ``quote`` is what was said; ``source`` names the work that the rule rests on."""

    id: str
    kind: str
    level: str
    title: str
    quote: str
    do: tuple[str, ...]
    do_not: tuple[str, ...]
    source: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Rule:
    id: str
    kind: str
    level: str
    when: tuple[tuple[str, ...], ...]
    unless: str
    within: int
    knowledge: bool
    settled: bool


@dataclass(frozen=True, slots=True)
class RedFlagRules:
    """The rules as read from the data, and the version they have (a digest of the file)."""

    rules: tuple[_Rule, ...]
    kinds: dict[str, dict[str, Any]]
    slips: tuple[tuple[str, str], ...]
    sources: dict[str, str]


def read_yaml(path: Path) -> Any:
    """One YAML file of the package's own data, by libyaml where it is there."""
    with path.open(encoding="utf-8") as file:
        return yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506


@lru_cache(maxsize=1)
def load() -> RedFlagRules:
    """Read the rules once a process; a pattern is compiled when a text first reaches it."""
    data = read_yaml(DATA / "red_flags.yaml")
    sets = data["sets"]

    def filled(pattern: str) -> str:
        return re.sub(r"\{([a-z_]+)\}", lambda name: f"(?:{sets[name[1]]})", pattern.strip())

    rules = tuple(
        _Rule(
            id=row["id"],
            kind=row["kind"],
            level=row["level"],
            when=tuple(tuple(filled(part) for part in way.split(" & ")) for way in row["when"]),
            unless=filled(row["unless"]) if row.get("unless") else "",
            within=row.get("within", 40),
            knowledge=row.get("knowledge", False),
            settled=row.get("settled", False),
        )
        for row in data["rules"]
    )
    sources = read_yaml(DATA.parent / "triage" / "sources.yaml")["sources"]
    slips = tuple((row["wrong"], row["right"]) for row in read_yaml(DATA / "slips.yaml")["slips"])
    return RedFlagRules(rules, data["kinds"], slips, sources)


def prepared(text: str) -> str:
    """``text`` as all rules read it: normalised, and with known slips mended."""
    return mend(normalise(text), load().slips)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _spans(pattern: str, scope: Scope) -> list[tuple[int, int]]:
    found = []
    for hit in _compiled(pattern).finditer(scope.text):
        if hit.start() == hit.end():
            continue
        if scope.asserted(*hit.span()):
            found.append(hit.span())
        if len(found) == 12:
            break
    return found


def _meet(groups: list[list[tuple[int, int]]], within: int) -> tuple[int, int] | None:
    """The first choice of one span a group that stays within reach of the first group's span."""
    for first in groups[0]:
        low, high = first
        for group in groups[1:]:
            near = [s for s in group if s[0] - high <= within and low - s[1] <= within]
            if not near:
                break
            closest = min(near, key=lambda s: max(s[0] - high, low - s[1]))
            low, high = min(low, closest[0]), max(high, closest[1])
        else:
            return low, high
    return None


def _fires(rule: _Rule, scope: Scope) -> tuple[int, int] | None:
    for way in rule.when:
        groups = []
        for pattern in way:
            spans = _spans(pattern, scope)
            if not spans:
                break
            groups.append(spans)
        else:
            met = _meet(groups, rule.within)
            if met is None:
                continue
            if rule.unless and _compiled(rule.unless).search(scope.text):
                return None
            return met
    return None


def red_flags_in(scope: Scope) -> tuple[RedFlag, ...]:
    """The red flags in a prepared text; at most one a kind, the most urgent first."""
    rules = load()
    # A question of knowledge and a story are not an emergency, unless somebody says that it happens now.
    only_told = (scope.knowledge and not scope.live) or (scope.quoted and not scope.live)
    found: dict[str, RedFlag] = {}
    for rule in rules.rules:
        if rule.kind in found or (only_told and not rule.knowledge):
            continue
        if (rule.knowledge and scope.quoted) or (rule.settled and scope.settled):
            continue
        met = _fires(rule, scope)
        if met is None:
            continue
        kind = rules.kinds[rule.kind]
        found[rule.kind] = RedFlag(
            id=rule.id,
            kind=rule.kind,
            level=rule.level,
            title=kind["title"],
            quote=scope.text[met[0] : met[1]],
            do=tuple(kind["do"]),
            do_not=tuple(kind["do_not"]),
            source=rules.sources[kind["source"]],
        )
    return tuple(sorted(found.values(), key=lambda flag: LEVELS.index(flag.level)))


def red_flags(text: str) -> tuple[RedFlag, ...]:
    """The red flags in what a resident said, as typed or heard; empty where there is none."""
    return red_flags_in(Scope(prepared(text)))


def needs_own_care(flags: tuple[RedFlag, ...]) -> bool:
    """Is somebody's wish to die, or to harm, among the flags? Then a hotline and a human come first."""
    return any(flag.kind in _SELF for flag in flags)
