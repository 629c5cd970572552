"""The language model, where one is plugged in: ``configured()`` is the gateway, or None, and then everything still works."""

from functools import lru_cache
from importlib import import_module

from django.conf import settings

from companion.llm.base import LanguageModel
from companion.llm.gateway import Gateway
from companion.llm.limits import DailyTokens

DAILY_TOKENS = 200_000  # a hospital; about a thousand questions
PLACES = 16


@lru_cache(maxsize=1)
def configured() -> Gateway | None:
    """The gateway over settings.LANGUAGE_MODELS, in the order they are written there; made once a process."""
    models: list[LanguageModel] = []
    for name, entry in getattr(settings, "LANGUAGE_MODELS", {}).items():
        module, _, backend = entry["BACKEND"].rpartition(".")
        models.append(getattr(import_module(module), backend)(name=name, **entry.get("OPTIONS", {})))
    if not models:
        return None
    limits = getattr(settings, "LANGUAGE_MODEL_LIMITS", {})
    budget = DailyTokens(limits.get("daily_tokens", DAILY_TOKENS), altogether=limits.get("daily_tokens_altogether"))
    return Gateway(models, budget=budget, places=limits.get("places", PLACES))
