"""Reports line by line: the report's own range first, ours where it has none, and panic values kept for the clinician."""

import re
import unicodedata
from collections.abc import Iterable

from companion.knowledge.values import LaboratoryItem, Observed, ReportLine

_NUMBER = re.compile(r"^([<>≤≥]?)\s*(-?\d+(?:\.\d+)?)\s*[↑↓HL*]*$")
_POSITIVE = re.compile(r"阳性|弱阳|检出(?!限)|\+|positive|pos\b|异常")
_NEGATIVE = re.compile(r"阴性|未检出|未见|negative|neg\b|^-$|^\(-\)$|正常")
_SAME_UNIT = {"10^9/l": "*10^9/l", "10^12/l": "*10^12/l", "µ": "u", "μ": "u", "秒": "s", "×": "*", "x10": "*10"}
CRITICAL_SENTENCE = "这一项请现在就拿给医生看,或者找护士站。"


def same_unit(one: str, other: str) -> bool:
    """Do both mean the same unit, however they are written (μmol/L, umol/L; ×10⁹/L, 10^9/L)?"""
    return _unit(one) == _unit(other)


def _unit(unit: str) -> str:
    plain = unicodedata.normalize("NFKC", unit.replace("⁹", "^9").replace("¹²", "^12")).lower().replace(" ", "")
    plain = plain.replace("10e9", "10^9").replace("10e12", "10^12").replace("109/l", "10^9/l")
    for written, kept in _SAME_UNIT.items():
        plain = plain.replace(written, kept)
    return plain.replace("**", "*")


def number_of(value: str) -> tuple[float, str] | None:
    """The number in a result and its comparator (``<0.5`` is 0.5 and ``<``); None for words."""
    found = _NUMBER.match(unicodedata.normalize("NFKC", value.strip()).replace("≦", "≤").replace("≧", "≥"))
    return (float(found[2]), found[1]) if found else None


def explain(observed: Observed, item: LaboratoryItem | None, *, age_years: float | None, sex: str | None) -> ReportLine:
    """One line in plain words. What the report itself says counts most; what we cannot judge is marked "unknown"."""
    own = observed.low is not None or observed.high is not None
    comparable = item is not None and (not observed.unit or same_unit(observed.unit, item.unit))
    span = item.range_for(age_years=age_years, sex=sex) if item and comparable and not own else None
    low, high = (observed.low, observed.high) if own else (span.low, span.high) if span else (None, None)
    measured = number_of(observed.value)
    critical = observed.interpretation in ("HH", "LL") or (
        measured is not None and comparable and item is not None and _is_panic(measured, item, age_years)
    )
    if critical:
        mark = "critical"
    elif measured is not None and (low is not None or high is not None):
        mark = _compare(measured, low, high)
    elif observed.interpretation in ("H", "L", "A"):
        mark = {"H": "high", "L": "low", "A": "abnormal"}[observed.interpretation]
    elif measured is None:
        mark = _in_words(observed.value, item)
    else:
        mark = "unknown"
    return ReportLine(
        name=observed.name,
        value=observed.value,
        unit=observed.unit or (item.unit if item and comparable and measured else ""),
        range=_range_words(low, high) or (item.expected if item and measured is None else ""),
        mark=mark,
        explanation=_explanation(mark, item),
        source="" if mark == "critical" or item is None else item.source,
    )


def explain_all(
    lines: Iterable[tuple[Observed, LaboratoryItem | None]], *, age_years: float | None, sex: str | None
) -> tuple[ReportLine, ...]:
    return tuple(explain(observed, item, age_years=age_years, sex=sex) for observed, item in lines)


def _is_panic(measured: tuple[float, str], item: LaboratoryItem, age_years: float | None) -> bool:
    """Our limits are for adults and for the well known items; a child's panic values are the hospital's own."""
    if age_years is not None and age_years < 14:
        return False
    value, _ = measured
    return (item.critical_low is not None and value <= item.critical_low) or (
        item.critical_high is not None and value >= item.critical_high
    )


def _compare(measured: tuple[float, str], low: float | None, high: float | None) -> str:
    value, comparator = measured
    if low is not None and (value < low or (value == low and comparator == "<")):
        return "unknown" if comparator in (">", "≥") else "low"
    if high is not None and (value > high or (value == high and comparator == ">")):
        return "unknown" if comparator in ("<", "≤") else "high"
    if comparator in ("<", "≤") and low is not None and low > 0:
        return "unknown"
    if comparator in (">", "≥") and high is not None:
        return "unknown"
    return "normal"


def _in_words(value: str, item: LaboratoryItem | None) -> str:
    if item is not None and item.expected:
        said, expected = value.strip().lower(), item.expected.lower()
        if said == expected or said in expected.split("或"):
            return "normal"
        if expected.startswith("阴性"):
            negative, positive = _NEGATIVE.search(said), _POSITIVE.search(said)
            if negative and not positive:
                return "normal"
            if positive and not negative:
                return "abnormal"
    return "unknown"


def _range_words(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    if low is None or (low == 0 and high is not None):
        return f"≤{high:g}"
    return f"≥{low:g}" if high is None else f"{low:g}~{high:g}"


def _explanation(mark: str, item: LaboratoryItem | None) -> str:
    if mark == "critical":
        return CRITICAL_SENTENCE
    if item is None:
        return ""
    if mark == "high":
        return item.high_means or item.meaning
    if mark == "low":
        return item.low_means or item.meaning
    if mark == "abnormal":
        return item.high_means or item.meaning
    return item.meaning
