"""What a language model's help costs: until its first word, until its first checked sentence, and when it is away.

The model is the tests' stub on a loopback socket, which answers at once: the figures are this service's own share.
"""

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import date
from typing import Any

WORDS = "您前面还有4位,现在叫到66号,在7号楼1楼B区眼科检查一区。"
OWN = "当前您需要就诊,前面排队4人,当前叫号66号,地址位于7号楼1楼B区眼科检查一区。"
ENTRY = {
    "id": "dry.care",
    "title": "眼睛干涩",
    "text": "少看手机,多眨眼。看屏幕20分钟,看远处20秒。",
    "source": "benchmark",
}
RUNS = 200


class _Open:
    """A budget without an end."""

    async def check(self, hospital_id: str, on: date) -> None: ...

    async def spend(self, hospital_id: str, on: date, tokens: int) -> None: ...


class _Passed:
    ok = True


def figures() -> Iterator[dict[str, Any]]:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "companion.settings")
    import django

    django.setup()
    import logging

    logging.disable(logging.WARNING)
    yield from asyncio.run(_measured())


def _row(name: str, taken: list[float]) -> list[dict[str, Any]]:
    ordered = sorted(taken)
    return [
        {"name": f"language_model.{name}.p50", "value": round(statistics.median(ordered) * 1000, 2), "unit": "ms"},
        {
            "name": f"language_model.{name}.p95",
            "value": round(ordered[int(len(ordered) * 0.95)] * 1000, 2),
            "unit": "ms",
        },
    ]


async def _timed(work: Callable[[], Any], runs: int) -> list[float]:
    await work()  # the first opens the connection
    taken = []
    for _ in range(runs):
        started = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - started)
    return taken


async def _measured() -> list[dict[str, Any]]:
    from companion import knowledge
    from companion.events import Say, ShowCard
    from companion.fluency import Fluency
    from companion.llm.base import Message, Patience
    from companion.llm.faithful import unfaithful
    from companion.llm.gateway import Gateway
    from companion.llm.limits import Breaker
    from companion.llm.masking import Mask
    from companion.llm.openai import OpenAICompatible
    from companion.understanding import Context, Understanding
    from tests.companion.model_stub import Json, ModelStub, Reply, Stall, Status, Words
    from tests.companion.world import HOSPITALS, NOW

    def fresh(url: str) -> Fluency:
        model = models.setdefault(url, OpenAICompatible(base_url=url, model="stub"))
        patient = Breaker(failures=10_000)
        gateway = Gateway([model], budget=_Open(), breakers={"stub": patient})
        return Fluency(gateway=gateway, check=lambda text, sources: _Passed(), hospital_id="h", today=NOW.date())

    models: dict[str, OpenAICompatible] = {}
    rows: list[dict[str, Any]] = []
    knowledge.library()
    with ModelStub() as stub:

        async def first_delta() -> None:
            parts = fresh(stub.url).gateway.stream(
                [Message("user", OWN)], hospital_id="h", today=NOW.date(), mask=Mask(), patience=Patience()
            )
            await anext(parts)
            await parts.aclose()  # type: ignore[attr-defined]

        async def reworded() -> None:
            await fresh(stub.url).reworded(Say(OWN))

        async def understood() -> None:
            await fresh(stub.url).meant(Understanding("那个啥还得再去瞧瞧不", ()), Context(NOW, HOSPITALS), [])

        async def first_sentence() -> None:
            async def events() -> AsyncIterator[Any]:
                yield Say(ENTRY["text"], sources=(ENTRY["source"],))
                yield ShowCard("answer", {"passages": [ENTRY]})

            said = fresh(stub.url).spoken(events(), lambda: "health", "眼睛干怎么办")
            await anext(said)
            await said.aclose()  # type: ignore[attr-defined]

        stub.will(Words(WORDS))
        rows += _row("first_delta", await _timed(first_delta, RUNS))
        rows += _row("reworded", await _timed(reworded, RUNS))
        wish = {"intent": "follow_up", "department": "", "when": "", "hospital": "", "sure": True}
        stub.will(Json(wish))
        rows += _row("understood", await _timed(understood, RUNS))
        stub.will(Words("1|少看手机,多眨眼。\n1|看屏幕20分钟,看远处20秒。\n"))
        rows += _row("first_sentence", await _timed(first_sentence, RUNS))
        faults: dict[str, Reply] = {"error_500": Status(500), "stall": Stall()}
        for name, fault in faults.items():
            stub.will(fault)
            for what, work in (("reworded", reworded), ("understood", understood), ("first_sentence", first_sentence)):
                rows += _row(f"own_words_after.{name}.{what}", await _timed(work, 5))
    started = time.perf_counter()
    for _ in range(RUNS):
        Mask(("陈玉兰", "周国平")).hide(OWN)
    rows.append({"name": "language_model.mask", "value": _us(started), "unit": "µs"})
    terms = fresh("http://127.0.0.1:9")._terms
    started = time.perf_counter()
    for _ in range(RUNS):
        unfaithful(OWN, WORDS, terms)
    rows.append({"name": "language_model.check_rewrite", "value": _us(started), "unit": "µs"})
    for model in models.values():
        await model.aclose()
    return rows


def _us(started: float) -> float:
    return round((time.perf_counter() - started) / RUNS * 1e6, 1)
