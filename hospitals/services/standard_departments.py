"""The province's standard departments, and which of them a hospital's own name means. Data and source: hospitals/data."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml
from rapidfuzz import fuzz, process

_PATH = Path(__file__).resolve().parents[1] / "data" / "standard_departments.yaml"
_CLOSE = 40.0  # out of 100: beneath it a suggestion would be a guess


@dataclass(frozen=True, slots=True)
class StandardDepartment:
    name: str
    code: str
    also: tuple[str, ...] = ()


@cache
def listed() -> tuple[StandardDepartment, ...]:
    """All of them, in the order of the data file."""
    data = yaml.safe_load(_PATH.read_text(encoding="utf-8"))
    return tuple(StandardDepartment(d["name"], d["code"], tuple(d["also"])) for d in data["departments"])


@cache
def _by_name() -> dict[str, StandardDepartment]:
    found = {also: department for department in listed() for also in department.also}
    return found | {department.name: department for department in listed()}


def standard(name: str) -> StandardDepartment | None:
    """The department of exactly this standard name."""
    found = _by_name().get(name)
    return found if found and found.name == name else None


def meant_by(own_name: str) -> StandardDepartment | None:
    """What a hospital's own name means, if it is a standard name or a known other name of one."""
    return _by_name().get(own_name.replace(" ", "").removesuffix("门诊")) or _by_name().get(own_name)


def nearest(name: str, limit: int = 3) -> list[str]:
    """Standard names that sound most like this one, best first."""
    scored = process.extract(name, list(_by_name()), scorer=fuzz.WRatio, limit=12)
    found = [_by_name()[known].name for known, score, _place in scored if score >= _CLOSE]
    return list(dict.fromkeys(found))[:limit]
