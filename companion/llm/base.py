"""What a language model is to this service, and what may go wrong with one.

LanguageModelError (a CompanionError)
├── ModelUnavailable   no connection, 5xx, or its circuit is open
│   ├── ModelBusy      429, or as many answers under way as this process allows
│   └── ModelRefused   401, 403, 404, 400: our settings or our request are wrong, trying again will not help
├── ModelStalled       nothing came within the time allowed
├── ModelCut           the stream ended before the model had finished
├── ModelNonsense      what came is not the protocol, too long, empty, or not what was asked for
└── BudgetSpent        the hospital's tokens for today, or the province's, are used up
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from companion.exceptions import CompanionError


class LanguageModelError(CompanionError):
    """Never shown to a resident: whoever asks a model has the skills' own words to say instead."""

    code = "model_error"
    status_code = 502
    retryable = True


class ModelUnavailable(LanguageModelError):
    code = "model_unavailable"
    status_code = 503


class ModelBusy(ModelUnavailable):
    """``after_s``: how long the server asks us to leave it alone, 0 where it does not say."""

    code = "model_busy"
    status_code = 429

    def __init__(self, detail: str = "", *, code: str = "", after_s: float = 0.0) -> None:
        super().__init__(detail, code=code)
        self.after_s = after_s


class ModelRefused(ModelUnavailable):
    code = "model_refused"
    retryable = False


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
    """``system``: our own words and data, never anything of a resident; the other roles are masked before they leave."""

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


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an answer is waited for, in seconds: until its first part, between two parts, and in all."""

    first_s: float = 2.0
    between_s: float = 2.0
    whole_s: float = 8.0


class LanguageModel(Protocol):
    """One model behind one address. It waits as long as it takes: the gateway is the one that loses patience."""

    name: str

    def stream(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 400,
    ) -> AsyncIterator[Part]:
        """The answer as it comes. ``schema``: the answer is one JSON object of this schema. Raises the errors above.

        Closing the iterator closes the connection, so that the server stops working for nobody.
        """
        ...
