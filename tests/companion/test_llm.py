"""The contract of every language model backend, through the gateway, against a server that fails on purpose."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import date
from typing import Any

import pytest

from companion.llm.base import (
    BudgetSpent,
    LanguageModelError,
    Message,
    ModelBusy,
    ModelCut,
    ModelNonsense,
    ModelRefused,
    ModelStalled,
    ModelUnavailable,
    Patience,
    TextDelta,
    Tool,
    ToolCall,
)
from companion.llm.gateway import Gateway
from companion.llm.limits import Breaker
from companion.llm.masking import Mask
from companion.llm.openai import OpenAICompatible
from tests.companion.model_stub import Call, Cut, Endless, Json, ModelStub, Raw, Stall, Status, Words, delta, finish

TODAY = date(2026, 11, 24)
SOON = Patience(first_s=2.0, between_s=0.3, whole_s=5.0)  # the first part may be late on a loaded machine
LONG = Patience(first_s=5.0, between_s=5.0, whole_s=10.0)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"intent": {"type": "string", "enum": ["book", "pay"]}, "sure": {"type": "boolean"}},
    "required": ["intent"],
    "additionalProperties": False,
}
BACKENDS = ("schema", "object", "words")


class Purse:
    """A budget in memory."""

    def __init__(self, tokens: int = 100_000) -> None:
        self.tokens = tokens
        self.spent: dict[str, int] = {}

    async def check(self, hospital_id: str, on: date) -> None:
        if self.spent.get(hospital_id, 0) >= self.tokens:
            raise BudgetSpent

    async def spend(self, hospital_id: str, on: date, tokens: int) -> None:
        self.spent[hospital_id] = self.spent.get(hospital_id, 0) + tokens


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture()
def stub() -> Iterator[ModelStub]:
    with ModelStub() as running:
        yield running


@pytest.fixture(params=BACKENDS)
async def model(request: pytest.FixtureRequest, stub: ModelStub) -> AsyncIterator[OpenAICompatible]:
    made = OpenAICompatible(
        base_url=stub.url, model="stub", api_key="k-1", name=f"stub-{request.param}", json_mode=request.param
    )
    yield made
    await made.aclose()


def gateway(*models: Any, purse: Purse | None = None, **more: Any) -> Gateway:
    return Gateway(models, budget=purse or Purse(), **more)


async def heard(
    door: Gateway, words: str = "你好", *, mask: Mask | None = None, patience: Patience = LONG, **more: Any
) -> list[TextDelta | ToolCall]:
    parts = door.stream(
        [Message("user", words)], hospital_id="h1", today=TODAY, mask=mask or Mask(), patience=patience, **more
    )
    return [part async for part in parts]


def text(parts: list[TextDelta | ToolCall]) -> str:
    return "".join(part.text for part in parts if isinstance(part, TextDelta))


async def test_streams_text_as_it_comes(stub: ModelStub, model: OpenAICompatible) -> None:
    stub.will(Words("您好,我在听。", by=2))
    parts = await heard(gateway(model))
    assert text(parts) == "您好,我在听。"
    assert len(parts) > 1
    assert stub.requests[0]["stream"] is True
    assert stub.headers[0]["authorization"] == "Bearer k-1"
    assert stub.headers[0]["accept-encoding"] == "identity"


async def test_hands_over_whole_tool_calls(stub: ModelStub, model: OpenAICompatible) -> None:
    stub.will(Call("book", '{"when": "明天上午"}'))
    parts = await heard(gateway(model), tools=[Tool("book", "预约")])
    assert parts == [ToolCall("book", {"when": "明天上午"})]
    assert stub.requests[0]["tools"][0]["function"]["name"] == "book"


async def test_answers_in_json(stub: ModelStub, model: OpenAICompatible) -> None:
    stub.will(Json({"intent": "book", "sure": True}, thinking="她想约号"))
    door = gateway(model)
    answer = await door.structured(
        [Message("user", "约号")], schema=SCHEMA, hospital_id="h1", today=TODAY, mask=Mask(), patience=LONG
    )
    assert answer == {"intent": "book", "sure": True}
    asked = stub.requests[0]
    told = "".join(m["content"] for m in asked["messages"])
    assert asked.get("response_format", {}).get("type") == "json_schema" or '"enum"' in told


@pytest.mark.parametrize(
    "answer",
    [
        Words("我觉得她想约号"),
        Json({"intent": "transfer_money"}),
        Json({"sure": True}),
        Json({"intent": "book", "sure": "yes"}),
        Json({"intent": "book", "hospital_id": "h2"}),
        Json(["book"]),
        Words('{"intent": "book"'),
        Words("[" * 20_000),
        Call("book"),
    ],
)
async def test_json_against_the_schema_is_nonsense(stub: ModelStub, model: OpenAICompatible, answer: Any) -> None:
    stub.will(answer)
    with pytest.raises(ModelNonsense):
        await gateway(model).structured(
            [Message("user", "约号")], schema=SCHEMA, hospital_id="h1", today=TODAY, mask=Mask(), patience=LONG
        )


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        (Status(401), ModelRefused, "model_http_401"),
        (Status(404), ModelRefused, "model_http_404"),
        (Status(429, {"Retry-After": "20"}), ModelBusy, "model_http_429"),
        (Status(500), ModelUnavailable, "model_http_500"),
        (Status(503), ModelUnavailable, "model_http_503"),
        (Status(307, {"Location": "http://127.0.0.1:9/"}), ModelUnavailable, "model_http_307"),
        (Cut(), ModelCut, "model_cut"),
        (Cut("您好"), ModelCut, "model_cut"),
        (Raw(delta("您好")), ModelCut, "model_cut"),
        (Raw(b"data: {not json\n\n"), ModelNonsense, "model_nonsense"),
        (Raw(b'data: {"choices": "none"}\n\n'), ModelNonsense, "model_nonsense"),
        (Raw(b'data: {"choices": [{"delta": {"tool_calls": [7]}}]}\n\n'), ModelNonsense, "model_nonsense"),
        (Raw(b"data: \xff\xfe\n\n"), ModelNonsense, "model_nonsense"),
        (Raw(b'data: {"error": {"message": "out of memory"}}\n\n'), ModelUnavailable, "model_failed_midway"),
        (Raw(b"<html>not a stream</html>"), ModelCut, "model_cut"),
        (Raw(finish()), ModelNonsense, "model_said_nothing"),
        (Words("您好", reason="length"), ModelCut, "model_out_of_tokens"),
        (Words("", reason="content_filter"), ModelNonsense, "model_filtered"),
        (Words("", thinking="一直想"), ModelNonsense, "model_said_nothing"),
        (Endless(), ModelNonsense, "model_too_long"),
        (Endless(b": comment\n" * 400), ModelNonsense, "model_too_long"),
    ],
)
async def test_each_fault_is_a_typed_error(
    stub: ModelStub, model: OpenAICompatible, fault: Any, error: type[LanguageModelError], code: str
) -> None:
    stub.will(fault)
    with pytest.raises(error) as raised:
        await heard(gateway(model))
    assert raised.value.code == code
    assert raised.value.detail and "127.0.0.1" not in raised.value.detail


async def test_nobody_there(stub: ModelStub) -> None:
    gone = OpenAICompatible(base_url="http://127.0.0.1:9/v1", model="gone")
    with pytest.raises(ModelUnavailable):
        await heard(gateway(gone))


@pytest.mark.parametrize(("fault", "code"), [(Stall(), "model_stalled"), (Stall("您"), "model_stalled_midway")])
async def test_a_stall_ends_within_its_time_and_hangs_up(
    stub: ModelStub, model: OpenAICompatible, fault: Stall, code: str
) -> None:
    stub.will(fault)
    with pytest.raises(ModelStalled) as raised:
        await heard(gateway(model), patience=SOON)
    assert raised.value.code == code
    assert stub.left.wait(5), "the server was left to work for nobody"


async def test_going_away_closes_the_connection(stub: ModelStub, model: OpenAICompatible) -> None:
    stub.will(Stall("您好"))
    parts = gateway(model).stream([Message("user", "你好")], hospital_id="h1", today=TODAY, mask=Mask(), patience=LONG)
    assert await anext(parts) == TextDelta("您好")
    await parts.aclose()  # type: ignore[attr-defined]
    assert stub.left.wait(5)


async def test_an_interrupted_turn_hangs_up_and_blames_nobody(stub: ModelStub, model: OpenAICompatible) -> None:
    stub.will(Stall("您好"), Words("在的。"))
    breaker = Breaker(failures=1)
    door = gateway(model, breakers={model.name: breaker}, places=1)
    began = asyncio.Event()

    async def listen() -> None:
        async for _part in door.stream(
            [Message("user", "你好")], hospital_id="h1", today=TODAY, mask=Mask(), patience=LONG
        ):
            began.set()

    turn = asyncio.ensure_future(listen())
    await began.wait()
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert stub.left.wait(5)
    assert not breaker.open
    assert text(await heard(door)) == "在的。"


async def test_a_stumble_is_tried_once_more(stub: ModelStub, model: OpenAICompatible) -> None:
    stub.will(Status(502), Words("在的。"))
    assert text(await heard(gateway(model))) == "在的。"
    assert len(stub.requests) == 2


async def test_after_the_first_word_nothing_is_said_twice(stub: ModelStub, model: OpenAICompatible) -> None:
    stub.will(Cut("您好"), Words("您好,再来一遍。"))
    said = []
    with pytest.raises(ModelCut):
        async for part in gateway(model).stream(
            [Message("user", "你好")], hospital_id="h1", today=TODAY, mask=Mask(), patience=LONG
        ):
            said.append(part)
    assert text(said) == "您好"
    assert len(stub.requests) == 1


async def test_the_next_model_takes_over(stub: ModelStub, model: OpenAICompatible) -> None:
    with ModelStub().will(Status(500)) as broken:
        first = OpenAICompatible(base_url=broken.url, model="broken")
        stub.will(Words("我在。"))
        assert text(await heard(gateway(first, model))) == "我在。"
        assert len(broken.requests) == 2


async def test_three_failures_rest_the_model_and_one_try_decides(stub: ModelStub) -> None:
    clock = Clock()
    model = OpenAICompatible(base_url=stub.url, model="stub")
    door = gateway(model, breakers={"stub": Breaker(failures=3, rest_s=30, clock=clock)})
    stub.will(Raw(b"data: {\n\n"))
    for _ in range(3):
        with pytest.raises(ModelNonsense):
            await heard(door)
    with pytest.raises(ModelUnavailable) as raised:
        await heard(door)
    assert raised.value.code == "model_all_resting"
    assert len(stub.requests) == 3
    clock.now += 31
    stub.will(Words("好了。"))
    assert text(await heard(door)) == "好了。"
    assert text(await heard(door)) == "好了。"


async def test_retry_after_is_obeyed(stub: ModelStub) -> None:
    clock = Clock()
    model = OpenAICompatible(base_url=stub.url, model="stub")
    door = gateway(model, breakers={"stub": Breaker(clock=clock)})
    stub.will(Status(429, {"Retry-After": "20"}), Words("好了。"))
    for _ in range(3):
        with pytest.raises(ModelUnavailable):
            await heard(door)
    assert len(stub.requests) == 1
    clock.now += 21
    assert text(await heard(door)) == "好了。"


async def test_while_resting_only_one_tries(stub: ModelStub) -> None:
    clock = Clock()
    breaker = Breaker(failures=1, rest_s=30, clock=clock)
    breaker.failed()
    clock.now += 31
    assert not breaker.open
    breaker.enter()
    assert breaker.open
    breaker.failed()
    assert breaker.open
    clock.now += 31
    breaker.enter()
    breaker.succeeded()
    assert not breaker.open


async def test_places_are_given_back(stub: ModelStub) -> None:
    model = OpenAICompatible(base_url=stub.url, model="stub")
    door = gateway(model, places=1)
    stub.will(Stall("您好"), Words("好。"))
    first = door.stream([Message("user", "一")], hospital_id="h1", today=TODAY, mask=Mask(), patience=LONG)
    await anext(first)
    with pytest.raises(ModelBusy) as raised:
        await heard(door)
    assert raised.value.code == "model_all_places_taken"
    await first.aclose()  # type: ignore[attr-defined]
    assert text(await heard(door)) == "好。"


async def test_tokens_are_counted_for_each_hospital(stub: ModelStub) -> None:
    purse = Purse(tokens=100)
    door = gateway(OpenAICompatible(base_url=stub.url, model="stub"), purse=purse)
    stub.will(Words("好。", tokens=120))
    await heard(door)
    assert purse.spent == {"h1": 120}
    with pytest.raises(BudgetSpent):
        await heard(door)
    assert len(stub.requests) == 1


async def test_a_server_that_does_not_count_is_charged_by_the_letter(stub: ModelStub) -> None:
    purse = Purse()
    await heard(gateway(OpenAICompatible(base_url=stub.url, model="stub"), purse=purse), "四个字呀")
    assert purse.spent == {"h1": len("四个字呀") + len("好的。")}
