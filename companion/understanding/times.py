"""When, as people say it: a day of companion.understanding.days and a time of day, 「后天下午」, 「三点半以后」, 「明儿头晌」.

``find_when`` reads it relative to an injected now; ``When`` can be merged over turns and made into a window.
"""

import re
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any

from companion.understanding.days import find_days
from companion.understanding.numerals import number

HORIZON_DAYS = 14


@dataclass(frozen=True, slots=True)
class When:
    """Days ``first``..``last`` (both included, None: open) and times of day ``after``..``before`` (None: open).

    ``soon``: as early as possible. ``label``: her own words. ``past``: the day she named is over.
    """

    first: date | None = None
    last: date | None = None
    after: time | None = None
    before: time | None = None
    soon: bool = False
    past: bool = False
    label: str = ""

    @property
    def has_day(self) -> bool:
        return self.first is not None or self.last is not None

    @property
    def has_time(self) -> bool:
        return self.after is not None or self.before is not None

    def merged(self, newer: "When") -> "When":
        """What she means after saying ``newer`` too: a new day keeps the time of day, a new time keeps the day."""
        if newer.has_day:
            times = newer if newer.has_time else self
            label = newer.label if newer.has_time or not self.has_time else newer.label + _time_label(self)
            return replace(newer, after=times.after, before=times.before, label=label)
        if newer.has_time:
            day = self.label if not self.has_time else _day_label(self)
            return replace(
                self, after=newer.after, before=newer.before, soon=newer.soon or self.soon, label=day + newer.label
            )
        return replace(newer, after=newer.after or self.after, before=newer.before or self.before)

    def window(self, now: datetime) -> tuple[datetime, datetime]:
        """Aware start and end of the days meant, never before now; an open end is ``HORIZON_DAYS`` ahead."""
        today = now.date()
        first = max(self.first or today, today)
        last = self.last or (today + timedelta(days=HORIZON_DAYS) if self.first is None or self.soon else first)
        start = datetime.combine(first, self.after or time.min, tzinfo=now.tzinfo)
        end = datetime.combine(last, time.min, tzinfo=now.tzinfo) + timedelta(days=1)
        if self.before is not None and first == last:
            end = datetime.combine(last, self.before, tzinfo=now.tzinfo)
        return max(start, now), end

    def fits(self, at: datetime) -> bool:
        """Whether a slot at this time is within the time of day meant."""
        clock = at.time().replace(tzinfo=None)
        return (self.after is None or clock >= self.after) and (self.before is None or clock < self.before)

    def to_dict(self) -> dict[str, Any]:
        return {
            "first": self.first.isoformat() if self.first else None,
            "last": self.last.isoformat() if self.last else None,
            "after": self.after.isoformat() if self.after else None,
            "before": self.before.isoformat() if self.before else None,
            "soon": self.soon,
            "label": self.label,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "When":
        return cls(
            first=date.fromisoformat(data["first"]) if data.get("first") else None,
            last=date.fromisoformat(data["last"]) if data.get("last") else None,
            after=time.fromisoformat(data["after"]) if data.get("after") else None,
            before=time.fromisoformat(data["before"]) if data.get("before") else None,
            soon=bool(data.get("soon")),
            label=str(data.get("label", "")),
        )


_PARTS: dict[str, tuple[time, time]] = {
    "凌晨": (time(0), time(6)),
    "早上": (time(6), time(11)),
    "上午": (time(6), time(12)),
    "中午": (time(11), time(14)),
    "下午": (time(12), time(18)),
    "傍晚": (time(17), time(20)),
    "晚上": (time(18), time(23, 59)),
}
_PART_WORDS = {
    "凌晨": "凌晨|半夜|后半夜",
    "早上": "大清早|清早|清晨|一大早|一早|早上|早晨|早间|早起|朝早|赶早",
    "上午": "上午|头晌|前晌|上晌|上半天|上半日|上昼|午前",
    "中午": "中午|晌午|正午|中饭时|晏昼",
    "下午": "下午|后晌|下晌|过晌|下半天|下半日|下昼|午后|后半天",
    "傍晚": "傍晚|擦黑|傍黑|下班后",
    "晚上": "晚上|夜里|夜间|晚间|黑了|夜头|今晚|晚黑",
}
_PART = re.compile("|".join(f"(?P<{name}>{words})" for name, words in _PART_WORDS.items()))
_WITH_PART = {"明早": "早上", "今早": "早上", "明晨": "早上", "明晚": "晚上", "今晚": "晚上", "今下午": "下午"}
_SOON = re.compile(
    r"越快越好|越早越好|最快|最早|最近的?(?:号|时间|一个)|尽快|尽早|赶紧|赶快|早点|早一点|随便哪天|哪天都行|什么时候都行|都可以|随时"
)
_CLOCK = re.compile(
    r"(?P<hour>\d{1,2}|十[一二]?|二十[一二三]?|[一二两三四五六七八九])(?:(?:点钟?|时)(?P<minute>半|一刻|三刻|\d{1,2}分?|[一二三四五]?十[一二三四五六七八九]?分?)?|[::](?P<digital>[0-5]\d))整?"
    r"(?P<side>多?(?:以后|之后|过后|往后|后)|以前|之前|前|左右|来钟|多)?"
)
_UNTIL = re.compile(
    rf"(?:到|至|-|~)(?P<clock>{_CLOCK.pattern.replace('?P<hour>', '').replace('?P<minute>', '').replace('?P<digital>', '').replace('?P<side>', '')})"
)


def find_when(text: str, now: datetime) -> When | None:
    """The day and time these words name, or None. Several days: the first named counts, 「不是明天,是后天」 the last."""
    found: list[tuple[int, str]] = []
    first, last, past = find_days(text, now.date(), found)
    after, before = _find_times(text, found)
    soon = _SOON.search(text)
    if soon:
        found.append((soon.start(), soon.group()))
    if not found:
        return None
    label = "".join(dict.fromkeys(words for _at, words in sorted(found)))
    return When(first, last, after, before, soon=bool(soon), past=past, label=label)


def _find_times(text: str, found: list[tuple[int, str]]) -> tuple[time | None, time | None]:
    part, part_at = "", -1
    for match in _PART.finditer(text):
        part, part_at = str(match.lastgroup), match.start()
        break
    fused = next((p for words, p in _WITH_PART.items() if words in text), "")
    if not part and fused:
        part = fused
    elif part and part_at >= 0 and not fused:
        found.append((part_at, _PART.match(text[part_at:]).group()))  # type: ignore[union-attr]
    lower, upper = _PARTS[part] if part else (None, None)
    for match in _CLOCK.finditer(text):
        until = _UNTIL.match(text[match.end() :])
        read = _clock(match, part, text, spans=until is not None)
        if read is None:
            continue
        at, side = read
        found.append((match.start(), match.group() + (until.group() if until else "")))
        if until:
            end = _clock(_CLOCK.match(until["clock"]), part or ("下午" if at.hour >= 12 else ""), "")  # type: ignore[arg-type]
            return at, end[0] if end and end[0] > at else upper
        if "后" in side:
            return at, upper if upper and upper > at else None
        if "前" in side:
            return (lower if lower and lower < at else None), at
        start = (
            (datetime.combine(date.min, at) - timedelta(minutes=0 if side == "多" else 30)).time() if at.hour else at
        )
        return start, (datetime.combine(date.min, at) + timedelta(minutes=60)).time()
    return lower, upper


def _clock(match: re.Match[str], part: str, text: str, *, spans: bool = False) -> tuple[time, str] | None:
    """The time a clock expression means, with its side word; None where 「点」 is no o'clock (「慢一点」, 「有两点」)."""
    side = match["side"] or ""
    hour = number(match["hour"])
    exact = spans or match["minute"] or match["digital"] or "钟" in match.group() or "整" in match.group()
    before = text[: match.start()]
    plain_point = match["hour"] in ("一", "两", "1") and not (exact or side or part)
    plain_point = plain_point or (match["hour"] in ("一", "两") and not exact and before.endswith(("早", "晚")))
    vague = ("慢", "快", "好", "大", "小", "轻", "有", "差", "几")
    if plain_point or hour > 24 or before.endswith(vague):
        return None
    minutes = match["minute"] or match["digital"] or "0"
    minute = {"半": 30, "一刻": 15, "三刻": 45}.get(minutes) if not minutes[0].isdecimal() else None
    if minute is None:
        minute = number(minutes.removesuffix("分"))
    if hour < 12 and (part in ("下午", "傍晚", "晚上") or (part == "中午" and hour < 6)):
        hour += 12
    elif not part and 1 <= hour <= 6:
        hour += 12  # 「三点半以后」 at a hospital is the afternoon
    if minute > 59:
        return None
    return time(hour % 24, minute), side


def _time_label(when: When) -> str:
    """The part of the label that names the time of day."""
    match = _PART.search(when.label) or _CLOCK.search(when.label)
    return when.label[match.start() :] if match else ""


def _day_label(when: When) -> str:
    rest = _time_label(when)
    return when.label.removesuffix(rest) if rest else when.label
