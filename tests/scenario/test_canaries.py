"""Nobody's words are where they do not belong: a visit is lived through, then logs, queues, Redis and the database are searched.

Redis is watched command by command while it happens (MONITOR), so that also what lived for a moment is seen: tasks, pushes, speech.
"""

import asyncio
import base64
import contextlib
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import redis

from tests.embedded import ON_SERVICES
from tests.scenario.stack import Stack
from tests.scenario.test_faults import frame, signed_in

pytestmark = [
    pytest.mark.skipif(
        ON_SERVICES, reason="the shared Redis carries others' words too; the embedded one is ours alone"
    ),
]
# The resident's card as seeded, and what she says; each so odd that it is nowhere by chance.
CANARIES = {
    "name": "周敏",
    "id number": "990101198801150063",
    "phone": "13900007788",
    "symptom": "像金丝雀啄似的刺痛",
}
TALK = [
    f"我左眼{CANARIES['symptom']}三天了,挂什么科",
    f"我的电话是{CANARIES['phone']},身份证{CANARIES['id number']}",
    "明天上午市一医院眼科",
    "好",
    f"我要投诉,我叫{CANARIES['name']},护士态度差",
    "转人工",
]
BODY = {
    "provider": CANARIES["name"],
    "code": CANARIES["phone"],
    "name": CANARIES["name"],
    "id_number": CANARIES["id number"],
    "text": CANARIES["symptom"],
    "licence_number": CANARIES["id number"],
    "contact": {"name": CANARIES["name"], "phone": CANARIES["phone"], "email": "a@example.org"},
}
_BASE64 = re.compile(rb'"body": "([A-Za-z0-9+/=]{8,})"')


def forms(canary: str) -> list[bytes]:
    """As plain text, as JSON with escapes, as hex, and as Redis prints bytes it cannot show."""
    plain = canary.encode()
    printed = "".join(f"\\x{byte:02x}" if byte > 126 else chr(byte) for byte in plain).encode()
    return list(dict.fromkeys([plain, json.dumps(canary)[1:-1].encode(), plain.hex().encode(), printed]))


def found_in(data: bytes) -> list[str]:
    data += b"".join(base64.b64decode(body) for body in _BASE64.findall(data.replace(b'\\"', b'"')))
    return [what for what, canary in CANARIES.items() if any(form in data for form in forms(canary))]


@contextlib.contextmanager
def watched(store: redis.Redis) -> Iterator[list[bytes]]:
    """Every command that any client sends to Redis in the meantime."""
    seen: list[bytes] = []
    ready, marker = threading.Event(), uuid4().hex

    def watch() -> None:
        with store.monitor() as monitor:
            ready.set()
            for command in monitor.listen():
                line = str(command["command"]).encode()
                seen.append(line)
                if marker.encode() in line:
                    return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    assert ready.wait(5)
    try:
        yield seen
    finally:
        store.echo(marker)
        thread.join(10)


def everything_in(store: redis.Redis) -> bytes:
    parts: list[bytes] = []
    for key in store.scan_iter(count=500):
        parts.append(key)
        match store.type(key):
            case b"string":
                parts.append(store.get(key) or b"")
            case b"hash":
                parts += [piece for pair in store.hgetall(key).items() for piece in pair]
            case b"list":
                parts += store.lrange(key, 0, -1)
            case b"set":
                parts += list(store.smembers(key))
            case b"zset":
                parts += store.zrange(key, 0, -1)
            case b"stream":
                parts += [piece for _id, entry in store.xrange(key) for pair in entry.items() for piece in pair]
    return b"\n".join(parts)


async def live(stack: Stack) -> None:
    """Her talk, then every address of the service with her words in query, header and body."""
    async with signed_in(stack, "demo-daughter") as (opened, _ready):
        for text in TALK:
            await opened.send(json.dumps({"type": "text", "id": uuid4().hex, "text": text}))
            await frame(opened, "turn.ended")
        await opened.send(json.dumps({"type": CANARIES["name"], "text": CANARIES["symptom"]}))
        await frame(opened, "error")
        await asyncio.sleep(1.5)  # the last words are still being spoken


def knocked(stack: Stack) -> Iterator[tuple[str, httpx.Response]]:
    operations: dict[str, Any] = httpx.get(f"{stack.url}/api/schema/?format=json").json()["paths"]
    with httpx.Client(base_url=stack.url, timeout=20) as client:
        for path, methods in operations.items():
            address = re.sub(r"\{[^}]+\}", "nobody", path)
            for method in methods.keys() & {"get", "post", "put", "patch", "delete"}:
                for headers in ({}, {"authorization": f"Bearer {CANARIES['phone']}", "idempotency-key": "k-1"}):
                    sent = {"params": {"q": CANARIES["symptom"]}, "headers": headers}
                    body = {"json": BODY} if method in ("post", "put", "patch") else {}
                    yield f"{method} {path}", client.request(method, address, **sent, **body)
        for address in ("/admin/login/", "/nowhere/", "/health/"):
            yield address, client.get(address, params={"next": CANARIES["symptom"]})


@pytest.fixture()
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A service of its own: nothing in its logs and rows is another test's."""
    running = Stack(tmp_path).start()
    yield running
    running.stop()


def test_a_visit_leaves_nobody_s_words_in_logs_queues_redis_errors_or_the_database(stack: Stack) -> None:
    store = redis.Redis(unix_socket_path=str(stack.folder / "redis.sock"))
    assert found_in(f"x {CANARIES['name']}".encode()) == ["name"], "the search itself works"
    with watched(store) as commands:
        asyncio.run(live(stack))
        errors = [(name, answer) for name, answer in knocked(stack) if answer.status_code >= 400]
        left = everything_in(store)
    assert len(commands) > 200 and any(b"speech" in line for line in commands), "Redis was seen at work"
    assert found_in(b"\n".join(commands)) == []
    assert found_in(left) == []
    assert len(errors) > 20
    assert {name: found for name, answer in errors if (found := found_in(answer.content))} == {}
    assert [name for name, answer in errors if answer.status_code >= 500] == []
    logs = b"".join(path.read_bytes() for path in (stack.folder / "logs").iterdir())
    assert b'"event"' in logs
    assert found_in(logs + (stack.folder / "demo.log").read_bytes()) == []
    rows = b"".join(path.read_bytes() for path in stack.folder.glob("*.sqlite3*"))
    assert "岚州市".encode() in rows, "it is this service's database"
    assert found_in(rows) == []
