"""Which syllable each Chinese character is: the hospital's own word, then our phrases, then pypinyin; tones as they change.

The phrases are ours (avatar/data/speech/phrases.tsv): words of a hospital visit whose polyphones a dictionary reads wrongly or
not at all. The longest phrase at a place wins.
"""

from functools import cache, lru_cache
from typing import Any

from pypinyin import Style, pinyin

from avatar.speech_text.tables import rows
from avatar.visemes import canonical_final

_INITIALS = ("zh", "ch", "sh", *"bpmfdtnlgkhjqxrzcsyw")
_APART: Any = list  # what is no Chinese comes back as it is, a character each


def pronounce(said: str, prescribed: dict[int, str]) -> dict[int, str]:
    """Position in ``said`` -> syllable with its tone (``yuan2``, neutral 5), for every character that has a reading.

    ``prescribed`` syllables are taken as they are: no tone changes in them.
    """
    return _changed(said, usual(said) | prescribed, frozenset(prescribed))


def usual(said: str) -> dict[int, str]:
    """As ``pronounce``, with each tone as it is in the word by itself, and nothing prescribed."""
    readings = _dictionary(said)
    for at, char in enumerate(said):
        if char == "得" and at in readings and _follows_a_verb(said, at):
            readings[at] = "de5"
    for at, syllables in _phrases(said):
        for n, syllable in enumerate(syllables):
            if at + n in readings:
                readings[at + n] = syllable
    return readings


# Behind these 得 is a verb of its own, and before those as well: 我得…, 会得…; 得病, 得癌.
_NO_VERB_BEFORE = frozenset("我你您他她它们也就都还必须总只曾会能不可易先又再刚没人者谁")
_OBJECT_BEHIND = frozenset("病癌了到过的分奖知以出")


def _follows_a_verb(said: str, at: int) -> bool:
    """等得久, 掉得快: 得 between what is done and how."""
    before, behind = said[at - 1 : at] if at else "", said[at + 1 : at + 2]
    return (
        "\u4e00" <= before <= "\u9fff"
        and "\u4e00" <= behind <= "\u9fff"
        and not (before in _NO_VERB_BEFORE or behind in _OBJECT_BEHIND)
    )


def _dictionary(said: str) -> dict[int, str]:
    read = pinyin(said, style=Style.TONE3, neutral_tone_with_five=True, errors=_APART)
    return {at: syllable for at, (syllable,) in enumerate(read) if syllable[-1] in "12345" and known(syllable)}


@cache
def _table() -> tuple[dict[str, tuple[str, ...]], int]:
    table = {row[0]: tuple(row[1].split()) for row in rows("phrases.tsv")}
    return table, max(map(len, table))


def _phrases(said: str) -> list[tuple[int, tuple[str, ...]]]:
    table, longest = _table()
    found: list[tuple[int, tuple[str, ...]]] = []
    at = 0
    while at < len(said):
        for length in range(min(longest, len(said) - at), 0, -1):
            syllables = table.get(said[at : at + length])
            if syllables:
                found.append((at, syllables))
                at += length
                break
        else:
            at += 1
    return found


def _changed(said: str, readings: dict[int, str], fixed: frozenset[int]) -> dict[int, str]:
    """Tones as they change before others: 一 and 不, then a third tone before a third.

    In a run of third tones every one but the last rises, which is how a run is read at an even pace.
    """
    changed = dict(readings)
    for at, char in enumerate(said):
        if at in fixed or at not in readings or readings[at].endswith("5"):
            continue
        following = readings.get(at + 1, "")
        before = said[at - 1 : at]
        changed[at] = {"一": "yi1", "不": "bu4"}.get(char, changed[at])
        if char == "不" and following.endswith("4"):
            changed[at] = "bu2"
        elif char == "一" and following and not _counts(before, said[at + 1]):
            changed[at] = "yi2" if following[-1] == "4" or said[at + 1] == "个" else "yi4"
        elif readings[at].endswith("3") and following.endswith("3") and at + 1 not in fixed:
            changed[at] = readings[at][:-1] + "2"
    return changed


def _counts(before: str, behind: str) -> bool:
    """Whether 一 is a digit or an ordinal, which keeps its first tone."""
    return before in tuple("第初零二三四五六七八九十幺点周期") or behind in tuple(
        "零一二三四五六七八九十月号日楼级型期区室分点"
    )


def split(pinyin: str) -> tuple[str, str, int]:
    """``yuan2`` -> ("", "van", 2), ``xiong1`` -> ("x", "iong", 1), ``ng2`` -> ("", "ng", 2). Raises ``KeyError``."""
    tone = int(pinyin[-1]) if pinyin[-1].isdigit() else 5
    plain = pinyin.rstrip("012345").replace("ü", "v")
    if plain in ("m", "n", "ng", "ê"):
        return "", plain, tone
    initial = next((name for name in _INITIALS if plain.startswith(name)), "")
    final = canonical_final(plain[len(initial) :], initial)
    return ("" if initial in ("y", "w") else initial), final, tone


@lru_cache(maxsize=4096)
def known(syllable: str) -> bool:
    """Whether it is a syllable of Mandarin, with its tone or without."""
    try:
        return bool(split(syllable))
    except (KeyError, IndexError):
        return False
