"""An answer composed from passages, with a confidence; None where the honest answer is 「我不确定」.

The confidence is made of three things: whether an entry is named, whether a section of it is asked for, and how much
of the question's remaining content that entry speaks of. Its threshold is calibrated on
tests/companion/data/knowledge_questions.yaml.
"""

import re
from dataclasses import replace

import numpy as np

from companion.knowledge.library import Library
from companion.knowledge.medicines import cautions_for
from companion.knowledge.retrieval import bigrams
from companion.knowledge.sections import COMPANIONS, DEFAULTS, aspect, aspect_words, range_words
from companion.knowledge.values import Answer, LaboratoryItem, MedicineEntry, Passage

THRESHOLD = 0.5
_LONGEST = 120
# What no entry can know: chances, prices, people, places, and doses for one person.
_BEYOND = re.compile(
    r"多少钱|价格|费用|贵不贵|能活|活多久|寿命|治愈率|存活率|几率|概率|哪个(?:医生|大夫|专家|医院|牌子)|哪家|最好的|谁看得好"
    r"|第几代|新出的|进口的|国产的|偏方|祖传|根治|保证|绝对|百分之百|电话|地址|怎么走|几点(?:上班|开门|下班)|天气|股票|彩票|算命|基因编辑|量子|磁疗|石墨烯|能量水|蜂胶|酵素|保健品|干细胞|狗能|猫能|给(?:狗|猫)|我家(?:狗|猫)"
    r"|(?:一次|每次|一天).{0,4}[一二两三四五六七八九十\d](?:片|粒|颗|袋|支|个?单位).{0,4}(?:可以|行|成|够)|(?:该|应该|得)(?:吃|打|用)(?:几|多少)(?:片|粒|颗|个?单位)"
    r"|几个单位|我(?:这|是不是|会不会).{0,6}(?:癌|肿瘤)|良性|恶性|影子|靶向|生物制剂"
)
_EMPTY = re.compile(
    r"请问|我想问|想问|问一下|问问|您好|你好|医生|大夫|小岚|我|你|您|他|她|它|们|咱|的|了|吗|呢|啊|呀|吧|嘛|么|是|有|这|那|就|也|都|还|很|太|会|能|要"
    r"|想|和|跟|与|或|在|给|把|被|让|对|到|得|着|过|个|一下|一直|老是|总是|总|老|最近|这几天|几天|现在|平时|有点|有些|感觉|觉得|可以|可不可以"
    r"|能不能|应该|需要|怎么|怎样|如何|什么|为什么|哪些|多少|几|时候|情况|问题|知道|告诉|说|讲|办|做|吃|用|看|去|来|好|不|没|药|病|检查|今天|昨天"
)
_TWO = re.compile(r"一起|同时|同服|同吃|合用|一块|混着|搭配|还能(?:吃|用)|能(?:吃|用)|冲突|相互|再吃|又吃")
_RANK = {"procedure": 4, "medicine": 3, "laboratory": 2, "examination": 2, "reason": 1}
# How sure a name alone makes us. What is said of a reason or a step of a visit fits whatever else was asked; of a
# medicine it may not.
_NAMED = {"procedure": 0.52, "reason": 0.52, "medicine": 0.42, "laboratory": 0.5, "examination": 0.46}
# A result is spoken of, not the taking of it.
_VALUE = re.compile(
    r"[\d一二三四五六七八九十百](?:点|\.)[\d一二三四五六七八九]|[一二三四五六七八九]百|高不高|低不低|算不算|偏高|偏低"
)
# A name in pieces counts less than one that is said.
_IN_PIECES, _LESS_SURE = 1.5, 0.06
_EXAMINING = re.compile(r"检查|空腹|做|照|拍|查|报告|结果")


def compose(
    library: Library,
    question: str,
    *,
    context: str | None = None,
    age_years: float | None = None,
    sex: str | None = None,
) -> Answer | None:
    """See companion.knowledge.ask."""
    plain = library.spoken.plain(question[:_LONGEST])
    if not plain or _BEYOND.search(plain):
        return None
    named = library.lexicon.matches(plain)
    if not named and context:
        plain = library.spoken.plain(f"{context} {question}"[:_LONGEST])
        named = library.lexicon.matches(plain)
    pair = _pair(plain, named)
    if pair is not None:  # of one of them alone was not asked
        return _together(library, *pair)
    chosen = _choose(library, plain, named)
    if chosen is None:
        return None
    kind, entry_id, confidence = chosen
    if confidence < THRESHOLD:
        return None
    found = _sections(library, kind, entry_id, plain, age_years, sex)
    if not found:
        return None
    text = "".join(p.text if p.text.endswith("。") else f"{p.text}。" for p in found)
    return Answer(text, tuple(found), round(confidence, 3))


def _choose(
    library: Library, plain: str, named: list[tuple[int, int, list[tuple[str, str]]]]
) -> tuple[str, str, float] | None:
    """The entry that the question is most likely about, and how sure we are."""
    best: tuple[float, str, str, float] | None = None
    spans = [(start, end) for start, end, _ in named]
    for start, end, entries in named:
        for kind, entry_id in entries:
            found = _weighed(library, kind, entry_id, plain, spans)
            weight = found[0] + (end - start) - 0.01 * start
            if kind == "reason" and _EXAMINING.search(plain) and len(entries) > 1:
                weight -= 1
            if best is None or weight > best[0]:
                best = (weight, kind, entry_id, found[1])
    for near in library.pieces.near(plain):
        for kind, entry_id in near.entries:
            if kind == "medicine" and near.word not in plain:
                continue  # a medicine is only spoken of when it is named
            found = _weighed(library, kind, entry_id, plain, [(n, n + 1) for n in near.at])
            weight = found[0] + len(near.word) * near.covered - _IN_PIECES
            if best is None or weight > best[0]:
                best = (weight, kind, entry_id, found[1] - _LESS_SURE)
    if best is not None:
        return best[1], best[2], min(0.99, best[3])
    return _by_content(library, plain)


def _weighed(
    library: Library, kind: str, entry_id: str, plain: str, spans: list[tuple[int, int]]
) -> tuple[float, float]:
    """(how much speaks for this entry beside its name, how sure the name and the rest make us)."""
    asked = aspect(kind, plain)
    cover = _cover(library, kind, entry_id, plain, spans)
    weight = (
        2.0 * bool(asked) + 1.5 * _RANK[kind] + 3 * cover + 2.0 * (kind == "laboratory" and bool(_VALUE.search(plain)))
    )
    return weight, _NAMED[kind] + 0.18 * bool(asked) + 0.4 * cover


def _by_content(library: Library, plain: str) -> tuple[str, str, float] | None:
    """The entry whose passage is most alike, where the question names none."""
    scores = library.index.scores(plain)
    at = int(scores.argmax()) if len(scores) else -1
    if at < 0 or scores[at] <= 0:
        return None
    passage = library.passages[at]
    cover = _cover(library, passage.kind, passage.entry_id, plain, [])
    content = _content(plain, passage.kind, [])
    # A medicine is only spoken of when it is named, and one pair of characters is too little to go by.
    if passage.kind == "medicine" or len(np.unique(bigrams(content))) < 2:
        return None
    return passage.kind, passage.entry_id, 0.75 * cover


def _content(plain: str, kind: str, spans: list[tuple[int, int]]) -> str:
    """What is left of a question without the names, the words of its aspect, and empty words."""
    characters = list(plain)
    for start, end in [*spans, *aspect_words(kind, plain)]:
        characters[start:end] = " " * (end - start)
    return _EMPTY.sub(" ", "".join(characters))


def _cover(library: Library, kind: str, entry_id: str, plain: str, spans: list[tuple[int, int]]) -> float:
    """How much of the question's remaining content the entry speaks of, weighed by rareness; 0..1."""
    grams = np.unique(bigrams(_content(plain, kind, spans)))
    if not len(grams):
        return 0.6
    weights = np.array([library.index.idf(gram) for gram in grams])
    there = np.isin(grams, library.grams_of(kind, entry_id), assume_unique=True)
    return float((weights * there).sum() / weights.sum())


def _sections(
    library: Library, kind: str, entry_id: str, plain: str, age_years: float | None, sex: str | None
) -> list[Passage]:
    texts = library.by_entry[kind, entry_id]
    asked = aspect(kind, plain)
    wanted: tuple[str, ...] = DEFAULTS[kind]
    if asked:
        wanted = (asked, *COMPANIONS.get((kind, asked), ()))
        if asked not in texts:
            wanted = ("cautions", "call") if kind == "medicine" else DEFAULTS[kind]
    found = [texts[name] for name in wanted if name in texts]
    item = library.shelf.laboratory.get(entry_id) if kind == "laboratory" else None
    if isinstance(item, LaboratoryItem) and age_years is not None:
        fitting = range_words(item, age_years=age_years, sex=sex)
        found = [replace(p, text=fitting) if p.section == "range" and fitting else p for p in found]
    return found


def _pair(plain: str, named: list[tuple[int, int, list[tuple[str, str]]]]) -> tuple[str, str] | None:
    """The two medicines that a question sets beside each other."""
    ids = list(dict.fromkeys(e for _, _, entries in named for kind, e in entries if kind == "medicine"))
    return (ids[0], ids[1]) if len(ids) == 2 and _TWO.search(plain) else None


def _together(library: Library, first: str, second: str) -> Answer | None:
    """What is known of two medicines together, or nothing."""
    one, other = library.shelf.medicines[first], library.shelf.medicines[second]
    found = _between(library, one, other)
    if not found:
        return None
    passages = tuple(
        Passage(
            f"{one.id}.with.{other.id}",
            one.id,
            "medicine",
            f"{one.name}和{other.name}",
            "together",
            text,
            source,
            one.review,
        )
        for text, source in found
    )
    return Answer("".join(p.text for p in passages) + "先问医生或药师，别自己停药、加药。", passages, 0.9)


def _between(library: Library, one: MedicineEntry, other: MedicineEntry) -> list[tuple[str, str]]:
    cautions = cautions_for(one, [other], library.shelf.interactions.values(), age_years=30)
    return [(c.text, c.source) for c in cautions if c.text.startswith(f"和{other.name}")]
