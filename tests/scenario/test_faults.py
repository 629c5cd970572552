"""What goes wrong outside: hostile messages, a dead worker, Redis restarted. Each has a typed answer and loses nothing."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from avatar.protocol import decode
from tests.scenario.stack import Stack

pytestmark = pytest.mark.services


def token(stack: Stack, code: str = "demo-fault") -> str:
    answer = httpx.post(f"{stack.url}/api/session/", json={"provider": "development", "code": code})
    assert answer.status_code == 201, answer.text
    return answer.json()["token"]


@asynccontextmanager
async def socket(stack: Stack, origin: str | None = None) -> AsyncIterator[ClientConnection]:
    address = f"ws://127.0.0.1:{stack.port}/ws/companion/"
    async with connect(address, origin=origin or stack.url, max_size=None) as opened:
        yield opened


async def frame(
    opened: ClientConnection, *kinds: str, within_s: float = 10, ended: dict[str, str] | None = None
) -> dict[str, Any]:
    """The next JSON frame of one of these types; other frames pass by. How utterances end meanwhile goes into ``ended``."""
    async with asyncio.timeout(within_s):
        while True:
            data = await opened.recv()
            if not isinstance(data, str):
                note_ends(data, {} if ended is None else ended)
            elif (found := json.loads(data))["type"] in kinds:
                return found


def note_ends(media: bytes, ended: dict[str, str]) -> None:
    for packet in decode(media):
        kind = type(packet).__name__
        if kind in {"End", "Fallback"}:
            ended[f"{packet.generation}-{packet.index}"] = kind.upper()


@asynccontextmanager
async def signed_in(stack: Stack, code: str = "demo-fault", conversation: str | None = None) -> AsyncIterator[Any]:
    async with socket(stack) as opened:
        hello = {"type": "hello", "token": token(stack, code), "conversation": conversation}
        await opened.send(json.dumps(hello))
        ready = await frame(opened, "ready")
        yield opened, ready


async def close_code(opened: ClientConnection) -> int:
    async with asyncio.timeout(10):
        try:
            while True:
                await opened.recv()
        except ConnectionClosed:
            return opened.close_code or 0


async def test_a_foreign_origin_may_not_open_the_socket(stack: Stack) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with socket(stack, origin="https://evil.example"):
            pass
    assert caught.value.response.status_code == 403


@pytest.mark.parametrize("bad", ["", "no-such-token", "a" * 5000, 7, None])
async def test_a_socket_without_a_good_token_is_told_so_and_closed(stack: Stack, bad: Any) -> None:
    async with socket(stack) as opened:
        await opened.send(json.dumps({"type": "hello", "token": bad}))
        assert (await frame(opened, "error"))["code"] in {"not_signed_in", "token_expired"}
        assert await close_code(opened) == 4401


async def test_nothing_is_answered_before_hello(stack: Stack) -> None:
    async with socket(stack) as opened:
        await opened.send(json.dumps({"type": "text", "id": "1", "text": "你好"}))
        assert (await frame(opened, "error"))["code"] == "hello_first"
        assert await close_code(opened) == 4401


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "bad_json"),
        ("[" * 20_000, "bad_json"),
        ("[]", "bad_json"),
        ('{"type":"launch"}', "unknown_type"),
        ('{"type":7}', "bad_json"),
        (json.dumps({"type": "text", "id": "1", "text": "痛" * 350_000}, ensure_ascii=False), "too_long"),
        (json.dumps({"type": "text", "id": "1", "text": "痛" * 501}), "too_long"),
        ('{"type":"text","id":"1"}', "bad_field"),
        ('{"type":"text","text":"头痛"}', "bad_field"),
        ('{"type":"action","id":"1","action":"book"}', "bad_field"),
        ('{"type":"playhead","utterance":"1-0","pts_ms":-4}', "bad_field"),
        ('{"type":"setting","rate":99}', "bad_field"),
    ],
)
async def test_bad_messages_get_a_typed_error_and_the_socket_lives(stack: Stack, message: str, code: str) -> None:
    async with signed_in(stack) as (opened, _ready):
        await opened.send(message)
        error = await frame(opened, "error")
        assert error["code"] == code and error["detail"]
        await opened.send('{"type":"ping"}')
        await frame(opened, "pong")


async def test_a_binary_message_is_refused(stack: Stack) -> None:
    async with signed_in(stack) as (opened, _ready):
        await opened.send(b"\x00\x01")
        assert (await frame(opened, "error"))["code"] == "binary_not_allowed"


async def test_an_expired_or_revoked_token_does_not_open_a_session(stack: Stack) -> None:
    given = token(stack, "demo-leaver")
    answer = httpx.delete(f"{stack.url}/api/session/", headers={"Authorization": f"Bearer {given}"})
    assert answer.status_code == 204
    async with socket(stack) as opened:
        await opened.send(json.dumps({"type": "hello", "token": given}))
        assert (await frame(opened, "error"))["code"] == "token_revoked"


async def test_another_residents_conversation_cannot_be_taken_over(stack: Stack) -> None:
    async with (
        signed_in(stack, "demo-one") as (_opened, mine),
        signed_in(stack, "demo-two", conversation=mine["conversation"]) as (_other, theirs),
    ):
        assert theirs["conversation"] != mine["conversation"]


async def spoken(opened: ClientConnection, ids: list[str], ended: dict[str, str], within_s: float) -> None:
    """Until ``ended``, which says how ("END" | "FALLBACK"), has each of these utterances."""
    deadline = time.monotonic() + within_s
    while not ended.keys() >= set(ids) and time.monotonic() < deadline:  # what was said before may end, too
        async with asyncio.timeout(max(0.1, deadline - time.monotonic())):
            data = await opened.recv()
        if not isinstance(data, str):
            note_ends(data, ended)


async def ask(opened: ClientConnection, text: str) -> list[str]:
    """Say something; returns the utterances that the answer is made of."""
    await opened.send(json.dumps({"type": "text", "id": uuid4().hex, "text": text}))
    ids: list[str] = []
    while True:
        got = await frame(opened, "say", "turn.ended")
        if got["type"] == "turn.ended":
            return ids
        ids += [u["id"] for u in got.get("utterances", [])]


async def test_a_worker_killed_in_mid_sentence_costs_no_words(stack: Stack) -> None:
    async with signed_in(stack, "demo-worker") as (opened, _ready):
        await frame(opened, "turn.ended")
        await opened.send(json.dumps({"type": "text", "id": uuid4().hex, "text": "眼睛干涩挂什么科?"}))
        ended: dict[str, str] = {}
        first = await frame(opened, "say", ended=ended)  # a short clause may be over before its words come
        for pid in stack.pids("-Q speech"):
            os.kill(pid, signal.SIGKILL)
        await spoken(opened, [u["id"] for u in first["utterances"]], ended, within_s=20)
        assert set(ended) >= {u["id"] for u in first["utterances"]}


async def test_redis_restarted_pages_come_back_and_the_visit_stands(stack: Stack) -> None:
    if "REDIS_URL" in stack.environment and stack.environment["REDIS_URL"].startswith("redis://"):
        pytest.skip("the shared Redis server is not ours to restart")
    async with signed_in(stack, "demo-redis") as (opened, ready):
        await frame(opened, "turn.ended")
        for pid in stack.pids("redis-server"):
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if httpx.get(f"{stack.url}/health/").status_code == 200:
                break
            await asyncio.sleep(0.2)
    async with signed_in(stack, "demo-redis", conversation=ready["conversation"]) as (opened, again):
        assert again["conversation"] == ready["conversation"]
        await frame(opened, "turn.ended", within_s=20)
        assert await ask(opened, "你好")
