"""How much of a request's body is taken at all. Django writes the whole of it to disk before it looks who sends it, and where to."""

import json
from typing import Any

from django.conf import settings

from hospitals.problems import MEDIA_TYPE, document
from hospitals.services import importing

IMPORTS = "/api/hospitals/v1/imports/"


def limit(scope: dict[str, Any]) -> tuple[int, str]:
    """(bytes, what is said of more): an upload's for whoever shows a credential there, whatever it is worth; elsewhere what a view
    may read anyway."""
    if scope["path"].startswith(IMPORTS) and any(name == b"authorization" for name, _ in scope["headers"]):
        return importing.MOST_BYTES, importing.too_large().detail
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    return most, f"内容太大,最多 {most // 1024} KiB。"


class BoundedBody:
    """ASGI: 413 ``too_large`` for a body that says it is too long, before any of it is read, or once it turns out to be."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        (most, words), taken = limit(scope), 0
        said = dict(scope["headers"]).get(b"content-length", b"")
        if said.isdigit() and int(said[:20]) > most:
            await _refuse(send, words)
            return

        async def bounded() -> dict[str, Any]:
            nonlocal taken
            message: dict[str, Any] = await receive()
            taken += len(message.get("body", b""))
            if taken <= most:
                return message
            await _refuse(send, words)
            return {"type": "http.disconnect"}  # Django lets go of what it has, and answers nothing

        await self.app(scope, bounded, send)


async def _refuse(send: Any, words: str) -> None:
    body = json.dumps(document(413, detail=words), ensure_ascii=False).encode()
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
