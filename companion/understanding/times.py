"""Dates and times of day as people say them: 「后天下午」, 「下周三」, 「三点半以后」, 「端午节前」, 「腊月初八」, 「明儿头晌」.

``find_when`` reads them relative to an injected now; ``When`` can be merged over turns and made into a window.
"""

import re
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

from lunar_python import Lunar, LunarMonth, Solar

_DIGITS = {c: n for n, c in enumerate("零一二三四五六七八九")} | {"两": 2, "俩": 2, "〇": 0}
_NUMBER = r"(?:\d{1,2}|[一二两三四五六七八九十廿]{1,3})"
HORIZON_DAYS = 14


def number(text: str) -> int:
    """「十二」, 「二十三」, 「廿三」, "12" → 12, 23, 23, 12. Up to 99; raises ``ValueError`` otherwise."""
    if text.isdecimal():
        return int(text)
    text = text.replace("廿", "二十")
    tens, ten, ones = text.rpartition("十")
    try:
        units = _DIGITS[ones] if ones else 0
        return ((_DIGITS[tens] if tens else 1) * 10 if ten else 0) + units
    except KeyError as error:
        raise ValueError(text) from error


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
_DAY_WORDS = {
    "大后天": 3, "大后儿": 3, "大后日": 3, "后天": 2, "后儿个": 2, "后儿": 2, "后日": 2, "后朝": 2,
    "明天": 1, "明儿个": 1, "明儿": 1, "明日": 1, "明个": 1, "明朝": 1, "听日": 1, "明早": 1, "明晚": 1, "明晨": 1,
    "今天": 0, "今儿个": 0, "今儿": 0, "今日": 0, "今个": 0, "今朝": 0, "今早": 0, "今晚": 0, "今下午": 0, "当天": 0,
    "现在": 0, "马上": 0, "昨天": -1, "昨儿": -1, "昨日": -1, "前天": -2, "前儿": -2,
}  # fmt: skip
_DAY = re.compile("|".join(sorted(_DAY_WORDS, key=len, reverse=True)))
_WITH_PART = {"明早": "早上", "今早": "早上", "明晨": "早上", "明晚": "晚上", "今晚": "晚上", "今下午": "下午"}
_WEEKDAY = re.compile(
    r"(?P<which>下下个?|下个?|这个?|本|上个?)?(?:周|星期|礼拜)(?P<day>[一二三四五六日天末1-7])(?![天日个周期])"
)
_WEEK = re.compile(r"(?P<which>下下个?|下个?|这个?|本)(?:周|星期|礼拜)(?![一二三四五六日天末1-7])")
_MONTH_DAY = re.compile(rf"(?<![\d一二三四五六七八九十正腊冬])({_NUMBER})月({_NUMBER})(?:日|号|$|(?![\d个天]))")
_BARE_DAY = re.compile(
    rf"(?<![\d第叫是我排到])(?P<n>{_NUMBER})(?:号|日)(?![楼线诊门厅窗院桌床]|号)"
    r"(?=$|[,,。??!!、]|上午|下午|早|晚|中午|那天|的|挂|约|有|去|能|可以|行|吧|吗|呢|前|以前|之前|后|之后|以后|看)"
)
_AHEAD = re.compile(rf"(?P<n>{_NUMBER}|半)个?(?P<unit>天|日|周|星期|礼拜|月)(?P<how>以后|之后|过后|后|以内|之内|内)")
_SOME_DAYS = re.compile(r"(?P<later>过(?:两|几|些)天)|(?P<now>这(?:两|几)[天日]|近两天|近几天|最近几天)")
_SOON = re.compile(
    r"越快越好|越早越好|最快|最早|最近的?(?:号|时间|一个)|尽快|尽早|赶紧|赶快|早点|早一点|随便哪天|哪天都行|什么时候都行|都可以|随时"
)
_LUNAR = re.compile(
    r"(?P<lunar>农历|阴历|旧历)?(?P<month>正|冬|腊|十[一二]|[一二三四五六七八九十])月(?P<day>初[一二三四五六七八九十]|十[一二三四五六七八九]|二十[一二三四五六七八九]?|廿[一二三四五六七八九]?|三十|十五)"
    r"(?!日|号)"
)
_LUNAR_DAY = re.compile(r"(?:农历|阴历)?初(?P<day>[一二三四五六七八九十])(?![中次高])")
_FESTIVALS: dict[str, str] = {
    "元旦": "元旦|阳历年",
    "除夕": "除夕|大年三十|年三十|年夜",
    "春节": "春节|大年初一|过年|年初一|农历新年",
    "元宵": "元宵节?|正月十五|灯节",
    "清明": "清明节?",
    "劳动": "劳动节|五一(?![点号月日])节?",
    "端午": "端午节?|端阳节?|五月节|粽子节",
    "七夕": "七夕节?",
    "中秋": "中秋节?|八月十五|八月节|团圆节",
    "国庆": "国庆节?|十一(?=长假|黄金周|假期|期间|节)",
    "重阳": "重阳节?|老人节",
    "冬至": "冬至",
    "腊八": "腊八节?",
    "小年": "小年",
    "妇女": "妇女节|三八节",
    "儿童": "儿童节|六一节?(?![点号月日])",
    "中元": "中元节|七月半|鬼节",
}
_FESTIVAL = re.compile("|".join(f"(?P<{name}>{words})" for name, words in _FESTIVALS.items()))
_FESTIVAL_DAYS = {"春节": 7, "国庆": 7, "劳动": 5}  # how long the holiday is: 「国庆后」 is after all of it
_SIDE = re.compile(
    r"^(?:长假|黄金周|假期|放假|这个?节|那天)?(?P<side>(?:之|以)?前|(?:之|以|过)?后|过完|完了|期间|当天)"
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
    first, last, past = _find_days(text, now.date(), found)
    after, before = _find_times(text, found)
    soon = _SOON.search(text)
    if soon:
        found.append((soon.start(), soon.group()))
    if not found:
        return None
    label = "".join(dict.fromkeys(words for _at, words in sorted(found)))
    return When(first, last, after, before, soon=bool(soon), past=past, label=label)


def _find_days(text: str, today: date, found: list[tuple[int, str]]) -> tuple[date | None, date | None, bool]:
    """(first, last, named day is over) of the last expression that wins; appends what was read to ``found``."""
    days: list[tuple[int, int, date, date]] = []  # position, end, first, last
    days += _named_days(text, today)
    days += _calendar_days(text, today)
    days += _lunar_days(text, today)
    if not days:
        return None, None, False
    days.sort(key=lambda d: (d[0], -(d[1] - d[0])))
    kept: list[tuple[int, int, date, date]] = []
    for entry in days:
        if not kept or entry[0] >= kept[-1][1]:
            kept.append(entry)
    chosen = kept[0]
    if len(kept) > 1 and re.search(r"不是|不要|改成|改到|换成|换到|还是|不对|说错", text[: kept[-1][0]]):
        chosen = kept[-1]
    elif len(kept) > 1 and re.search(r"^(?:到|至|或者?|和|跟|、)", text[chosen[1] : kept[1][0]] or "、"):
        chosen = (chosen[0], kept[1][1], min(chosen[2], kept[1][2]), max(chosen[3], kept[1][3]))
    elif len(kept) > 1 and all(d[3] < today for d in kept[:1]):
        chosen = kept[-1]  # 「昨天开始疼,明天想去看」: the day ahead is the one to go
    start, end, first, last = chosen
    side = re.match(r"(?:的)?(?P<side>之前|以前|前|之后|以后|过后|后)(?!面|边|天)", text[end:])
    words = text[start:end]
    if side and not _FESTIVAL.search(words) and first == last and not words.endswith(("后", "前", "内")):
        words += side.group()
        if "前" in side["side"]:
            first, last = today, first - timedelta(days=1)
        else:
            first, last = first + timedelta(days=1), first + timedelta(days=7)
    found.append((start, words))
    return first, last, last < today


def _named_days(text: str, today: date) -> list[tuple[int, int, date, date]]:
    days = []
    for match in _DAY.finditer(text):
        if match.group() in ("马上", "现在") and _DAY.search(text.replace(match.group(), "")):
            continue
        on = today + timedelta(days=_DAY_WORDS[match.group()])
        days.append((match.start(), match.end(), on, on))
    monday = today - timedelta(days=today.weekday())
    for match in _WEEKDAY.finditer(text):
        which, day = match["which"] or "", match["day"]
        weeks = {"下下": 2, "下": 1, "上": -1}.get(which.removesuffix("个"), 0)
        index = 5 if day == "末" else "一二三四五六日".find(day.replace("天", "日")) if not day.isdecimal() else -1
        index = int(day) - 1 if day.isdecimal() else index
        on = monday + timedelta(days=7 * weeks + index)
        if not which and on < today:
            on += timedelta(days=7)
        end = on + timedelta(days=1) if day == "末" else on
        days.append((match.start(), match.end(), on, end))
    for match in _WEEK.finditer(text):
        weeks = {"下下": 2, "下": 1}.get(match["which"].removesuffix("个"), 0)
        on = monday + timedelta(days=7 * weeks)
        days.append((match.start(), match.end(), max(on, today), on + timedelta(days=6)))
    for match in _AHEAD.finditer(text):
        length = {"天": 1, "日": 1, "月": 30}.get(match["unit"], 7)
        count = length // 2 if match["n"] == "半" else number(match["n"]) * length
        if "内" in match["how"]:
            days.append((match.start(), match.end(), today, today + timedelta(days=count)))
        else:
            on = today + timedelta(days=count)
            days.append((match.start(), match.end(), on, on if length == 1 else on + timedelta(days=6)))
    for match in _SOME_DAYS.finditer(text):
        span = (2, 7) if match["later"] else (0, 3)
        days.append((match.start(), match.end(), today + timedelta(days=span[0]), today + timedelta(days=span[1])))
    return days


def _calendar_days(text: str, today: date) -> list[tuple[int, int, date, date]]:
    days = []
    for match in _MONTH_DAY.finditer(text):
        try:
            on = date(today.year, number(match[1]), number(match[2]))
        except ValueError:
            continue
        if on < today - timedelta(days=60):
            on = on.replace(year=on.year + 1) if (on.month, on.day) != (2, 29) else on
        days.append((match.start(), match.end(), on, on))
    for match in _BARE_DAY.finditer(text):
        named = _day_of_month(match["n"], today)
        if named is not None:
            days.append((match.start(), match.end(), named, named))
    return days


def _day_of_month(words: str, today: date) -> date | None:
    """The next day of that number from today on: this month's, else the next month that has it."""
    try:
        day = number(words)
    except ValueError:
        return None
    month = today.replace(day=1)
    for _ in range(3):
        try:
            on = month.replace(day=day)
        except ValueError:
            on = None
        if on is not None and on >= today:
            return on
        month = (month + timedelta(days=32)).replace(day=1)
    return None


def _lunar_days(text: str, today: date) -> list[tuple[int, int, date, date]]:
    days = []
    for match in _FESTIVAL.finditer(text):
        name = str(match.lastgroup)
        on = festival(name, today)
        end = match.end()
        side = _SIDE.match(text[end:])
        length = _FESTIVAL_DAYS.get(name, 1)
        first = last = on
        if side:
            end += side.end()
            if "前" in side["side"]:
                first, last = today, on - timedelta(days=1)
            elif "后" in side["side"] or "完" in side["side"]:
                first, last = on + timedelta(days=length), on + timedelta(days=length + 6)
            elif side["side"] == "期间":
                last = on + timedelta(days=length - 1)
        days.append((match.start(), end, first, last))
    for match in _LUNAR.finditer(text):
        month = {"正": 1, "冬": 11, "腊": 12}.get(match["month"]) or number(match["month"])
        if not (match["lunar"] or match["month"] in "正冬腊" or match["day"].startswith(("初", "廿"))):
            continue
        days.append(_lunar_span(match, _next_lunar(month, number(match["day"].removeprefix("初")), today)))
    for match in _LUNAR_DAY.finditer(text):
        if any(a <= match.start() < b for a, b, *_ in days):
            continue
        lunar = Solar.fromYmd(today.year, today.month, today.day).getLunar()
        day, this_month = number(match["day"]), abs(lunar.getMonth())  # a leap month is counted negative
        month = this_month if day >= lunar.getDay() else this_month % 12 + 1
        days.append(_lunar_span(match, _next_lunar(month, day, today)))
    return days


def _lunar_span(match: re.Match[str], on: date) -> tuple[int, int, date, date]:
    return (match.start(), match.end(), on, on)


def _next_lunar(month: int, day: int, today: date) -> date:
    """The next solar date of this lunar day; a 30th that the month lacks is its 29th."""
    for year in (today.year - 1, today.year, today.year + 1):
        length = LunarMonth.fromYm(year, month).getDayCount()
        solar = Lunar.fromYmd(year, month, min(day, length)).getSolar()
        on = date(solar.getYear(), solar.getMonth(), solar.getDay())
        if on >= today:
            return on
    raise ValueError((month, day))


_LUNAR_FESTIVALS = {
    "春节": (1, 1), "元宵": (1, 15), "端午": (5, 5), "七夕": (7, 7), "中元": (7, 15), "中秋": (8, 15), "重阳": (9, 9),
    "腊八": (12, 8), "小年": (12, 23),
}  # fmt: skip
_SOLAR_FESTIVALS = {"元旦": (1, 1), "劳动": (5, 1), "国庆": (10, 1), "妇女": (3, 8), "儿童": (6, 1)}
# Solar terms within 2001..2099: day = floor(Y·0.2422 + C) − floor(leap years so far); C from the usual almanac formula.
_TERMS = {"清明": (4, 4.81), "冬至": (12, 21.94)}


@lru_cache(maxsize=256)
def festival(name: str, today: date) -> date:
    """The next day of this festival from today on (today included)."""
    if name == "除夕":
        return _next_lunar(1, 1, today + timedelta(days=1)) - timedelta(days=1)
    if name in _LUNAR_FESTIVALS:
        return _next_lunar(*_LUNAR_FESTIVALS[name], today)
    for year in (today.year, today.year + 1):
        if name in _TERMS:
            month, constant = _TERMS[name]
            short = year % 100
            on = date(year, month, int(short * 0.2422 + constant) - short // 4)
        else:
            on = date(year, *_SOLAR_FESTIVALS[name])
        if on >= today:
            return on
    raise ValueError(name)


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
        read = _clock(match, part, text)
        if read is None:
            continue
        at, side = read
        until = _UNTIL.match(text[match.end() :])
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


def _clock(match: re.Match[str], part: str, text: str) -> tuple[time, str] | None:
    """The time a clock expression means, with its side word; None where 「点」 is no o'clock (「慢一点」, 「有两点」)."""
    side = match["side"] or ""
    hour = number(match["hour"])
    exact = match["minute"] or match["digital"] or "钟" in match.group() or "整" in match.group()
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
