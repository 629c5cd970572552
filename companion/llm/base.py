"""What a language model is to this service, and what may go wrong with one.

LanguageModelError (a CompanionError)
├── ModelUnavailable   no connection, refused, 5xx, or its circuit is open
├── ModelStalled       nothing came within the time allowed
├── ModelCut           the stream ended before the model had finished
├── ModelNonsense      what came is not the protocol, or not what was asked for
└── BudgetSpent        the hospital's tokens for today are used up
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from companion.exceptions import CompanionError


class LanguageModelError(CompanionError):
    code = "model_error"
    status_code = 502
    retryable = True


class ModelUnavailable(LanguageModelError):
    code = "model_unavailable"
    status_code = 503


class ModelStalled(LanguageModelError):
    code = "model_stalled"
    status_code = 504


class ModelCut(LanguageModelError):
    code = "model_cut"


class ModelNonsense(LanguageModelError):
    code = "model_nonsense"


class BudgetSpent(LanguageModelError):
    code = "model_budget_spent"
    status_code = 429
    retryable = False


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call; ``parameters`` is a JSON schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A whole call: the arguments parsed, an object."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of the whole exchange, as the server counted them."""

    tokens: int


Part = TextDelta | ToolCall | Usage


class LanguageModel(Protocol):
    """One model behind one address."""

    name: str

    def stream(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 400,
    ) -> AsyncIterator[Part]:
        """The answer as it comes. ``schema``: the answer is one JSON object of this schema. Raises the errors above."""
        ...
