"""Where a language model helps the conversation: words nobody foresaw become a wish, or a guarded, friendly answer.

The model sees masked words, passages of the knowledge base and the names of wishes. It may name a wish, and then the
same skill runs on slots read by our own parsers; or it may speak, and then every sentence goes through the out-guards.
"""

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import structlog
import yaml

from companion import knowledge
from companion.events import Say
from companion.llm.base import LanguageModelError, Message, TextDelta, Tool, ToolCall
from companion.llm.gateway import Gateway
from companion.llm.masking import Mask
from companion.skills.scene import Scene
from companion.understanding import Context, Understanding, Wish, understand

log = structlog.get_logger(__name__)

_DATA = Path(__file__).parent / "data" / "dialogue" / "model.yaml"
_SENTENCE = re.compile(r"[^。!?!?\n]+[。!?!?\n]?")
_MOST_SENTENCES = 5
_WORDS = {
    "type": "object",
    "properties": {
        "words": {"type": "string", "description": "用一句话重述居民要办的事"},
        "department": {"type": "string"},
        "hospital": {"type": "string"},
        "when": {"type": "string"},
        "place": {"type": "string"},
    },
}


@lru_cache(maxsize=1)
def _told() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(_DATA.read_text(encoding="utf-8"))
    return data


def tools() -> tuple[Tool, ...]:
    """The wishes a model may name; each runs the skill that declares it."""
    return tuple(Tool(name, description, _WORDS) for name, description in _told()["tools"].items())


async def converse(
    gateway: Gateway, scene: Scene, context: Context, *, hospital_id: str
) -> AsyncIterator[Say | Understanding]:
    """Sentences to be guarded and said, or one understanding to be acted on. Raises ``LanguageModelError``.

    A sentence is handed out only when it is whole, so that a guard always sees all of it.
    """
    question = scene.understood.text
    mask = Mask((scene.resident.name, scene.patient.name))
    kept = gateway.stock(question) if not scene.memory.said else ()
    if kept:
        for sentence in kept:
            yield Say(sentence)
        return
    answer = knowledge.ask(question, age_years=scene.patient.age_years, sex=scene.patient.sex or None)
    sources = tuple(dict.fromkeys(p.source for p in answer.passages)) if answer else ()
    said: list[str] = []
    pending = ""
    parts = gateway.stream(
        _messages(scene, answer), hospital_id=hospital_id, today=scene.now.date(), mask=mask, tools=tools()
    )
    async with aclosing(parts) as stream:  # type: ignore[type-var]
        async for part in stream:
            if isinstance(part, ToolCall):
                meant = _meant(part, scene, context)
                if meant is not None and not said:
                    yield meant
                    return
                continue
            pending += part.text if isinstance(part, TextDelta) else ""
            *whole, pending = _cut(pending)
            for sentence in whole:
                if len(said) < _MOST_SENTENCES:
                    said.append(sentence)
                    yield Say(sentence, sources=sources)
    if pending.strip() and len(said) < _MOST_SENTENCES:
        said.append(pending.strip())
        yield Say(pending.strip(), sources=sources)
    if not sources:
        gateway.keep(question, said, mask)


def _cut(text: str) -> list[str]:
    """Whole sentences, and last what is not yet one."""
    pieces = _SENTENCE.findall(text)
    if not pieces:
        return [text]
    if pieces[-1][-1] in "。!?!?\n":
        pieces.append("")
    return [
        piece.strip() if n < len(pieces) - 1 else piece
        for n, piece in enumerate(pieces)
        if piece or n == len(pieces) - 1
    ]


def _messages(scene: Scene, answer: knowledge.Answer | None) -> list[Message]:
    """Rules, what was said last, the passages found, and her words marked as what they are."""
    notes = "\n".join(f"[资料]{p.title}:{p.text}" for p in answer.passages) if answer else "[资料]无"
    messages = [Message("system", _told()["system"]), Message("system", notes)]
    if scene.memory.said:
        messages.append(Message("assistant", "".join(scene.memory.said)[-300:]))
    messages.append(Message("user", f"居民说:「{scene.understood.text[:500]}」"))
    return messages


def _meant(call: ToolCall, scene: Scene, context: Context) -> Understanding | None:
    """The named wish with slots that our own parsers find in the model's words; None for a name it was not given."""
    if call.name not in _told()["tools"]:
        log.warning("model_named_unknown_tool")
        return None
    pieces = [str(call.arguments.get(key, ""))[:60] for key in ("when", "hospital", "department", "place", "words")]
    words = ",".join(piece for piece in pieces if piece)
    heard = understand(words, context) if words else scene.understood
    own = understand(scene.understood.text, context)
    return replace(
        heard,
        text=scene.understood.text,
        wishes=(Wish(call.name, 2.5, words or scene.understood.text, "model"),),
        person=own.person,  # whom it is about is only ever read from her own words
        answer="",
        reasons=(*heard.reasons, "by_model"),
    )


__all__ = ["LanguageModelError", "converse", "tools"]
