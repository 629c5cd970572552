"""Whether a model's sentence says what it was given, no less and no more: the same facts in the same order.

Deliberately strict and simple. A good rewrite that is refused costs nothing, because the skill's own words are said;
a bad one that passes could send somebody to the wrong room. Pure: what counts as a name is handed in as ``terms``.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Terms = Callable[[str], Iterable[str]]
"""The names in a text (people, doctors, hospitals, departments, places, medicines, diseases), in order."""

_DIGITS = {c: n for n, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_UNITS = {"十": 10, "百": 100, "千": 1000, "万": 10_000}
_NUMERAL = r"[零〇一二三四五六七八九十百千万两]"
_NUMBER = re.compile(
    rf"(?P<arabic>\d+(?:\.\d+)?)|(?P<chinese>{_NUMERAL}+)|(?P<half>半)(?=[天年月小个片粒次])|(?<=点)(?P<past>半)"
)
# 「一」 and 「十」 in words that count nothing.
_COUNTS_NOTHING = re.compile(
    r"(?<![上中下]午)(?<!凌晨)(?<!晚上)一点(?!钟|半|\d)|一下|一会儿?|一起|一样|一些|一定|一直|一边|一般|一切|一旦|一块儿?|第一时间|万一"
    r"|下一步|上一步|这一步|一步一步|一笔一笔|一项一项|十分(?!钟)|千万|唯一|统一|一律|一共|一句|一声|试一试|看一看|说一说"
)
_UNIT = {
    "人": "人", "位": "人", "个": "个", "号": "号", "元": "元", "块": "元", "点": "点", "时": "点", "分": "分", "楼": "楼", "层": "楼",
    "次": "次", "回": "次", "天": "天", "日": "日", "月": "月", "年": "年", "米": "米", "片": "片", "粒": "粒", "滴": "滴", "毫": "毫", "区": "区",
    "室": "室", "诊": "诊", "窗": "窗", "步": "步", "小": "小时", "周": "周", "%": "%", "度": "度",
}  # fmt: skip
# Words that must stay, each group under its first: who pays, where to turn, when, what to bring, what must (not) be.
_KEPT = (
    ("自付", "自己付", "自费", "自己出", "自己掏"), ("医保支付", "医保付", "医保出", "医保报", "医保"), ("一共", "总共", "合计", "共计"),
    ("挂号费",), ("前面", "前边", "前头"), ("叫号", "叫到"), ("等", "等候", "等待"), ("过号",), ("取号", "报到", "签到"), ("缴费", "缴", "交费", "付款"),
    ("退",), ("取消",), ("空腹",), ("憋尿",), ("抽血", "采血"), ("身份证",), ("医保卡", "社保卡"), ("就诊卡",), ("病历",), ("急诊",), ("护士",),
    ("人工",), ("电梯",), ("楼梯",), ("左",), ("右",), ("东",), ("南",), ("西",), ("北",), ("直走", "一直走"), ("上楼",), ("下楼",), ("今天", "今日"), ("明天", "明日"),
    ("后天",), ("昨天",), ("上午", "早上"), ("中午",), ("下午",), ("晚上", "夜里"), ("凌晨",), ("周", "星期", "礼拜"), ("之前", "以前", "前"), ("之后", "以后", "后"),
    ("必须", "一定要", "务必"), ("可以", "能", "可"), ("别", "不要", "不能", "不可以", "不可", "勿", "莫", "禁止", "禁"), ("不用", "不必", "无需"),
    ("没有", "没", "未", "无"), ("不",), ("成功", "好了"), ("失败",), ("已经", "已"), ("重复",), ("自己",),
)  # fmt: skip
_KEPT_AS = {word: group[0] for group in _KEPT for word in group}
_NEUTRAL = re.compile(
    r"不客气|别着急|不着急|不要着急|不用着急|别急|不急|慢慢来|不好意思|对不起|不过|不仅|不但|差不多|可是|可能|目前|当前|以后再|随后|然后|最后|后面|特别|个别|区别|分别|性别|级别|类别"
)
_ASKS = re.compile(r"[??]|[吗么呢][。!]?$|要不要|能不能|是不是|有没有|好不好|行不行|可不可以")
_LATIN = re.compile(r"[A-Za-z]+")
_FACT_WORD = re.compile("|".join(sorted(map(re.escape, _KEPT_AS), key=len, reverse=True)))
_PROMISE = re.compile(
    r"放心|没事|没问题|不要紧|不碍事|不严重|小毛病|正常|健康|治好|治愈|痊愈|保证|肯定|绝对|一定会|包好|无害|安全"
)
_MEDICAL = "病炎癌瘤症药针疫术疗诊毒菌剂敏胰"
_STRANGE = re.compile(r"https?:|www\.|[<>{}\[\]【】〔〕|`#*_=\\]|\n")
_HANZI = re.compile(r"[一-龥]")
_FREE = frozenset(
    "的了吗呢吧呀啊啦哦您你我咱们他她它这那哪是在有就都还也又再才很太真好请帮给把被让和跟到从去来往上下里边面先后说看听问告诉知道想要会能可以一个位点些"
    "现已刚正将过着得地为对于向如果因所但而且或与及等时候慢急心放谢陪稍轻松留意记别忘啰麻烦辛苦需该得走进坐办理号楼处时大概约左右马"
)


@dataclass(frozen=True, slots=True)
class Fact:
    """``kind``: number | latin | name | word. ``value`` is canonical: 「二十五块」 and 「25元」 are both "25元"."""

    at: int
    end: int
    kind: str
    value: str


def facts(text: str, terms: Terms) -> list[Fact]:
    """What a text states, in its order; where two overlap, the name counts, then the number."""
    plain = _NEUTRAL.sub(lambda m: "·" * len(m.group()), text)
    found: list[Fact] = []
    for name in dict.fromkeys(terms(text)):
        found += [Fact(m.start(), m.end(), "name", name) for m in re.finditer(re.escape(name), text)]
    counted = _COUNTS_NOTHING.sub(lambda m: "·" * len(m.group()), plain)
    for match in _NUMBER.finditer(counted):
        unit = _UNIT.get(counted[match.end() : match.end() + 1], "")
        found.append(Fact(match.start(), match.end(), "number", f"{_number(match)}{unit}"))
    found += [Fact(m.start(), m.end(), "latin", m.group().upper()) for m in _LATIN.finditer(text)]
    found += [Fact(m.start(), m.end(), "word", _KEPT_AS[m.group()]) for m in _FACT_WORD.finditer(plain)]
    rank = {"name": 0, "number": 1, "latin": 1, "word": 2}
    found.sort(key=lambda f: (rank[f.kind], -(f.end - f.at), f.at))
    taken: list[Fact] = []
    for fact in found:
        if all(fact.end <= other.at or fact.at >= other.end for other in taken):
            taken.append(fact)
    return sorted(taken, key=lambda f: f.at)


def _number(match: re.Match[str]) -> str:
    if match["half"] or match["past"]:
        return "0.5"
    if match["arabic"]:
        return f"{float(match['arabic']):g}" if len(match["arabic"]) < 15 else match["arabic"]
    text = match["chinese"]
    if not any(c in _UNITS for c in text):
        return "".join(str(_DIGITS[c]) for c in text).lstrip("0") or "0"
    total = part = 0
    digit = 0
    for c in text:
        if c in _DIGITS:
            digit = _DIGITS[c]
        elif c == "万":
            total, part, digit = (total + part + digit) * 10_000, 0, 0
        else:
            part, digit = part + (digit or 1) * _UNITS[c], 0
    return str(total + part + digit)


def unfaithful(original: str, rewrite: str, terms: Terms) -> tuple[str, ...]:
    """The rules that a rewrite of one sentence breaks; empty when it may be said instead.

    empty | strange (links, markup, lines) | longer | facts (a number, name, place, time, medicine or negation dropped,
    added, changed or moved) | question (asked or no longer asked) | promise | medical (a medical word added) | off_topic.
    """
    if not rewrite.strip():
        return ("empty",)
    original, rewrite = one_width(original), one_width(rewrite)
    broken = []
    if _STRANGE.search(rewrite):
        broken.append("strange")
    if len(rewrite) > len(original) * 1.15 + 8:
        broken.append("longer")
    if [(f.kind, f.value) for f in facts(original, terms)] != [(f.kind, f.value) for f in facts(rewrite, terms)]:
        broken.append("facts")
    if bool(_ASKS.search(original)) != bool(_ASKS.search(rewrite)):
        broken.append("question")
    broken += _claims(rewrite, original)
    new = [c for c in _HANZI.findall(rewrite) if c not in original and c not in _FREE]
    if len(new) > max(4, len(rewrite) // 4):
        broken.append("off_topic")
    return tuple(broken)


def _claims(said: str, given: str) -> list[str]:
    broken = []
    if set(_PROMISE.findall(said)) - set(_PROMISE.findall(given)):
        broken.append("promise")
    if any(said.count(c) > given.count(c) for c in _MEDICAL):
        broken.append("medical")
    return broken


_CLAUSE = re.compile(r"[^,。;!?、\n]+")
_COVERED, _CLAUSE_COVERED = 0.75, 0.6


def ungrounded(sentence: str, passage: str, terms: Terms) -> tuple[str, ...]:
    """The rules that a sentence breaks which claims to rest on one passage; empty when the passage carries it.

    empty | strange | longer (over 80 characters) | numbers | names | latin | promise | medical | not_in_passage |
    clause (no single clause of the passage says this, or it says the opposite). The question does not count: it may
    itself suppose what is wrong.
    """
    if not sentence.strip():
        return ("empty",)
    sentence, passage = one_width(sentence), one_width(passage)
    given, said = facts(passage, terms), facts(sentence, terms)
    broken = []
    if _STRANGE.search(sentence):
        broken.append("strange")
    if len(sentence) > 80:
        broken.append("longer")
    for kind, rule in (("number", "numbers"), ("name", "names"), ("latin", "latin")):
        if not _values(said, kind) <= _values(given, kind):
            broken.append(rule)
    if set(_PROMISE.findall(sentence)) - set(_PROMISE.findall(passage)):
        broken.append("promise")
    if any(c in sentence and c not in passage for c in _MEDICAL):
        broken.append("medical")
    if covered(sentence, passage) < _COVERED:
        broken.append("not_in_passage")
    if not all(_said_so(clause, passage) for clause in _CLAUSE.findall(sentence)):
        broken.append("clause")
    return tuple(broken)


def _values(found: Iterable[Fact], kind: str) -> Counter[str]:
    return Counter(f.value for f in found if f.kind == kind)


def _pairs(text: str) -> set[str]:
    """Character pairs of what carries meaning."""
    pairs = (a + b for a, b in zip(text, text[1:], strict=False) if _HANZI.match(a) and _HANZI.match(b))
    return {p for p in pairs if not (p[0] in _FREE and p[1] in _FREE)}


def one_width(text: str) -> str:
    """Letters, digits and stops in one width: a model's 「，」 and ours are the same."""
    return unicodedata.normalize("NFKC", text)


def covered(sentence: str, text: str) -> float:
    """The share of the sentence's character pairs that stand in the text, 0..1."""
    pairs = _pairs(sentence)
    return len(pairs & _pairs(text)) / len(pairs) if pairs else 1.0


_FORBIDS = re.compile(r"不要|不能|不可|不宜|不得|不该|不应|不建议|别|勿|莫|禁|忌|避免")
_DENIES = re.compile(r"不|没|无|未|非")
_OPEN_QUESTION = re.compile(r"要不要|能不能|是不是|有没有|会不会|可不可以|需不需要|多少")
_OPPOSITE = frozenset("多少高低早晚快慢冷热前后上下左右升降增减轻重软硬饱空干湿男女大小粗细长短内外加减")


def _stance(clause: str) -> str:
    if _OPEN_QUESTION.search(clause):
        return "asks"
    plain = _NEUTRAL.sub("", clause)
    return "forbids" if _FORBIDS.search(plain) else "denies" if _DENIES.search(plain) else "states"


def _in_order(some: str, of: str) -> bool:
    """Whether the words of direction and degree of one clause stand in the other, in the same order."""
    given = iter(c for c in of if c in _OPPOSITE)
    return all(c in given for c in some if c in _OPPOSITE)


def _said_so(clause: str, passage: str) -> bool:
    """Whether a clause of the passage says the same: of those that share most with it, one of the same stance."""
    pairs = _pairs(clause)
    if not pairs:
        return True
    scored = [(len(pairs & _pairs(given)), given) for given in _CLAUSE.findall(passage)]
    best = max((score for score, _given in scored), default=0)
    if best < _CLAUSE_COVERED * len(pairs):
        return False
    return any(
        _stance(clause) == _stance(given) and _in_order(clause, given) for score, given in scored if score == best
    )
