"""Words for somebody who listens slowly: one thought a sentence, so that each can be heard, read and said again.

Only full stops are set, nothing is reworded or left out; a sentence with a condition in it stays whole.
"""

import re
from collections.abc import Iterator

# About four seconds of slow speech.
LONGEST = 24
_SENTENCE = re.compile(r"[^。!?；\uff01\uff1f]+[。!?；\uff01\uff1f]?[」』”]?")
_BOUND = re.compile(r"如果|要是|假如|万一|只要|只有|除非|因为|虽然|即使|否则|不然|不要|别|不能|先|再|然后|「|『")
_LAST_ASKS = re.compile(r"[吗呢么?\uff1f]")


def sentences(text: str) -> Iterator[str]:
    """The text in sentences; those that are long and only list facts are cut at their commas."""
    for match in _SENTENCE.finditer(text):
        sentence = match.group().strip()
        if not sentence:
            continue
        if len(sentence) <= LONGEST or _BOUND.search(sentence):
            yield sentence
            continue
        yield from _facts(sentence)


def _facts(sentence: str) -> Iterator[str]:
    """「市一医院眼科,明天上午9点,挂号费20元,好吗?」 → 「市一医院眼科,明天上午9点。」 「挂号费20元,好吗?」"""
    end = sentence[-1] if sentence[-1] in "。!?；\uff01\uff1f" else ""
    pieces = re.split(r"[,\uff0c]", sentence.removesuffix(end))
    held = pieces[0]
    for n, piece in enumerate(pieces[1:], start=1):
        belongs = n == len(pieces) - 1 and len(piece) <= 3 and bool(_LAST_ASKS.search(piece + end))  # 「…,好吗?」
        if len(held) + len(piece) < LONGEST or belongs:
            held = f"{held},{piece}"
        else:
            yield f"{held}。"
            held = piece
    yield f"{held}{end}"
