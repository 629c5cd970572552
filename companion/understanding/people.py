"""Who a sentence is about: family words, in city speech and dialect, as a relation, sex and rough age."""

import re
from dataclasses import dataclass
from typing import Any

from companion.understanding.numerals import number


@dataclass(frozen=True, slots=True)
class Person:
    """``relation`` in the words of the family list; ``sex`` "" and ``age_years`` None where the word does not say."""

    relation: str
    word: str
    sex: str = ""
    age_years: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return {"relation": self.relation, "word": self.word, "sex": self.sex, "age_years": self.age_years}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Person":
        return cls(data["relation"], data["word"], data.get("sex", ""), data.get("age_years"))


# relation, sex, words; longer words first within one alternation.
_WORDS: tuple[tuple[str, str, str], ...] = (
    ("本人", "", "我自己|我本人|自己|本人|俺自个儿?|我个人"),
    ("其他", "female", "奶奶|姥姥|外婆|阿婆|外祖母|婆婆|岳母|丈母娘|姑妈|姑姑|姨妈|小姨|舅妈|婶婶|阿姨|嫂子|姐姐|妹妹|我姐|我妹|儿媳妇|儿媳"),
    ("其他", "male", "爷爷|姥爷|外公|阿公|外祖父|公公|岳父|老丈人|姑父|姨夫|舅舅|叔叔|伯伯|大爷|哥哥|弟弟|我哥|我弟|女婿"),
    ("孙辈", "male", "小孙子|大孙子|孙子|外孙子?|孙儿|孙娃"),
    ("孙辈", "female", "小孙女|大孙女|孙女儿?|外孙女"),
    ("父亲", "male", "我爸|爸爸|老爸|父亲|我爹|老爹|爹爹|老爷子|俺爹|俺爸|阿爸|老汉儿|老父亲|我父"),
    ("母亲", "female", "我妈|妈妈|老妈|母亲|我娘|老娘|俺娘|俺妈|阿妈|阿娘|老母亲|老太太|我母"),
    ("爱人", "male", "老头子|老头儿?|我老公|老公|丈夫|当家的|我家先生|我先生|孩子他爸|孩子他爹|娃他爸|男人"),
    ("爱人", "female", "老婆子|老太婆|我老婆|老婆|妻子|我太太|孩子他妈|孩子他娘|屋里头?的|媳妇儿?"),
    ("爱人", "", "我爱人|爱人|老伴儿?|我对象|那口子|另一半"),
    ("子女", "male", "我儿子|儿子|我儿(?!媳|科|童|保)|小子|崽崽?|仔仔"),
    ("子女", "female", "我女儿|女儿|闺女|我女(?!婿)|囡囡|囡"),
    ("子女", "", "宝宝|小孩儿?|孩子|小朋友|娃娃?|小家伙|毛毛|细佬|伢儿?|细伢子"),
    ("其他", "", "邻居|朋友|同事|亲戚|室友|同学|工友|路人|有个人|一个人"),
)  # fmt: skip
_PATTERN = re.compile("|".join(f"(?P<w{n}>{words})" for n, (_r, _s, words) in enumerate(_WORDS)))
# The word names who acts or speaks, not who is ill: 「我女儿让我来看」, 「儿子带我来的」.
_ACTING = re.compile(
    r"^(?:们)?(?:都)?(?:让|叫|说|带|陪|送|劝|逼|催|给我|帮我|替我|教|告诉|打电话|不在|在外|上班|也有|也是|也得)"
)
_NOT_A_PERSON = re.compile(r"^(?:病|气|话|科|票|痘|痣|奶粉|节)")
_BEFORE = re.compile(r"(?:遗传|随|像|传染给|怀了?|生(?:了|过)?(?:个)?|想要|要个|跟|和|带|抱|看|接|照顾|背|没有|的)$")
_AGE = re.compile(
    r"(?P<n>\d{1,3}|[一二两三四五六七八九十百]{1,4})(?P<half>半)?(?:个)?(?P<unit>周?岁(?P<after>半)?|个?多?月(?:大|龄|了|的)|天大|月大)"
)


def find_person(text: str) -> Person | None:
    """The person the sentence is about, when it names one; None for the one the talk is about anyway."""
    for match in _PATTERN.finditer(text):
        rest, before = text[match.end() :], text[: match.start()]
        if _ACTING.match(rest) or _NOT_A_PERSON.match(rest):
            continue
        relation, sex, _words = _WORDS[int(str(match.lastgroup)[1:])]
        if relation in ("子女", "孙辈") and _BEFORE.search(before) and not before.endswith(("给", "帮", "替")):
            continue
        if relation == "其他" and sex == "" and not re.search(r"我|帮|给|替", before + match.group()):
            continue
        infant = 0.5 if match.group() in ("宝宝", "毛毛") else None
        return Person(relation, match.group().removeprefix("我"), sex, said_age(text) or infant)
    return None


def said_age(text: str) -> float | None:
    """An age in years that the text states: 「三岁半」 3.5, 「八个月大」 0.67, 「68岁」 68."""
    match = _AGE.search(text)
    if match is None:
        return None
    words = match["n"]
    try:
        count = float(words) if words.isdecimal() else float(_number(words))
    except ValueError:
        return None
    if match["half"] or match["after"]:
        count += 0.5
    if "月" in match["unit"]:
        return round(count / 12, 2)
    return round(count / 365, 3) if "天" in match["unit"] else count


def _number(words: str) -> int:
    hundreds, hundred, rest = words.rpartition("百")
    return (number(hundreds) * 100 if hundred else 0) + (number(rest.removeprefix("零")) if rest else 0)
