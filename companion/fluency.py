"""Where a language model helps the conversation: softer words, wishes nobody foresaw, answers made of given entries.

It may reword what a skill decided to say (companion.llm.faithful refuses a rewrite that changes a fact), name a wish
when the rules understood nothing (slots are read by our own parsers, people and hospitals never come from it), and put
retrieved knowledge entries into short sentences, each with the entry it rests on. Red flags are looked for before any
of this, and every sentence still passes ``check``. When the model is away, slow or refused, the skills' own words are
said, within the budgets of ``Allowed``.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import structlog
import yaml

from companion import knowledge
from companion.events import Event, Say, ShowCard
from companion.exceptions import CompanionError
from companion.llm.base import (
    LanguageModelError,
    Message,
    ModelNonsense,
    ModelStalled,
    ModelUnavailable,
    Patience,
    TextDelta,
)
from companion.llm.faithful import covered, unfaithful, ungrounded
from companion.llm.gateway import Gateway
from companion.llm.masking import Mask
from companion.ports.people import PersonView
from companion.understanding import UNKNOWN, Context, Understanding, Wish, understand
from companion.understanding.names import DEPARTMENTS, find_practitioner

log = structlog.get_logger(__name__)

_DATA = Path(__file__).parent / "data" / "dialogue" / "model.yaml"
_LONGEST_QUESTION = 200
_SHORTEST_REWORDED = 14  # characters; shorter sentences are as short and plain as they get
_MOST_SENTENCES = 4
_SCORE = 2.4  # of a wish a model named: below what the rules are sure of
_LINE = re.compile(r"^\s*[\[【]?(\d{1,2})[\]】]?\s*[|\uff5c]\s*(.*?)\s*$")
# Skills whose words are never touched: danger, prescriptions, results, who she is, and saying the same again.
_OWN_WORDS = frozenset({"emergency", "guard", "human", "medicine", "report", "people", "manner", "triage", "health"})
_LABELS = re.compile(r"AI|人工智能|不是医生|不是真人")
_MUST_SAY = re.compile(r"急诊|120|马上|立即|立刻|尽快|当天|去医院|就医|看医生|过敏|孕|儿童|老人")
REST = "更多内容写在卡片上。"


class Verdict(Protocol):
    """What ``safety.check_reply`` answers."""

    @property
    def ok(self) -> bool: ...


Check = Callable[[str, tuple[str, ...]], Verdict]


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the model may cost her in waiting, in seconds. ``first_sentence_s`` holds for an answer from entries.

    ``reword_most``: sentences of a turn that may wait for the model. ``reword_first``: whether even the first sentence of a turn waits for the model; else it is said at once, and the
    model works while it is spoken.
    """

    reword: Patience = Patience(first_s=0.8, between_s=0.5, whole_s=1.2)
    understand: Patience = Patience(first_s=1.5, between_s=1.0, whole_s=2.5)
    answer: Patience = Patience(first_s=1.5, between_s=1.5, whole_s=8.0)
    first_sentence_s: float = 2.5
    reword_first: bool = False
    reword_most: int = 3


@lru_cache(maxsize=1)
def told() -> dict[str, Any]:
    """The prompts and the wishes a model may name, from data/dialogue/model.yaml."""
    data: dict[str, Any] = yaml.safe_load(_DATA.read_text(encoding="utf-8"))
    return data


@lru_cache(maxsize=1)
def _wish_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "intent": {"type": "string", "enum": [*told()["intents"], "none"]},
            "department": {"type": "string", "enum": ["", *_standard_departments()]},
            "when": {"type": "string", "maxLength": 20},
            "hospital": {"type": "string", "maxLength": 30},
            "sure": {"type": "boolean"},
        },
        "required": ["intent", "department", "when", "hospital", "sure"],
        "additionalProperties": False,
    }


def _standard_departments() -> tuple[str, ...]:
    return tuple(dict.fromkeys(DEPARTMENTS.by_word.values()))


@lru_cache(maxsize=1)
def _wish_prompt() -> str:
    intents = "\n  ".join(f"{name}:{meaning}" for name, meaning in told()["intents"].items())
    prompt: str = told()["understand"]
    return prompt.replace("{intents}", intents).replace("{departments}", "、".join(_standard_departments()))


@dataclass(slots=True)
class Fluency:
    """A model's help for one turn. ``hospital_id``: the session's tenant, whose tokens are spent.

    ``names``: people to hide and to keep, ``family`` more of them; ``note`` is what the quality loop records. After a
    failure the model is not asked again in this turn, so that one slow model costs her one budget.
    """

    gateway: Gateway
    check: Check
    hospital_id: str
    today: date
    names: tuple[str, ...] = ()
    family: Callable[[], Awaitable[Iterable[PersonView]]] | None = None  # more names, fetched when first needed
    allowed: Allowed = Allowed()
    note: dict[str, Any] = field(default_factory=dict)
    tired: bool = False
    asked: int = 0  # to reword, in this turn

    # --- softer words -------------------------------------------------------------------------------------
    async def spoken(
        self, events: AsyncIterator[Event], skill: Callable[[], str], question: str
    ) -> AsyncIterator[Event]:
        """The turn's events, in order; sentences reworded and answers retold where that is allowed and succeeds.

        ``skill``: the name of the skill that speaks at that moment.
        """
        first = True
        pending: Say | None = None  # a sentence with sources waits for its card, which holds the entries
        try:
            async with aclosing(events) as stream:  # type: ignore[type-var]
                async for event in stream:
                    if pending is not None:
                        own, pending = pending, None
                        async for said in self._retold(own, event, question):
                            yield said
                    if not isinstance(event, Say):
                        yield event
                        continue
                    if event.sources and not event.urgent and not self.tired:
                        pending = event
                    elif self._may_reword(event, skill()) and not (first and not self.allowed.reword_first):
                        yield await self.reworded(event)
                    else:
                        yield event
                    first = False
        except CompanionError:
            if pending is not None:
                yield pending
            raise
        if pending is not None:
            yield pending

    def _may_reword(self, said: Say, skill: str) -> bool:
        return not (
            self.tired
            or self.asked >= self.allowed.reword_most
            or said.urgent
            or said.mood == "concern"
            or said.sources
            or skill in _OWN_WORDS
            or len(said.text) < _SHORTEST_REWORDED
            or _LABELS.search(said.text)
        )

    async def reworded(self, said: Say) -> Say:
        """The sentence in warmer, shorter words if they say the same; else as it is."""
        self.asked += 1
        messages = [Message("system", told()["reword"]), Message("user", said.text)]
        try:
            text = (await self._whole(messages, self.allowed.reword)).strip().strip('「」"\u201c\u201d')
        except LanguageModelError as error:
            self._failed("reword", error)
            return said
        broken = unfaithful(said.text, text, self._terms)
        if broken or not self.check(text, ()).ok:
            self._refused("reword", broken or ("guard",))
            return said
        self.note["reworded"] = self.note.get("reworded", 0) + 1
        return replace(said, text=text)

    async def _whole(self, messages: Sequence[Message], patience: Patience) -> str:
        parts = self.gateway.stream(
            messages,
            hospital_id=self.hospital_id,
            today=self.today,
            mask=await self._mask(),
            patience=patience,
            max_tokens=200,
        )
        text = ""
        async with aclosing(parts) as stream:  # type: ignore[type-var]
            async for part in stream:
                if not isinstance(part, TextDelta):
                    raise ModelNonsense(code="model_called_a_tool_unasked")
                text += part.text
        return text

    # --- wishes nobody foresaw ----------------------------------------------------------------------------
    async def meant(self, understood: Understanding, context: Context, last_said: Iterable[str]) -> Understanding:
        """What she may have meant where the rules understood nothing; the same understanding where the model cannot say.

        Only a wish of the list and a department of the list come from the model; the words it copied from her sentence
        are read by our own parsers, and whom it is about is only ever read from her own words.
        """
        if self.tired or understood.intent != UNKNOWN or understood.answer:
            return understood
        messages = [Message("system", _wish_prompt())]
        before = "".join(last_said)[-200:]
        if before:
            messages.append(Message("assistant", before))
        messages.append(Message("user", f"居民说:「{understood.text[:_LONGEST_QUESTION]}」"))
        try:
            named = await self.gateway.structured(
                messages,
                schema=_wish_schema(),
                hospital_id=self.hospital_id,
                today=self.today,
                mask=await self._mask(),
                patience=self.allowed.understand,
            )
        except LanguageModelError as error:
            self._failed("understand", error)
            return understood
        intent = named["intent"]
        self.note["named"] = intent
        if intent == "none" or not named["sure"]:
            return understood
        return _with_wish(understood, context, intent, named)

    # --- answers from given entries -----------------------------------------------------------------------
    async def _retold(self, own: Say, card: Event, question: str) -> AsyncIterator[Event]:
        """``own`` or the model's sentences instead; ``card`` is what follows it and is yielded by the caller."""
        passages = card.data.get("passages", []) if isinstance(card, ShowCard) and card.kind == "answer" else []
        if not passages:
            yield own
            return
        said = ""
        try:
            async with aclosing(self.answered(question, passages)) as sentences:  # type: ignore[type-var]
                while True:
                    try:
                        async with asyncio.timeout(None if said else self.allowed.first_sentence_s):
                            sentence = await anext(sentences)
                    except StopAsyncIteration:
                        break
                    said += sentence.text
                    yield replace(sentence, mood=own.mood)
        except TimeoutError:
            self._failed("answer", ModelStalled(code="model_first_sentence_late"))
        except LanguageModelError as error:
            self._failed("answer", error)
        if not said:
            yield own
            return
        for missing in _left_out(own.text, said):
            yield replace(own, text=missing)
        yield Say(REST)

    async def answered(self, question: str, passages: Sequence[Mapping[str, str]]) -> AsyncIterator[Say]:
        """Whole sentences, each resting on one of the passages (keys title, text, source), which is its source.

        Ends at the first sentence that its passage does not carry. Raises ``LanguageModelError``.
        """
        notes = "\n".join(f"[{n}]{p['title']}:{p['text']}" for n, p in enumerate(passages, start=1))
        messages = [
            Message("system", f"{told()['answer']}\n资料:\n{notes}"),
            Message("user", f"居民问:「{question[:_LONGEST_QUESTION]}」"),
        ]
        parts = self.gateway.stream(
            messages,
            hospital_id=self.hospital_id,
            today=self.today,
            mask=await self._mask(),
            patience=self.allowed.answer,
        )
        pending, count = "", 0
        async with aclosing(parts) as stream:  # type: ignore[type-var]
            async for part in stream:
                if not isinstance(part, TextDelta):
                    raise ModelNonsense(code="model_called_a_tool_unasked")
                *lines, pending = (pending + part.text).split("\n")
                for line in filter(str.strip, lines):
                    said = self._carried(line, passages)
                    if said is None or count == _MOST_SENTENCES:
                        return
                    count += 1
                    yield said
        if pending.strip() and count < _MOST_SENTENCES:
            said = self._carried(pending, passages)
            if said is not None:
                yield said

    def _carried(self, line: str, passages: Sequence[Mapping[str, str]]) -> Say | None:
        """The sentence of one line, if the passage it names carries it and the guard lets it through."""
        match = _LINE.match(line)
        number = int(match[1]) if match else 0
        if match is None or not 1 <= number <= len(passages):
            self._refused("answer", ("no_entry",))
            return None
        passage, sentence = passages[number - 1], match[2]
        sources = (passage["source"],)
        broken = ungrounded(sentence, f"{passage['title']}。{passage['text']}", self._terms)
        if broken or not self.check(sentence, sources).ok:
            self._refused("answer", broken or ("guard",))
            return None
        self.note["answered"] = self.note.get("answered", 0) + 1
        return Say(sentence if sentence[-1] in "。!?\uff01\uff1f" else f"{sentence}。", sources=sources)

    # --- what names there are -----------------------------------------------------------------------------
    async def _mask(self) -> Mask:
        """Hides everybody we know of. Without the family's names nothing leaves: raises ``ModelUnavailable``."""
        if self.family is not None:
            try:
                people = await self.family()
            except CompanionError as error:
                raise ModelUnavailable(code="model_names_unknown") from error
            self.names = tuple(dict.fromkeys((*self.names, *(person.name for person in people))))
            self.family = None
        return Mask(self.names)

    def _terms(self, text: str) -> list[str]:
        """People, doctors, departments and everything the knowledge base has a name for, but for how a visit goes: 叫号 may
        be called otherwise, a medicine may not."""
        found = [name for name in self.names if name in text]
        if doctor := find_practitioner(text):
            found.append(doctor)
        found += [words for _name, words in DEPARTMENTS.find(text)]
        for start, end, entries in knowledge.library().lexicon.matches(text):
            if any(kind != "procedure" for kind, _id in entries):
                found.append(text[start:end])
        return found

    def _failed(self, where: str, error: LanguageModelError) -> None:
        self.tired = True
        self.note["failed"] = f"{where}:{error.code}"
        log.info("model_left_out", task=where, code=error.code)

    def _refused(self, where: str, rules: tuple[str, ...]) -> None:
        """The rules only; what the model said may hold her words."""
        self.note.setdefault("refused", []).append(f"{where}:{','.join(rules)}")
        log.info("model_words_refused", task=where, reason=",".join(rules))


def _with_wish(understood: Understanding, context: Context, intent: str, named: Mapping[str, Any]) -> Understanding:
    slots = understood.slots
    copied = [named[key] for key in ("when", "hospital") if named[key] and named[key] in understood.text]
    for words in copied:
        read = understand(words, context).slots
        slots = replace(
            slots,
            when=slots.when or read.when,
            hospitals=slots.hospitals or read.hospitals,
            hospital_words=slots.hospital_words or read.hospital_words,
        )
    if named["department"] and not slots.departments and intent in ("book", "triage"):
        slots = replace(slots, departments=(named["department"],))
    return replace(
        understood,
        wishes=(Wish(intent, _SCORE, understood.text, "model"),),
        slots=slots,
        reasons=(*understood.reasons, "by_model"),
    )


def _left_out(own: str, said: str) -> list[str]:
    """The own words' sentences on danger and on when to see a doctor that the model's answer does not hold."""
    sentences = re.findall(r"[^。!?\uff01\uff1f]+[。!?\uff01\uff1f]?", own)
    return [s for s in sentences if _MUST_SAY.search(s) and covered(s, said) < 0.6]
