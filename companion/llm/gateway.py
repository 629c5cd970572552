"""The one way to a language model: masked, budgeted, in fallback order, with a breaker for each and stock answers kept."""

import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import date
from typing import Any

import structlog

from companion.llm.base import (
    BudgetSpent,
    LanguageModel,
    LanguageModelError,
    Message,
    ModelNonsense,
    ModelUnavailable,
    Part,
    TextDelta,
    Tool,
    ToolCall,
    Usage,
)
from companion.llm.limits import Breaker, Budget
from companion.llm.masking import Mask

log = structlog.get_logger(__name__)
_KEPT_ANSWERS = 256


class Gateway:
    """``models`` in the order in which they are tried."""

    def __init__(
        self, models: Sequence[LanguageModel], *, budget: Budget, breakers: Mapping[str, Breaker] | None = None
    ) -> None:
        self._models = tuple(models)
        self._budget = budget
        self._breakers = dict(breakers or {})
        for model in self._models:
            self._breakers.setdefault(model.name, Breaker())
        self._stock: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        hospital_id: str,
        today: date,
        mask: Mask,
        tools: Sequence[Tool] = (),
        schema: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[TextDelta | ToolCall]:
        """Text as it comes and whole tool calls, with personal data back in place.

        The next model is tried only as long as nothing was handed out. Raises ``LanguageModelError``. ``hospital_id`` is
        the session's; nothing a model says can change it.
        """
        if await self._budget.left(hospital_id, today) <= 0:
            raise BudgetSpent
        hidden = [Message(m.role, mask.hide(m.content)) for m in messages]
        last: LanguageModelError = ModelUnavailable()
        for model in self._models:
            breaker = self._breakers[model.name]
            if breaker.open:
                continue
            started = False
            spent = 0
            letters = sum(len(m.content) for m in hidden)
            try:
                async with aclosing(model.stream(hidden, tools=tools, schema=schema)) as parts:  # type: ignore[type-var]
                    async for part in parts:
                        if isinstance(part, Usage):
                            spent = part.tokens
                            continue
                        letters += len(part.text) if isinstance(part, TextDelta) else 0
                        shown = _restored(part, mask)
                        if shown is not None:
                            started = True
                            yield shown
                rest = mask.rest()
                if rest:
                    started = True
                    yield TextDelta(rest)
                if not started:
                    raise ModelNonsense(code="model_said_nothing")
            except LanguageModelError as error:
                breaker.failed()
                log.warning("model_failed", model=model.name, code=error.code, started=started)
                last = error
                if started:
                    raise
                continue
            finally:
                # A server that does not count is charged a token a character, which errs on the dear side.
                await self._budget.spend(hospital_id, today, spent or letters)
            breaker.succeeded()
            return
        raise last

    async def structured(
        self, messages: Sequence[Message], *, schema: Mapping[str, Any], hospital_id: str, today: date, mask: Mask
    ) -> dict[str, Any]:
        """One JSON object with the schema's required keys and enums. Raises ``ModelNonsense`` for anything else."""
        text = ""
        async for part in self.stream(messages, hospital_id=hospital_id, today=today, mask=mask, schema=schema):
            if isinstance(part, TextDelta):
                text += part.text
        try:
            answer = json.loads(text.strip().removeprefix("```json").removesuffix("```"))
        except (ValueError, RecursionError) as error:
            raise ModelNonsense from error
        if not isinstance(answer, dict) or any(key not in answer for key in schema.get("required", ())):
            raise ModelNonsense
        for key, rule in schema.get("properties", {}).items():
            if key in answer and "enum" in rule and answer[key] not in rule["enum"]:
                raise ModelNonsense
        return answer

    # --- stock answers ------------------------------------------------------------------------------------
    def stock(self, question: str) -> tuple[str, ...]:
        """The sentences kept for this question, or ()."""
        found = self._stock.get(question, ())
        if found:
            self._stock.move_to_end(question)
        return found

    def keep(self, question: str, sentences: Sequence[str], mask: Mask) -> None:
        """Keep an answer that passed the guards; never one to words that held personal data."""
        if mask.used or not sentences:
            return
        self._stock[question] = tuple(sentences)
        while len(self._stock) > _KEPT_ANSWERS:
            self._stock.popitem(last=False)


def _restored(part: Part, mask: Mask) -> TextDelta | ToolCall | None:
    if isinstance(part, TextDelta):
        text = mask.restore_part(part.text)
        return TextDelta(text) if text else None
    if isinstance(part, ToolCall):
        return ToolCall(part.name, {k: mask.restore(v) if isinstance(v, str) else v for k, v in part.arguments.items()})
    return None
