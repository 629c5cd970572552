"""The rules that turn written numbers, units, codes and abbreviations into what is said.

A rule is a pattern and a function from its match to parts: (begin, end, said), in order and without overlap, inside the match. A
function may return None where its context does not fit. Rules are tried in the order of RULES: what an earlier one has claimed, a
later one does not see. Patterns run over ``fold(text)``, which has the text's length but ASCII digits, letters and signs.
"""

import re
import unicodedata
from collections.abc import Callable

from avatar.speech_text.numbers import LONGEST, cardinal, count, digits, money
from avatar.speech_text.tables import first_column, pairs

Part = tuple[int, int, str]
Say = Callable[[re.Match[str]], list[Part] | None]

_WIDE = "０１２３４５６７８９ＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰＱＲＳＴＵＶＷＸＹＺａｂｃｄｅｆｇｈｉｊｋｌｍｎｏｐｑｒｓｔｕｖｗｘｙｚ％／．－＋～＜＞＝（）＆＠"
_FOLD = str.maketrans(
    _WIDE + "\u3000：￥–—−〜∼﹣⁄∕",
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz%/.-+~<>=()&@" + " :¥---~~-//",
)

N = r"(?<![\d.])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\d])"
TO = r"\s?(?:-{1,2}|~|至|到)\s?"


def _any(words: tuple[str, ...]) -> str:
    return "|".join(re.escape(word) for word in words)


_UNIT = _any(first_column("units.tsv"))
UNIT = rf"(?:{_UNIT})(?![A-Za-z\d^])"
COUNTED = _any(first_column("counted.tsv"))
PER = r"(?:次|日|天|周|月|年|小时|分钟|分|秒|晚|早|片|粒|支|袋|餐|顿)"
UNITS = rf"(?:(?:{_UNIT})(?:/(?:{_UNIT}|{PER}))*(?![A-Za-z\d^]))"


def fold(text: str) -> str:
    """The text with full-width letters, signs and blanks and with any script's digits as ASCII; each character stays where it is."""
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text.translate(_FOLD))


def _unit(written: str) -> str:
    """``mg/kg/d`` -> 毫克每千克每天."""
    return "每".join(pairs("units.tsv").get(part, "分钟" if part == "分" else part) for part in written.split("/"))


def _part(m: re.Match[str], group: int | str, said: str) -> Part:
    return m.start(group), m.end(group), said


def _whole(m: re.Match[str], said: str) -> list[Part]:
    return [(m.start(), m.end(), said)]


def _number(m: re.Match[str], group: int | str, behind: str = "") -> Part:
    """A number: a count where ``behind`` begins with something that is counted, else a cardinal."""
    written = m[group]
    counted = bool(behind) and re.match(COUNTED, behind) is not None
    return _part(m, group, count(written) if counted else cardinal(written))


def _telephone(m: re.Match[str]) -> list[Part]:
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


def _identity(m: re.Match[str]) -> list[Part]:
    at = m.start()
    code = [(at, at + 6), (at + 6, at + 14), (at + 14, m.end())]
    said = [digits(m.string[a:b], one="幺") for a, b in code]
    tail = "X" if m[0][-1] in "Xx" else ""
    return [(*code[0], said[0] + "，"), (*code[1], said[1] + "，"), (*code[2], said[2] + tail)]


_CALL_BEFORE = re.compile(r"(?:拨打?|打|呼叫?|电话|热线|致电|联系|专线|求助|叫)[^，。；！？\d]{0,6}$")
_CALL_BEHIND = re.compile(
    r"\s?(?:急救|电话|热线|救护|报警|服务|平台|专线|中心|求助|[/、或和]\s?(?:110|119|120|122|12\d{3}))"
)


def _hotline(m: re.Match[str]) -> list[Part] | None:
    before, behind = m.string[max(0, m.start() - 12) : m.start()], m.string[m.end() : m.end() + 10]
    listed = re.search(r"(?:110|119|120|122|12\d{3})\s?[/、或和]\s?$", before)
    if len(m[0]) == 3 and not (_CALL_BEFORE.search(before) or _CALL_BEHIND.match(behind) or listed):
        return None
    if re.match(rf"\s?(?:{UNITS}|{COUNTED}|%)", behind):
        return None
    return _whole(m, digits(m[0], one="幺"))


def _date(m: re.Match[str]) -> list[Part] | None:
    year, month, day = m["y"], m["m"], m["d"]
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return None
    return [
        (m.start(), m.start("m"), f"{digits(year)}年"),
        (m.start("m"), m.start("d"), f"{cardinal(str(int(month)))}月"),
        (m.start("d"), m.end(), f"{cardinal(str(int(day)))}日"),
    ]


def _month_and_day(m: re.Match[str]) -> list[Part]:
    parts = [_part(m, "m", cardinal(str(int(m["m"]))))]
    return [*parts, _part(m, "d", cardinal(str(int(m["d"]))))] if m["d"] else parts


def _clock(hour: str, minute: str, second: str | None) -> str | None:
    h, mi, s = int(hour), int(minute), int(second or 0)
    if h > 24 or mi > 59 or s > 59:
        return None
    said = f"{count(str(h))}点"
    if mi or s:
        said += f"{'零' if mi < 10 else ''}{cardinal(str(mi))}分" if mi else "零分"
    return said + (f"{cardinal(str(s))}秒" if s else "")


def _time(m: re.Match[str]) -> list[Part] | None:
    said = _clock(m["h"], m["mi"], m["s"])
    return None if said is None else _whole(m, said)


def _times(m: re.Match[str]) -> list[Part] | None:
    first, second = _clock(m["h"], m["mi"], None), _clock(m["h2"], m["mi2"], None)
    if first is None or second is None:
        return None
    return [
        (m.start(), m.end("mi"), first),
        (m.end("mi"), m.start("h2"), "到"),
        (m.start("h2"), m.end(), second),
    ]


def _pressure(m: re.Match[str]) -> list[Part]:
    parts = [_number(m, "a"), (m.end("a"), m.start("b"), "比"), _number(m, "b")]
    if m["u"]:
        parts.append(_part(m, "u", _unit(m["u"].strip())))
    return parts


def _often(m: re.Match[str]) -> list[Part]:
    """``3次/日`` -> 每日三次, ``60次/分`` -> 每分钟六十次."""
    per = {"分": "分钟", "min": "分钟", "d": "天", "h": "小时", "w": "周"}.get(m["per"], m["per"])
    low = f"{count(m['low'])}到" if m["low"] else ""
    return _whole(m, f"每{per}{low}{count(m['n'])}{m['what']}")


def _dose(m: re.Match[str]) -> list[Part]:
    """``5mg/次`` -> 每次五毫克."""
    low = f"{cardinal(m['low'])}到" if m["low"] else ""
    counted = m["u"] not in pairs("units.tsv")
    said = count(m["n"]) if counted else cardinal(m["n"])
    return _whole(m, f"每{m['per']}{low}{said}{_unit(m['u'])}")


def _money(m: re.Match[str]) -> list[Part]:
    return _whole(m, money(m["n"]))


def _percent(m: re.Match[str]) -> list[Part]:
    of = "千分之" if m["sign"] == "‰" else "百分之"
    parts: list[Part] = []
    if m["low"]:
        parts = [(m.start(), m.end("low"), of + cardinal(m["low"])), (m.end("low"), m.start("n"), "到")]
    at = m.start("n")
    return [*parts, (at, m.end(), of + cardinal(m["n"]))]


def _range(m: re.Match[str]) -> list[Part]:
    behind = m["behind"] or ""
    first = [_number(m, "a", behind)]
    if m["ua"]:
        first.append(_part(m, "ua", _unit(m["ua"].strip())))
    parts = [*first, (m.end("ua") if m["ua"] else m.end("a"), m.start("b"), "到"), _number(m, "b", behind)]
    return [*parts, *_behind(m)]


def _behind(m: re.Match[str]) -> list[Part]:
    """The unit that may stand behind a number, with the blank before it."""
    behind = m["behind"]
    if not behind or not re.fullmatch(rf"\s?{UNITS}", behind):
        return []
    return [_part(m, "behind", _unit(behind.strip()))]


def _fraction(m: re.Match[str]) -> list[Part]:
    if m["a"] == "1" and m["b"] == "2":
        return _whole(m, "半" if m.string[m.end() : m.end() + 1] in tuple("片粒支袋包碗杯") else "二分之一")
    return _whole(m, f"{cardinal(m['b'])}分之{cardinal(m['a'])}")


def _signed(m: re.Match[str]) -> list[Part]:
    behind = m["behind"] or ""
    cold = m["sign"] == "-" and ("℃" in behind or "°" in behind or "度" in behind)
    said = {"-": "零下" if cold else "负", "+": "正", "±": "正负"}[m["sign"]]
    return [_part(m, "sign", said), _number(m, "n"), *_behind(m)]


def _power(m: re.Match[str]) -> list[Part]:
    raised = m["p"].translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789"))
    said = ("乘以" if m["times"] else "") + f"十的{cardinal(raised)}次方"
    return [(m.start(), m.end("p"), said), *([_part(m, "u", "每" + _unit(m["u"][1:]))] if m["u"] else [])]


def _measured(m: re.Match[str]) -> list[Part]:
    return [_number(m, "n"), *_behind(m)]


def _counted(m: re.Match[str]) -> list[Part]:
    return [_part(m, "n", count(m["n"]))]


def _ordinal(m: re.Match[str]) -> list[Part]:
    return [_part(m, "n", cardinal(m["n"]))]


def _number_of(m: re.Match[str]) -> list[Part]:
    """A code behind its name (验证码, 尾号, 住院号): digit by digit, letters by themselves."""
    at = m.start("code")
    runs = re.finditer(r"\d+", m["code"])
    return [(at + r.start(), at + r.end(), digits(r[0], one="幺")) for r in runs]


def _disease_code(m: re.Match[str]) -> list[Part]:
    parts = [_part(m, "n", digits(m["n"], one="幺"))]
    if m["sub"]:
        parts.append((m.start("sub"), m.start("sub") + 1, "点"))
        parts += [
            (m.start("sub") + 1 + r.start(), m.start("sub") + 1 + r.end(), digits(r[0], one="幺"))
            for r in re.finditer(r"\d+", m["sub"][1:])
        ]
    return parts


def _from_to(m: re.Match[str]) -> list[Part]:
    """``B1-B2`` -> B一到B二; the same letter on both sides."""
    return [_part(m, "a", cardinal(m["a"])), (m.end("a"), m.start("to"), "到"), _part(m, "b", cardinal(m["b"]))]


def _pages(m: re.Match[str]) -> list[Part]:
    """``第1/3页`` -> 第一页，共三页."""
    return [_part(m, "a", f"{cardinal(m['a'])}页"), (m.end("a"), m.start("b"), "，共"), _part(m, "b", cardinal(m["b"]))]


def _letters_and_digits(m: re.Match[str]) -> list[Part]:
    """``A12`` -> A十二, ``A066`` -> A零六六, ``MZ2026`` digit by digit."""
    short = len(m["n"]) <= 2
    return [_part(m, "n", cardinal(m["n"]) if short else digits(m["n"], one="幺"))]


def _plain(m: re.Match[str]) -> list[Part]:
    """A number that no other rule knows: long ones are codes, the others cardinals."""
    whole = m[0].partition(".")[0].replace(",", "")
    if len(whole) > LONGEST or (len(whole) >= 7 and "," not in m[0] and whole[-4:] != "0000"):
        return _whole(m, digits(m[0], one="幺"))
    return _whole(m, cardinal(m[0]))


def _version(m: re.Match[str]) -> list[Part]:
    return _whole(m, "点".join(digits(run) if len(run) > 2 else cardinal(run) for run in m[0].split(".")))


def _address(m: re.Match[str]) -> list[Part]:
    """``3-2-301`` -> 三杠二杠三零幺."""
    return _whole(m, "杠".join(digits(run, one="幺") if len(run) > 2 else cardinal(run) for run in m[0].split("-")))


def _room(m: re.Match[str]) -> list[Part]:
    return [_part(m, "n", digits(m["n"], one="幺"))]


def _table(name: str) -> Say:
    return lambda m: _whole(m, pairs(name)[m[0]])


_DATE_SEP = r"(?:\s?年\s?|[-/.])"
_CODE_NAMES = r"验证码|校验码|取件码|取药码|预约码|预约号|登记号|住院号|门诊号|病历号|病案号|就诊号|流水号|订单号|单号|卡号|尾号|编号|号码|代码|工号|邮编|批号|条码|证号|[后前末][一二三四五六七八\d]位(?:数字?)?"
_BEHIND = rf"(?P<behind>\s?{UNITS}|(?:{COUNTED})|)"

_FINDING = {"+": "阳性", "-": "阴性", "±": "弱阳性", "++": "两个加号", "+++": "三个加号", "++++": "四个加号"}
_ROMAN = {"I": "一", "II": "二", "III": "三", "IV": "四", "V": "五", "VI": "六", "VII": "七", "VIII": "八"}

RULES: tuple[tuple[re.Pattern[str], Say], ...] = tuple(
    (re.compile(pattern, re.ASCII), say)
    for pattern, say in [
        (r"(?:https?://|www\.)[!-~]+", lambda m: _whole(m, "网址")),
        (r"[\w.+-]+@[A-Za-z\d-]+(?:\.[A-Za-z\d-]+)+", lambda m: _whole(m, "邮箱地址")),
        (rf"(?<![A-Za-z\d])(?:{_any(first_column('abbreviations.tsv'))})(?![A-Za-z\d+])", _table("abbreviations.tsv")),
        (r"\([-+±]{1,4}\)", lambda m: _whole(m, _FINDING.get(m[0][1:-1], ""))),
        (r"(?<![\dA-Za-z])\d{17}[\dXx](?![\dA-Za-z])", _identity),
        (r"(?<![\d.])(?:\+?86[- ]?)?1[3-9]\d[- ]?\d{4}[- ]?\d{4}(?!\d)", _telephone),
        (r"(?<![\d.])\(?0\d{2,3}(?:\)|-|\) ?| )\d{3,4}[- ]?\d{4}(?!\d)", _telephone),
        (r"(?<![\d.])[48]00[- ]?\d{3}[- ]?\d{4}(?!\d)|(?<![\d.])[48]00-\d{4}-\d{3}(?!\d)", _telephone),
        (rf"(?:{_CODE_NAMES})(?:是|为|:|：|\s){{0,2}}(?P<code>[A-Za-z\d][A-Za-z\d-]{{2,}})", _number_of),
        (rf"(?<![\d.A-Za-z-])(?:{_any(first_column('hotlines.tsv'))})(?![\d.:%/-])(?!,\d)", _hotline),
        (rf"(?<!\d)(?P<y>(?:19|20)\d\d){_DATE_SEP}(?P<m>\d{{1,2}})(?:\s?月\s?|[-/.])(?P<d>\d{{1,2}})(?:\s?[日号]|(?![\d.]))", _date),
        (r"(?<!\d)(?P<y>(?:19|20)\d\d)(?=\s?(?:年(?!前|后|内|来|间|多|的时间)|届|学年))", lambda m: _whole(m, digits(m["y"]))),
        (r"(?<![\d.])(?P<m>\d{1,2})(?=\s?月(?!\s?龄))(?:\s?月\s?(?P<d>\d{1,2})(?=\s?[日号]))?", _month_and_day),
        (
            rf"(?<![\d:.])(?P<h>\d{{1,2}}):(?P<mi>[0-5]\d){TO}(?P<h2>\d{{1,2}}):(?P<mi2>[0-5]\d)(?![\d:])",
            _times,
        ),
        (r"(?<![\d:.])(?P<h>\d{1,2}):(?P<mi>[0-5]\d)(?::(?P<s>[0-5]\d))?(?![\d:])", _time),
        (r"(?P<a>(?<![\d./])\d{2,3})\s?/\s?(?P<b>\d{2,3})(?P<u>\s?(?:mmHg|kPa))(?![A-Za-z])", _pressure),
        (r"(?<=血压)(?P<pre>[^\d，。；]{0,6})(?P<a>\d{2,3})\s?/\s?(?P<b>\d{2,3})(?P<u>)(?![\d/])", _pressure),
        (
            rf"(?:(?P<low>{N}){TO})?(?P<n>{N})\s?(?P<what>[次片粒支袋滴喷吸包瓶顿餐])\s?/\s?(?P<per>日|天|周|月|年|小时|分钟|分|晚|早|次|min|d|h|w)(?![A-Za-z])",
            _often,
        ),
        (rf"(?:(?P<low>{N}){TO})?(?P<n>{N})\s?(?P<u>{_UNIT})\s?/\s?(?P<per>次|日|天|周|晚|早|餐|片|粒|支|袋)", _dose),
        (rf"[¥]\s?(?P<n>{N})(?:\s?元)?", _money),
        (rf"(?P<n>{N})(?<=\.\d\d)\s?元(?!/)", _money),
        (rf"(?:(?P<low>{N})\s?[%‰]?{TO})?(?P<n>{N})\s?(?P<sign>[%‰])", _percent),
        (rf"(?P<sign>(?<![\dA-Za-z\u4e00-\u9fff)])[-+]|±)\s?(?P<n>{N}){_BEHIND}", _signed),
        (r"(?<![A-Za-z\d.-])\d+(?:-\d+){2,}(?![\d.])", _address),
        (rf"(?P<a>{N})(?P<ua>\s?{UNITS})?{TO}(?P<b>{N}){_BEHIND}", _range),
        (r"(?P<times>[×xX*]\s?)?(?<![\d.])10(?:\^|\*\*)?(?P<p>(?<=[\^*])\d{1,2}|[⁰¹²³⁴⁵⁶⁷⁸⁹]+)(?P<u>/(?:L|μL|uL|ml|mL|l))?(?![A-Za-z\d])", _power),
        (r"第\s?(?P<a>\d{1,4})\s?/\s?(?P<b>\d{1,4})(?=\s?页)", _pages),
        (r"(?<![\d./A-Za-z])(?P<a>\d{1,2})/(?P<b>\d{1,3})(?![\d/.])", _fraction),
        (r"(?<![\d:.])(?P<a>\d{1,4}):(?P<b>\d{1,4})(?![\d:])", lambda m: [_number(m, "a"), (m.end("a"), m.start("b"), "比"), _number(m, "b")]),
        (r"(?<![A-Za-z\d])[A-TV-Z](?P<n>\d{2})(?P<sub>\.(?:\d{1,3}[A-Za-z]?\d{0,3}))(?![\d.])", _disease_code),
        (rf"(?<![A-Za-z\d])(?P<letter>[A-Z])(?P<a>\d{{1,4}}){TO}(?P<to>(?P=letter))(?P<b>\d{{1,4}})(?![\dA-Za-z.])", _from_to),
        (r"(?<![A-Za-z\d])[A-Za-z]{1,6}-?(?P<n>\d+)(?![\d.])", _letters_and_digits),
        (r"(?<![A-Za-z\d.])\d+(?:\.\d+){2,}(?![\d.])", _version),
        (rf"第\s?(?P<n>{N})", _ordinal),
        (r"(?<![\d./A-Za-z])(?P<n>\d{3,4})(?=\s?(?:号?(?:诊室|病房|病室|房|床|教室)|室))", _room),
        (rf"(?P<n>{N})(?P<behind>\s?{UNITS})", _measured),
        (rf"(?P<n>{N})(?=\s?(?:{COUNTED}))", _counted),
        (N, _plain),
        (r"\d+", _plain),
        (r"(?<![A-Za-z])(?P<n>I{1,3}|IV|VI{0,3})(?=\s?(?:型|级|期|度|类|区))", lambda m: _whole(m, _ROMAN[m["n"]])),
        (rf"(?:{_any(first_column('signs.tsv'))})", _table("signs.tsv")),
        (r"(?<=[A-Za-z\u4e00-\u9fff])/(?=[A-Za-z\u4e00-\u9fff])", lambda m: _whole(m, "，")),
    ]
)  # fmt: skip


def parts(text: str) -> list[Part]:
    """What the rules say about ``text``: (begin, end, said) in rising order, without overlap; the rest is said as it is written."""
    folded = fold(text)
    taken = bytearray(len(text))
    found: list[Part] = []
    for pattern, say in RULES:
        for m in pattern.finditer(folded):
            if any(taken[m.start() : m.end()]):
                continue
            for begin, end, said in say(m) or ():
                if begin < end:
                    found.append((begin, end, said))
                    taken[begin:end] = b"\x01" * (end - begin)
    return sorted(found)
