"""How much of a request's body is taken at all. Django writes the whole of it to disk before it looks who sends it, and where to."""

import json
from typing import Any

from django.conf import settings

from hospitals.problems import MEDIA_TYPE, document
from hospitals.services.importing import MOST_BYTES

IMPORTS = "/api/hospitals/v1/imports/"


def most_bytes(scope: dict[str, Any]) -> int:
    """An upload's limit for whoever shows a credential there, whatever it is worth; elsewhere what a view may read anyway."""
    upload = scope["path"].startswith(IMPORTS) and any(name == b"authorization" for name, _ in scope["headers"])
    return MOST_BYTES if upload else settings.DATA_UPLOAD_MAX_MEMORY_SIZE


class BoundedBody:
    """ASGI: 413 ``too_large`` for a body that says it is too long, before any of it is read, or once it turns out to be."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        most, taken = most_bytes(scope), 0
        said = dict(scope["headers"]).get(b"content-length", b"")
        if said.isdigit() and int(said[:20]) > most:
            await _refuse(send)
            return

        async def bounded() -> dict[str, Any]:
            nonlocal taken
            message: dict[str, Any] = await receive()
            taken += len(message.get("body", b""))
            if taken <= most:
                return message
            await _refuse(send)
            return {"type": "http.disconnect"}  # Django lets go of what it has, and answers nothing

        await self.app(scope, bounded, send)


async def _refuse(send: Any) -> None:
    body = json.dumps(document(413), ensure_ascii=False).encode()
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
