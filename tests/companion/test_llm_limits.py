"""Budgets are shared, days are apart, and a store that is away stops the model, not the talk."""

from datetime import date
from typing import Any

import pytest
from django.core.cache.backends.locmem import LocMemCache
from redis.exceptions import ConnectionError as RedisAway

from companion import llm
from companion.llm.base import BudgetSpent, ModelUnavailable
from companion.llm.checks import language_models
from companion.llm.limits import DailyTokens
from companion.llm.openai import OpenAICompatible
from companion.llm.sse import AfterThinking

TODAY, TOMORROW = date(2026, 11, 24), date(2026, 11, 25)


@pytest.fixture()
def store(request: pytest.FixtureRequest) -> LocMemCache:
    made = LocMemCache(request.node.name, {})
    made.clear()
    return made


class Away(LocMemCache):
    async def aget_many(self, *args: Any, **kwargs: Any) -> Any:
        raise RedisAway

    async def aadd(self, *args: Any, **kwargs: Any) -> Any:
        raise RedisAway


async def test_each_hospital_and_each_day_has_its_own(store: LocMemCache) -> None:
    budget = DailyTokens(100, store=store)
    await budget.spend("h1", TODAY, 100)
    with pytest.raises(BudgetSpent):
        await budget.check("h1", TODAY)
    await budget.check("h2", TODAY)
    await budget.check("h1", TOMORROW)


async def test_all_processes_spend_from_one_purse(store: LocMemCache) -> None:
    await DailyTokens(100, store=store).spend("h1", TODAY, 60)
    await DailyTokens(100, store=store).spend("h1", TODAY, 60)
    with pytest.raises(BudgetSpent):
        await DailyTokens(100, store=store).check("h1", TODAY)


async def test_all_together_have_a_limit_too(store: LocMemCache) -> None:
    budget = DailyTokens(100, altogether=150, store=store)
    await budget.spend("h1", TODAY, 80)
    await budget.spend("", TODAY, 80)
    with pytest.raises(BudgetSpent) as raised:
        await budget.check("h2", TODAY)
    assert raised.value.code == "model_budget_spent_altogether"


async def test_nobody_spends_what_cannot_be_counted() -> None:
    budget = DailyTokens(100, store=Away("away", {}))
    with pytest.raises(ModelUnavailable) as raised:
        await budget.check("h1", TODAY)
    assert raised.value.code == "model_budget_unknown"
    await budget.spend("h1", TODAY, 10)


def test_no_model_is_configured_by_default(settings: Any) -> None:
    llm.configured.cache_clear()
    settings.LANGUAGE_MODELS = {}
    assert llm.configured() is None


def test_models_are_made_from_settings(settings: Any) -> None:
    llm.configured.cache_clear()
    path = f"{OpenAICompatible.__module__}.{OpenAICompatible.__name__}"
    settings.LANGUAGE_MODELS = {"own": {"BACKEND": path, "OPTIONS": {"base_url": "http://model/v1", "model": "m"}}}
    assert llm.configured() is llm.configured() is not None
    llm.configured.cache_clear()


@pytest.mark.parametrize("by", [1, 3, 100])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<think>她想约号</think>\n\n好的。", "好的。"),
        ("好的。", "好的。"),
        ("<三>好的。", "<三>好的。"),
        ("<th", "<th"),
        ("<think>没完", ""),
        ("好的<think>不是开头</think>", "好的<think>不是开头</think>"),
    ],
)
def test_thoughts_are_not_said(text: str, said: str, by: int) -> None:
    after = AfterThinking()
    pieces = [after.feed(text[at : at + by]) for at in range(0, len(text), by)]
    assert "".join(pieces) + after.rest() == said


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"base_url": "http://model:8000/v1", "model": "m"}, []),
        ({"base_url": "http://10.0.0.7/v1", "model": "m"}, []),
        ({"base_url": "https://models.example.com/v1", "model": "m"}, []),
        ({"base_url": "http://models.example.com/v1", "model": "m"}, ["companion.W002"]),
        ({"base_url": "models.example.com", "model": "m"}, ["companion.E006"]),
        ({"base_url": "http://model/v1", "model": "m", "json_mode": "xml"}, ["companion.E006"]),
        ({"base_url": "http://model/v1", "model": "m", "colour": "blue"}, ["companion.E006"]),
        ({}, ["companion.E006"]),
    ],
)
def test_settings_that_cannot_work_are_named_at_the_start(settings: Any, options: Any, found: list[str]) -> None:
    settings.LANGUAGE_MODELS = {"own": {"BACKEND": "companion.llm.openai.OpenAICompatible", "OPTIONS": options}}
    assert [message.id for message in language_models()] == found
