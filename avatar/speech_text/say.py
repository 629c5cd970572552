"""What a rule's match is said as: functions from a match to parts, (begin, end, said) in order inside the match.

None where the words around do not fit after all. The matches' groups are named in ``avatar.speech_text.rules``.
"""

import re

from avatar.speech_text.numbers import LONGEST, cardinal, count, digits, money
from avatar.speech_text.patterns import COUNTED, UNITS
from avatar.speech_text.tables import pairs

Part = tuple[int, int, str]


def _unit(written: str) -> str:
    """``mg/kg/d`` -> 毫克每千克每天."""
    return "每".join(pairs("units.tsv").get(part, "分钟" if part == "分" else part) for part in written.split("/"))


def part(m: re.Match[str], group: int | str, said: str) -> Part:
    return m.start(group), m.end(group), said


def whole(m: re.Match[str], said: str) -> list[Part]:
    return [(m.start(), m.end(), said)]


def number(m: re.Match[str], group: int | str, behind: str = "") -> Part:
    """A number: a count where ``behind`` begins with something that is counted, else a cardinal."""
    written = m[group]
    counted = bool(behind) and re.match(COUNTED, behind) is not None
    return part(m, group, count(written) if counted else cardinal(written))


def telephone(m: re.Match[str]) -> list[Part]:
    """Digit by digit, in groups with a breath between; what stands between the groups is silent."""
    text = m[0]
    groups = [(g.start(), g.end()) for g in re.finditer(r"\d+", text)]
    if len(groups) == 1 and len(text) == 11:
        groups = [(0, 3), (3, 7), (7, 11)]
    parts: list[Part] = []
    for n, (begin, end) in enumerate(groups):
        until = groups[n + 1][0] if n + 1 < len(groups) else len(text)
        breath = "，" if n + 1 < len(groups) else ""
        from_ = 0 if n == 0 else begin
        parts.append((m.start() + from_, m.start() + until, digits(text[begin:end], one="幺") + breath))
    return parts


def identity(m: re.Match[str]) -> list[Part]:
    at = m.start()
    code = [(at, at + 6), (at + 6, at + 14), (at + 14, m.end())]
    said = [digits(m.string[a:b], one="幺") for a, b in code]
    tail = "X" if m[0][-1] in "Xx" else ""
    return [(*code[0], said[0] + "，"), (*code[1], said[1] + "，"), (*code[2], said[2] + tail)]


_CALL_BEFORE = re.compile(r"(?:拨打?|打|呼叫?|电话|热线|致电|联系|专线|求助|叫)[^，。；！？\d]{0,6}$")
_CALL_BEHIND = re.compile(
    r"\s?(?:急救|电话|热线|救护|报警|服务|平台|专线|中心|求助|[/、或和]\s?(?:110|119|120|122|12\d{3}))"
)


def hotline(m: re.Match[str]) -> list[Part] | None:
    before, behind = m.string[max(0, m.start() - 12) : m.start()], m.string[m.end() : m.end() + 10]
    listed = re.search(r"(?:110|119|120|122|12\d{3})\s?[/、或和]\s?$", before)
    if len(m[0]) == 3 and not (_CALL_BEFORE.search(before) or _CALL_BEHIND.match(behind) or listed):
        return None
    if re.match(rf"\s?(?:{UNITS}|{COUNTED}|%)", behind):
        return None
    return whole(m, digits(m[0], one="幺"))


def date(m: re.Match[str]) -> list[Part] | None:
    year, month, day = m["y"], m["m"], m["d"]
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return None
    return [
        (m.start(), m.start("m"), f"{digits(year)}年"),
        (m.start("m"), m.start("d"), f"{cardinal(str(int(month)))}月"),
        (m.start("d"), m.end(), f"{cardinal(str(int(day)))}日"),
    ]


def month_and_day(m: re.Match[str]) -> list[Part]:
    parts = [part(m, "m", cardinal(str(int(m["m"]))))]
    if m["from"]:
        parts = [part(m, "from", cardinal(str(int(m["from"])))), (m.end("from"), m.start("m"), "到"), *parts]
    return [*parts, part(m, "d", cardinal(str(int(m["d"]))))] if m["d"] else parts


def _clock(hour: str, minute: str, second: str | None) -> str | None:
    h, mi, s = int(hour), int(minute), int(second or 0)
    if h > 24 or mi > 59 or s > 59:
        return None
    said = f"{count(str(h))}点"
    if mi or s:
        said += f"{'零' if mi < 10 else ''}{cardinal(str(mi))}分" if mi else "零分"
    return said + (f"{cardinal(str(s))}秒" if s else "")


def at_time(m: re.Match[str]) -> list[Part] | None:
    said = _clock(m["h"], m["mi"], m["s"])
    return None if said is None else whole(m, said)


def from_time_to_time(m: re.Match[str]) -> list[Part] | None:
    first, second = _clock(m["h"], m["mi"], None), _clock(m["h2"], m["mi2"], None)
    if first is None or second is None:
        return None
    return [
        (m.start(), m.end("mi"), first),
        (m.end("mi"), m.start("h2"), "到"),
        (m.start("h2"), m.end(), second),
    ]


def pressure(m: re.Match[str]) -> list[Part]:
    parts = [number(m, "a"), (m.end("a"), m.start("b"), "比"), number(m, "b")]
    if m["u"]:
        parts.append(part(m, "u", _unit(m["u"].strip())))
    return parts


def often(m: re.Match[str]) -> list[Part]:
    """``3次/日`` -> 每日三次, ``60次/分`` -> 每分钟六十次."""
    per = {"分": "分钟", "min": "分钟", "d": "天", "h": "小时", "w": "周"}.get(m["per"], m["per"])
    low = f"{count(m['low'])}到" if m["low"] else ""
    return whole(m, f"每{per}{low}{count(m['n'])}{m['what']}")


def dose(m: re.Match[str]) -> list[Part]:
    """``5mg/次`` -> 每次五毫克."""
    low = f"{cardinal(m['low'])}到" if m["low"] else ""
    counted = m["u"] not in pairs("units.tsv")
    said = count(m["n"]) if counted else cardinal(m["n"])
    return whole(m, f"每{m['per']}{low}{said}{_unit(m['u'])}")


def price(m: re.Match[str]) -> list[Part]:
    return whole(m, money(m["n"]))


def percent(m: re.Match[str]) -> list[Part]:
    of = "千分之" if m["sign"] == "‰" else "百分之"
    parts: list[Part] = []
    if m["low"]:
        parts = [(m.start(), m.end("low"), of + cardinal(m["low"])), (m.end("low"), m.start("n"), "到")]
    at = m.start("n")
    return [*parts, (at, m.end(), of + cardinal(m["n"]))]


def span(m: re.Match[str]) -> list[Part]:
    behind = m["behind"] or ""
    first = [number(m, "a", behind)]
    if m["ua"]:
        first.append(part(m, "ua", _unit(m["ua"].strip())))
    parts = [*first, (m.end("ua") if m["ua"] else m.end("a"), m.start("b"), "到"), number(m, "b", behind)]
    return [*parts, *_behind(m)]


def _behind(m: re.Match[str]) -> list[Part]:
    """The unit that may stand behind a number, with the blank before it."""
    behind = m["behind"]
    if not behind or not re.fullmatch(rf"\s?{UNITS}", behind):
        return []
    return [part(m, "behind", _unit(behind.strip()))]


def fraction(m: re.Match[str]) -> list[Part] | None:
    if int(m["a"]) <= 12 < int(m["b"]) <= 31:  # 11/23 is a day rather than a part
        day = [(m.start(), m.start("b"), f"{cardinal(str(int(m['a'])))}月"), part(m, "b", f"{cardinal(m['b'])}日")]
        return None if m["a"] == "0" else day
    if m["a"] == "1" and m["b"] == "2":
        return whole(m, "半" if m.string[m.end() : m.end() + 1] in tuple("片粒支袋包碗杯") else "二分之一")
    return whole(m, f"{cardinal(m['b'])}分之{cardinal(m['a'])}")


def signed(m: re.Match[str]) -> list[Part]:
    behind = m["behind"] or ""
    cold = m["sign"] == "-" and ("℃" in behind or "°" in behind or "度" in behind)
    said = {"-": "零下" if cold else "负", "+": "正", "±": "正负"}[m["sign"]]
    return [part(m, "sign", said), number(m, "n"), *_behind(m)]


def power(m: re.Match[str]) -> list[Part]:
    raised = m["p"].translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    minus = "负" if raised.startswith("-") else ""
    said = ("乘以" if m["times"] else "") + f"十的{minus}{cardinal(raised.lstrip('-'))}次方"
    return [(m.start(), m.end("p"), said), *([part(m, "u", "每" + _unit(m["u"][1:]))] if m["u"] else [])]


def measured(m: re.Match[str]) -> list[Part]:
    return [number(m, "n"), *_behind(m)]


def counted(m: re.Match[str]) -> list[Part]:
    return [part(m, "n", count(m["n"]))]


def ordinal(m: re.Match[str]) -> list[Part]:
    return [part(m, "n", cardinal(m["n"]))]


def number_of(m: re.Match[str]) -> list[Part]:
    """A code behind its name (验证码, 尾号, 住院号): digit by digit, letters by themselves."""
    at = m.start("code")
    runs = re.finditer(r"\d+", m["code"])
    return [(at + r.start(), at + r.end(), digits(r[0], one="幺")) for r in runs]


def disease_code(m: re.Match[str]) -> list[Part]:
    parts = [part(m, "n", digits(m["n"], one="幺"))]
    if m["sub"]:
        parts.append((m.start("sub"), m.start("sub") + 1, "点"))
        parts += [
            (m.start("sub") + 1 + r.start(), m.start("sub") + 1 + r.end(), digits(r[0], one="幺"))
            for r in re.finditer(r"\d+", m["sub"][1:])
        ]
    return parts


def from_to(m: re.Match[str]) -> list[Part]:
    """``B1-B2`` -> B一到B二; the same letter on both sides."""
    return [part(m, "a", cardinal(m["a"])), (m.end("a"), m.start("to"), "到"), part(m, "b", cardinal(m["b"]))]


def pages(m: re.Match[str]) -> list[Part]:
    """``第1/3页`` -> 第一页，共三页."""
    return [part(m, "a", f"{cardinal(m['a'])}页"), (m.end("a"), m.start("b"), "，共"), part(m, "b", cardinal(m["b"]))]


def letters_and_digits(m: re.Match[str]) -> list[Part]:
    """``A12`` -> A十二, ``A066`` -> A零六六, ``MZ2026`` digit by digit."""
    short = len(m["n"]) <= 2
    return [part(m, "n", cardinal(m["n"]) if short else digits(m["n"], one="幺"))]


def plain(m: re.Match[str]) -> list[Part]:
    """A number that no other rule knows: long ones are codes, the others cardinals."""
    integer = m[0].partition(".")[0].replace(",", "")
    if len(integer) > LONGEST or (len(integer) >= 7 and "," not in m[0] and integer[-4:] != "0000"):
        return whole(m, digits(m[0], one="幺"))
    return whole(m, cardinal(m[0]))


def every(m: re.Match[str]) -> list[Part]:
    """``q8h`` -> 每八小时一次."""
    return whole(m, f"每{count(m['n'])}{'小时' if m['per'] == 'h' else '天'}一次")


def pregnancy(m: re.Match[str]) -> list[Part]:
    """``38w+2`` -> 三十八周加两天."""
    return whole(m, f"{cardinal(m['w'])}周加{count(m['d'])}天")


def called(m: re.Match[str]) -> list[Part] | None:
    """A short number behind a word that tells of a call."""
    return whole(m, digits(m[0], one="幺")) if _CALL_BEFORE.search(m.string[: m.start()]) else None


def mixed(m: re.Match[str]) -> list[Part]:
    """``2½`` -> 二又二分之一."""
    return whole(m, f"{cardinal(m['n'])}又{pairs('signs.tsv')[m['f']]}")


def version(m: re.Match[str]) -> list[Part]:
    return whole(m, "点".join(digits(run) if len(run) > 2 else cardinal(run) for run in m[0].split(".")))


def address(m: re.Match[str]) -> list[Part]:
    """``3-2-301`` -> 三杠二杠三零幺."""
    return whole(m, "杠".join(digits(run, one="幺") if len(run) > 2 else cardinal(run) for run in m[0].split("-")))


def room(m: re.Match[str]) -> list[Part]:
    return [part(m, "n", digits(m["n"], one="幺"))]
