"""Who it is about and how long, how hot, how bad: plain facts read from the words, no department yet."""

import re
from dataclasses import replace
from typing import Any

from companion.safety import Scope
from companion.triage.lexicon import Lexicon
from companion.triage.values import Facts, Mention

_DIGITS = {c: i for i, c in enumerate("零一二三四五六七八九")} | {
    "两": 2,
    "俩": 2,
    "半": 0.5,
    "几": 3,
    "多": 0,
    "来": 0,
}
_NUMBER = r"(\d+(?:\.\d+)?|[零一二两俩三四五六七八九十百半几]+)"
_YEARS = re.compile(
    rf"{_NUMBER}(?:来|多)?(?:周)?岁(?:半)?|(?:今年|年龄|年纪|虚岁|周岁)(?:是|有|:)?{_NUMBER}(?!年|天|个|次|月|斤)|年龄{_NUMBER}"
)
_MONTHS = re.compile(
    rf"{_NUMBER}(?:个)?(?:多|半)?月(?:龄|大)|(?:宝宝|孩子|婴儿|娃|孙子|孙女|儿子|女儿|宝贝|闺女){{1}}[^，,。]{{0,4}}?(?:才|刚|有)?{_NUMBER}个(?:多|半)?月(?!前|没|来|了没)|{_NUMBER}个(?:多|半)?月的?(?:宝宝|孩子|婴儿|娃|小孩|宝贝|男宝|女宝)"
)
_DAYS_OLD = re.compile(rf"出生(?:才|刚)?{_NUMBER}(?:多)?天|{_NUMBER}天(?:大|的(?:宝宝|婴儿|新生儿|娃))")
_DURATION = re.compile(
    rf"{_NUMBER}(?:多|几|来)?(?:个)?(?:多|半)?(小时|钟头|天|日|晚上?|宿|夜|周|星期|礼拜|月|年|分钟)(?!岁|大|的(?:宝|孩|娃|婴)|后再|一次|\d?次)"
)
_UNIT_DAYS = {
    "分钟": 1 / 1440,
    "小时": 1 / 24,
    "钟头": 1 / 24,
    "天": 1,
    "日": 1,
    "晚": 1,
    "晚上": 1,
    "宿": 1,
    "夜": 1,
    "周": 7,
    "星期": 7,
    "礼拜": 7,
    "月": 30,
    "年": 365,
}
_HEAT = re.compile(
    r"(?<![\d.])(3[5-9]|4[0-2])(?:[.点](\d))?(?=度|℃|c|多|[，,。!、 ]|$|了|左右|到|的|-|~)|三十([六七八九])度([一二三四五六七八九半])?"
)
_SEVERE = re.compile(
    r"剧烈|特别(?:疼|痛|厉害|难受)|要命|受不了|疼死|痛死|忍不了|忍不住|打滚|非常(?:疼|痛|难受)|钻心|疼醒|痛醒|厉害|加重|越来越(?:疼|痛|重|厉害)|直不起|下不了地|走不了"
)
_MILD = re.compile(r"轻微|有点|有些|稍微|一点点|隐隐|偶尔|时不时|不严重|不厉害|略")
_SIDE = re.compile(r"左|右|两侧|双侧|两边|双")
_FEMALE = re.compile(
    r"女性|女[,，。]|性别[:：]?女|本人女|我是女|女 |女生|女士|\d岁女|月经|例假|大姨妈|怀孕|孕妇|白带|卵巢|子宫|阴道|(?:我是|本人)[^，。]{0,10}女"
)
_MALE = re.compile(
    r"男性|男[,，。]|性别[:：]?男|本人男|我是男|男 |男生|男士|\d岁男|前列腺|阴茎|睾丸|包皮|龟头|阳痿|早泄|蛋蛋|卵子疼|媳妇|我老婆|跟老婆|(?:我是|本人)[^，。]{0,10}男"
)
_NOT_PREGNANT = re.compile(
    r"没(?:有)?怀孕|不是怀孕|未怀孕|没怀上|怀不上|备孕|想怀孕|准备怀孕|怀孕前|避孕|会不会怀孕|是不是怀孕|能怀孕|容易怀孕|会怀孕|影响怀孕|不怀孕|难怀孕|怀孕吗|怀孕概率|怀孕几率|意外怀孕|怎么怀孕|如何怀孕|怀孕了吗|没有怀孕|可能怀孕|可以怀孕|未孕"
)


_OLD = re.compile(
    rf"(?:爸|妈|爷|奶|姥|公|婆|老头|老太太|老伴|老汉|大爷|大娘|父亲|母亲|爹|娘)(?:都|快|今年)?{_NUMBER}(?:多)?了"
)


def number(text: str) -> float:
    """A number in digits or Chinese numerals up to 999."""
    try:
        return float(text)
    except ValueError:
        pass
    if text == "半":
        return 0.5
    total, current = 0.0, 0.0
    for char in text:
        if char == "十":
            total += (current or 1) * 10
            current = 0
        elif char == "百":
            total += (current or 1) * 100
            current = 0
        else:
            current = float(_DIGITS.get(char, 0))
    return total + current


def _first(match: re.Match[str] | None) -> float | None:
    if match is None:
        return None
    return next((number(group) for group in match.groups() if group), None)


def _age(text: str) -> float | None:
    days = _first(_DAYS_OLD.search(text))
    if days is not None:
        return round(days / 365, 3)
    months = _first(_MONTHS.search(text))
    if months is not None and months <= 36:
        return round(months / 12, 3)
    years = _first(_YEARS.search(text))
    if years is not None and 0 <= years <= 120:
        return years
    old = _first(_OLD.search(text))
    return old if old is not None and 40 <= old <= 110 else None


def _temperature(text: str) -> float | None:
    highest = None
    for match in _HEAT.finditer(text):
        if match[1]:
            value = float(match[1]) + (float(match[2]) / 10 if match[2] else 0.0)
        else:
            tail = match[4]
            value = 30 + number(match[3]) + (0.5 if tail == "半" else number(tail) / 10 if tail else 0.0)
        highest = value if highest is None else max(highest, value)
    return highest


_WEEKS_PREGNANT = re.compile(rf"(?:怀孕|孕|怀|停经)(?:了|有|已经)*{_NUMBER}(?:多)?个?(?:多|半)?(?:周|月|天)(?:多|加)?")


def _duration(text: str) -> float | None:
    """The longest time said, in days; the weeks of a pregnancy or a baby's months are not those."""
    text = _MONTHS.sub("", _WEEKS_PREGNANT.sub("", text))
    longest = None
    for match in _DURATION.finditer(text):
        days = number(match[1]) * _UNIT_DAYS[match[2]]
        if 0 < days <= 36500:
            longest = days if longest is None else max(longest, days)
    return longest


_NO_CHILD_YET = re.compile(
    r"(?:想|准备|打算|要不上|还能|能不能|可以|计划|考虑|没有?)(?:再|要|生|怀)*(?:个|上)?(?:二胎|孩子|小孩|宝宝|娃)"
    r"|(?:要|生|怀|带|抱|看见|看到|照顾|接送|哄|背)(?:个|完|了|过|着|不上|[一二两三四五\d]|的)*(?:孩子|小孩|宝宝|娃|小宝|孙子|孙女)|毛毛[虫雨刺]|(?:对|影响|伤)(?:到)?(?:孩子|宝宝|胎儿|小孩)"
    r"|肚子?里的?(?:孩子|宝宝|娃)"
)


def _without_unborn(text: str) -> str:
    return _NO_CHILD_YET.sub(lambda match: "□" * len(match[0]), text)


_OTHERS_PARENT = re.compile(
    r"(?:孩子|孩儿|娃|宝宝|儿子|女儿)(?=(?:他|她)?(?:奶奶?|爷爷?|姥姥|姥爷|外公|外婆|爸爸?|妈妈?|爹|娘)(?!说))"
)


def _person(text: str, lexicon: Lexicon) -> dict[str, str] | None:
    """The person mentioned first; at one place the longest word wins. A child wished for or cared for is nobody ill."""
    text = _OTHERS_PARENT.sub("□", _without_unborn(text))
    best: tuple[int, int] | None = None
    row = None
    for word, candidate in lexicon.people.items():
        at = text.find(word)
        if at >= 0 and (best is None or (at, -len(word)) < best):
            best, row = (at, -len(word)), candidate
    return row


def read_facts(
    scope: Scope,
    lexicon: Lexicon,
    found: tuple[Mention, ...],
    *,
    age_years: float | None,
    sex: str | None,
    known: dict[str, Any],
) -> Facts:
    """The facts of one text; what the caller knows (age, sex, ``known`` risks) comes before what the words suggest."""
    text = scope.text
    person = _person(text, lexicon)
    said_age = _age(_without_unborn(text))
    age = (
        said_age if said_age is not None else age_years if person is None or known.get("about_patient", True) else None
    )
    low = float(person["age_low"]) if person and person["age_low"] else None
    high = float(person["age_high"]) if person and person["age_high"] else None
    if said_age is None and age_years is not None and person is not None:
        fits = (low is None or age_years >= low) and (high is None or age_years <= high)
        age = age_years if fits else None
    if age is not None:
        low = high = None
    if person and person["sex"]:
        told_sex = person["sex"]
    elif _FEMALE.search(text) and not _MALE.search(text):
        told_sex = "female"
    elif _MALE.search(text) and not _FEMALE.search(text):
        told_sex = "male"
    else:
        told_sex = sex or ""
    risks, denied = [], []
    for risk, row in lexicon.risks.items():
        said = known.get(risk)
        if said is True:
            risks.append(risk)
            continue
        if said is False:
            denied.append(risk)
            continue
        for word in row["words"]:
            at = text.find(word)
            if at < 0:
                continue
            if risk == "pregnant" and (_NOT_PREGNANT.search(text) or told_sex == "male"):
                break
            (denied if scope.negated(at, at + len(word)) else risks).append(risk)
            break
    oldest = age if age is not None else low
    if (oldest is not None and oldest >= 65) and "elder" not in risks:
        risks.append("elder")
    youngest = age if age is not None else None
    if youngest is not None and youngest < 1:
        risks.append("infant")
        if youngest < 0.25:
            risks.append("newborn")
    severity = "severe" if _SEVERE.search(text) else "mild" if _MILD.search(text) else ""
    side = _SIDE.search(text)
    facts = Facts(
        about=person["who"] if person else "self",
        age_years=age,
        age_low=low,
        age_high=high,
        sex=told_sex,
        pregnant="pregnant" in risks,
        risks=tuple(dict.fromkeys(risks)),
        denied_risks=tuple(dict.fromkeys(denied)),
        duration_days=_duration(text),
        temperature_c=_temperature(text),
        severity=severity,
        side=side[0] if side else "",
        asks_only=scope.knowledge and not scope.live and not any(m.kind != "disease" and m.counts == 1 for m in found),
    )
    if facts.duration_days is not None:
        facts = replace(
            facts, course="long" if facts.duration_days > 60 else "new" if facts.duration_days <= 14 else ""
        )
    return facts
