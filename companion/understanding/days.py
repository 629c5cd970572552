"""Which days the words name: 「下周三」, 「过两天」, 「12月3号」, 「腊月初八」, 「国庆后」, read relative to an injected today."""

import re
from datetime import date, timedelta
from functools import lru_cache

from lunar_python import Lunar, LunarMonth, Solar

from companion.understanding.numerals import NUMBER, number

_DAY_WORDS = {
    "大后天": 3, "大后儿": 3, "大后日": 3, "后天": 2, "后儿个": 2, "后儿": 2, "后日": 2, "后朝": 2,
    "明天": 1, "明儿个": 1, "明儿": 1, "明日": 1, "明个": 1, "明朝": 1, "听日": 1, "明早": 1, "明晚": 1, "明晨": 1,
    "今天": 0, "今儿个": 0, "今儿": 0, "今日": 0, "今个": 0, "今朝": 0, "今早": 0, "今晚": 0, "今下午": 0, "当天": 0,
    "现在": 0, "马上": 0, "昨天": -1, "昨儿": -1, "昨日": -1, "前天": -2, "前儿": -2,
}  # fmt: skip
_DAY = re.compile("|".join(sorted(_DAY_WORDS, key=len, reverse=True)))
_WEEKDAY = re.compile(
    r"(?P<which>下下个?|下个?|这个?|本|上个?)?(?:周|星期|礼拜)(?P<day>[一二三四五六日天末1-7])(?![天日个周期])"
)
_WEEK = re.compile(r"(?P<which>下下个?|下个?|这个?|本)(?:周|星期|礼拜)(?![一二三四五六日天末1-7])")
_MONTH_DAY = re.compile(rf"(?<![\d一二三四五六七八九十正腊冬])({NUMBER})月({NUMBER})(?:日|号|$|(?![\d个天]))")
_BARE_DAY = re.compile(
    rf"(?<![\d第叫是我排到])(?P<n>{NUMBER})(?:号|日)(?![楼线诊门厅窗院桌床]|号)"
    r"(?=$|[,,。??!!、]|上午|下午|早|晚|中午|那天|的|挂|约|有|去|能|可以|行|吧|吗|呢|前|以前|之前|后|之后|以后|看)"
)
_AHEAD = re.compile(rf"(?P<n>{NUMBER}|半)个?(?P<unit>天|日|周|星期|礼拜|月)(?P<how>以后|之后|过后|后|以内|之内|内)")
_SOME_DAYS = re.compile(r"(?P<later>过(?:两|几|些)天)|(?P<now>这(?:两|几)[天日]|近两天|近几天|最近几天)")
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


def find_days(text: str, today: date, found: list[tuple[int, str]]) -> tuple[date | None, date | None, bool]:
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
    if len(kept) > 1 and re.search(r"不是|不要|去不了|去不成|来不了|没空|改|换|还是|不对|说错", text[: kept[-1][0]]):
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
