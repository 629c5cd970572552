"""The one way to a language model: masked, budgeted, within a time, each model behind its breaker, in fallback order."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import date
from typing import Any

import structlog

from companion.llm.base import (
    LanguageModel,
    LanguageModelError,
    Message,
    ModelBusy,
    ModelCut,
    ModelNonsense,
    ModelRefused,
    ModelStalled,
    ModelUnavailable,
    Part,
    Patience,
    TextDelta,
    Tool,
    ToolCall,
    Usage,
)
from companion.llm.limits import Breaker, Budget, Places
from companion.llm.masking import Mask, Restoring
from companion.llm.schema import fits

log = structlog.get_logger(__name__)
REFUSED_REST_S = 300.0
_ABOUT_THIS_QUESTION = frozenset({"model_filtered", "model_out_of_tokens"})
_TRIES = 2


class Gateway:
    """``models`` in the order in which they are tried; ``places``: answers under way at a time in this process."""

    def __init__(
        self,
        models: Sequence[LanguageModel],
        *,
        budget: Budget,
        breakers: Mapping[str, Breaker] | None = None,
        places: int = 16,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._models = tuple(models)
        self._budget = budget
        self._breakers = {model.name: Breaker() for model in self._models} | dict(breakers or {})
        self._places = Places(places)
        self._clock = clock

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        hospital_id: str,
        today: date,
        mask: Mask,
        patience: Patience = Patience(),  # noqa: B008  frozen
        tools: Sequence[Tool] = (),
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 400,
    ) -> AsyncIterator[TextDelta | ToolCall]:
        """Text as it comes and whole tool calls, with personal data back in place.

        ``patience`` counts from now, over all tries together. The next try is made only as long as nothing was handed
        out. System messages are our own words and leave as they are. Raises ``LanguageModelError``. ``hospital_id`` is the session's; nothing a model says can change it.
        """
        await self._budget.check(hospital_id, today)
        hidden = [m if m.role == "system" else Message(m.role, mask.hide(m.content)) for m in messages]
        wait = _Wait(patience, self._clock or asyncio.get_running_loop().time)
        last: LanguageModelError = ModelUnavailable(code="model_all_resting")
        with self._places.taken():
            for model in self._models:
                for attempt in range(1, _TRIES + 1):
                    breaker = self._breakers[model.name]
                    if breaker.open or wait.over:
                        break
                    breaker.enter()
                    bill = _Bill(sum(len(m.content) for m in hidden))
                    try:
                        parts = model.stream(hidden, tools=tools, schema=schema, max_tokens=max_tokens)
                        async with aclosing(_patient(parts, wait)) as waited:  # type: ignore[type-var]
                            async for part in _restored(waited, bill, Restoring(mask), mask):
                                yield part
                        if not wait.started:
                            raise ModelNonsense(code="model_said_nothing")
                    except LanguageModelError as error:
                        _settle(breaker, error)
                        log.warning("model_failed", backend=model.name, code=error.code, attempt=attempt)
                        last = error
                        if wait.started:
                            raise
                        if not _again(error):
                            break
                    else:
                        breaker.succeeded()
                        return
                    finally:
                        breaker.left()  # settled above, or whoever listened went away
                        await self._budget.spend(hospital_id, today, bill.tokens)
        raise last

    async def structured(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any],
        hospital_id: str,
        today: date,
        mask: Mask,
        patience: Patience = Patience(),  # noqa: B008  frozen
        max_tokens: int = 300,
    ) -> dict[str, Any]:
        """One JSON object that fits ``schema``. Raises ``ModelNonsense`` for anything else, a tool call among it."""
        text = ""
        parts = self.stream(
            messages,
            hospital_id=hospital_id,
            today=today,
            mask=mask,
            patience=patience,
            schema=schema,
            max_tokens=max_tokens,
        )
        async with aclosing(parts) as stream:  # type: ignore[type-var]
            async for part in stream:
                if isinstance(part, ToolCall):
                    raise ModelNonsense(code="model_called_a_tool_unasked")
                text += part.text
        text = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelNonsense from error
        if not isinstance(answer, dict) or not fits(answer, schema):
            raise ModelNonsense(code="model_against_schema")
        return answer


class _Wait:
    """When the next part is due, over all tries of one question."""

    def __init__(self, patience: Patience, clock: Callable[[], float]) -> None:
        now = clock()
        self._clock, self._patience = clock, patience
        self._end = now + patience.whole_s
        self._first = now + patience.first_s
        self.started = False

    @property
    def over(self) -> bool:
        return self._clock() >= min(self._end, self._first if not self.started else self._end)

    @property
    def left_s(self) -> float:
        now = self._clock()
        due = now + self._patience.between_s if self.started else self._first
        return max(0.0, min(due, self._end) - now)


class _Bill:
    """A server that does not count is charged a token a character, which errs on the dear side."""

    def __init__(self, asked: int) -> None:
        self._letters = asked
        self._counted = 0

    def add(self, part: Part) -> None:
        if isinstance(part, Usage):
            self._counted = part.tokens
        elif isinstance(part, TextDelta):
            self._letters += len(part.text)

    @property
    def tokens(self) -> int:
        return self._counted or self._letters


async def _patient(parts: AsyncIterator[Part], wait: _Wait) -> AsyncIterator[Part]:
    """The parts, each within its time. Nothing is awaited here but the model: a slow listener costs it no patience."""
    async with aclosing(parts) as stream:  # type: ignore[type-var]
        while True:
            try:
                async with asyncio.timeout(wait.left_s):
                    part = await anext(stream)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise ModelStalled(code="model_stalled_midway" if wait.started else "") from error
            wait.started = wait.started or not isinstance(part, Usage)
            yield part


async def _restored(
    parts: AsyncIterator[Part], bill: _Bill, restoring: Restoring, mask: Mask
) -> AsyncIterator[TextDelta | ToolCall]:
    async for part in parts:
        bill.add(part)
        if isinstance(part, TextDelta):
            if text := restoring.feed(part.text):
                yield TextDelta(text)
        elif isinstance(part, ToolCall):
            arguments = {k: mask.restore(v) if isinstance(v, str) else v for k, v in part.arguments.items()}
            yield ToolCall(part.name, arguments)
    if text := restoring.rest():
        yield TextDelta(text)


def _settle(breaker: Breaker, error: LanguageModelError) -> None:
    if isinstance(error, ModelRefused):
        breaker.park(REFUSED_REST_S)
    elif isinstance(error, ModelBusy) and error.after_s > 0:
        breaker.park(error.after_s)
    elif error.code not in _ABOUT_THIS_QUESTION:
        breaker.failed()


def _again(error: LanguageModelError) -> bool:
    """Whether the same model is worth a second try at once: a lost connection or a stumble, not a refusal."""
    if isinstance(error, ModelBusy | ModelRefused):
        return False
    return isinstance(error, ModelUnavailable | ModelCut) and error.code not in _ABOUT_THIS_QUESTION
