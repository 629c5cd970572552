"""From a typed question to the first sound and the first mouth at the client, and turns a second: the whole real service."""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from websockets.asyncio.client import ClientConnection, connect

from avatar.protocol import MOUTH, decode
from tests.scenario.stack import Stack

QUESTIONS = [
    "眼睛干涩挂什么科?",
    "我咳嗽三天了",
    "膝盖疼,上下楼厉害",
    "高血压平时要注意什么",
    "耳朵嗡嗡响",
    "牙疼睡不着",
]
ROUNDS = 8
SETTLES_S = 10  # the demo's last worker starts behind the page
CLIENTS, TURNS_EACH = 8, 6


async def signed_in(stack: Stack, code: str) -> ClientConnection:
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{stack.url}/api/session/", json={"provider": "development", "code": code})
    opened = await connect(f"ws://127.0.0.1:{stack.port}/ws/companion/", origin=stack.url, max_size=None)  # type: ignore[arg-type]
    await opened.send(json.dumps({"type": "hello", "token": answer.json()["token"]}))
    await until(opened, "turn.ended")
    return opened


async def until(opened: ClientConnection, kind: str) -> None:
    while True:
        data = await opened.recv()
        if isinstance(data, str) and json.loads(data)["type"] == kind:
            return


async def ask(opened: ClientConnection, text: str) -> tuple[float, float]:
    """Milliseconds from sending the question to the first sound and the first mouth frame of its answer."""
    begun = time.perf_counter()
    await opened.send(json.dumps({"type": "text", "id": uuid4().hex, "text": text}))
    generation, sound, mouth = None, 0.0, 0.0
    while not (sound and mouth):
        data = await opened.recv()
        now = (time.perf_counter() - begun) * 1000
        if isinstance(data, str):
            frame = json.loads(data)
            if frame["type"] == "flush":
                generation = frame["generation"]
            continue
        for packet in decode(data):
            if generation is None or packet.generation < generation:
                continue
            kind = type(packet).__name__
            if kind == "Audio" and not sound:
                sound = now
            elif kind in {"Frames", "Picture"} and getattr(packet, "part", MOUTH) == MOUTH and not mouth:
                mouth = now
    return sound, mouth


async def first_answer(stack: Stack) -> tuple[list[float], list[float]]:
    opened = await signed_in(stack, "demo-bench")
    sounds, mouths = [], []
    for n in range(ROUNDS * len(QUESTIONS)):
        sound, mouth = await asyncio.wait_for(ask(opened, QUESTIONS[n % len(QUESTIONS)]), 20)
        if n >= len(QUESTIONS):  # the first round warms every process up
            sounds.append(sound)
            mouths.append(mouth)
    await opened.close()
    return sounds, mouths


async def turns_a_second(stack: Stack) -> float:
    async def client(number: int) -> None:
        opened = await signed_in(stack, f"demo-bench-{number}")
        for n in range(TURNS_EACH):
            text = QUESTIONS[(number + n) % len(QUESTIONS)]
            await opened.send(json.dumps({"type": "text", "id": uuid4().hex, "text": text}))
            await until(opened, "turn.ended")
        await opened.close()

    begun = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return CLIENTS * (TURNS_EACH + 1) / (time.perf_counter() - begun)


def figures() -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder)).start()
        time.sleep(SETTLES_S)
        try:
            sounds, mouths = asyncio.run(first_answer(stack))
            for name, values in (("question_to_first_audio", sounds), ("question_to_first_mouth", mouths)):
                yield {"name": f"{name}_p50_ms", "value": round(statistics.median(values), 1), "unit": "ms"}
                p95 = sorted(values)[int(len(values) * 0.95) - 1]
                yield {"name": f"{name}_p95_ms", "value": round(p95, 1), "unit": "ms"}
            rate = asyncio.run(turns_a_second(stack))
            yield {"name": "turns_per_second", "value": round(rate, 1), "unit": "1/s"}
        finally:
            stack.stop()
