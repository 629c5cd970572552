"""Nobody fills the disk by a body that no view would take, known or not."""

import asyncio
import json
from typing import Any

import pytest
from django.conf import settings

from companion.asgi import HTTP
from companion.bounded_body import IMPORTS, limit
from hospitals.services.importing import MOST_BYTES

pytestmark = [pytest.mark.django_db(transaction=True)]
SIGNED = (b"authorization", b"Bearer nobody")
MOST: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE


async def answered(path: str, chunks: list[bytes], *headers: tuple[bytes, bytes]) -> tuple[int, dict[str, Any], int]:
    """(status, the problem, how many chunks were taken)."""
    scope: dict[str, Any] = {
        "type": "http",
        "method": "PUT",
        "path": path,
        "query_string": b"",
        "headers": list(headers),
    }
    told: list[dict[str, Any]] = []
    left = list(chunks)

    async def receive() -> dict[str, Any]:
        if not left:  # as a server does while the client waits for its answer
            await asyncio.Event().wait()
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    await HTTP({**scope, "headers": [(b"host", b"localhost"), *headers]}, receive, send)
    body = b"".join(message.get("body", b"") for message in told)
    assert [message["type"] for message in told].count("http.response.start") == 1
    return told[0]["status"], json.loads(body), len(chunks) - len(left)


async def sent(path: str, chunks: list[bytes], *headers: tuple[bytes, bytes]) -> tuple[int, str, int]:
    """The same with the problem's code alone."""
    status, problem, taken = await answered(path, chunks, *headers)
    return status, problem["code"], taken


async def test_a_body_that_says_it_is_too_long_is_refused_unread() -> None:
    said = (b"content-length", b"%d" % (MOST + 1))
    assert await sent("/api/session/", [b"x"], said) == (413, "too_large", 0)


@pytest.mark.parametrize(
    ("path", "headers", "most", "words"),
    [
        (f"{IMPORTS}00000000-0000-0000-0000-000000000001/", [SIGNED], MOST_BYTES, "一次最多 64 MiB,请分几次上传。"),
        ("/api/session/", [], MOST, f"内容太大,最多 {MOST // 1024} KiB。"),
    ],
)
async def test_it_says_how_large_a_body_may_be_and_what_to_do(
    path: str, headers: list[tuple[bytes, bytes]], most: int, words: str
) -> None:
    _status, problem, taken = await answered(path, [b"x"], (b"content-length", b"%d" % (most + 1)), *headers)
    assert (problem["detail"], problem["code"], taken) == (words, "too_large", 0)


async def test_one_that_does_not_say_is_refused_once_it_is_too_long() -> None:
    chunks = [b"x" * (MOST // 4)] * 9
    assert await sent("/api/session/", chunks) == (413, "too_large", 5)


async def test_a_body_that_is_not_too_long_reaches_its_view() -> None:
    status, code, taken = await sent(f"{IMPORTS}00000000-0000-0000-0000-000000000001/", [b"x"] * 3, SIGNED)
    assert (status, code, taken) == (401, "unauthenticated", 3)


@pytest.mark.parametrize(
    ("path", "headers", "most"),
    [
        (f"{IMPORTS}1/", [SIGNED], MOST_BYTES),
        (f"{IMPORTS}1/", [], MOST),
        ("/api/hospitals/v1/events/", [SIGNED], MOST),
        ("/", [SIGNED], MOST),
    ],
)
def test_a_directory_s_limit_is_for_uploads_with_a_credential(
    path: str, headers: list[tuple[bytes, bytes]], most: int
) -> None:
    assert limit({"path": path, "headers": headers})[0] == most
