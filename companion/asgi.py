"""The ASGI door: HTTP by Django, two websocket paths by Channels.

``/ws/companion/`` is for browsers and checks Origin; ``/ws/mini/`` is for mini-programs, which may send none, and asks
for a one-time ticket in the first message instead. Neither uses cookies: the first message carries the token.
"""

import asyncio
import gc
import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "companion.settings")
django_application = get_asgi_application()

from channels.security.websocket import OriginValidator, WebsocketDenier  # noqa: E402  (after Django's set-up)
from django.conf import settings  # noqa: E402
from django.core.exceptions import ImproperlyConfigured  # noqa: E402
from django.db import connection  # noqa: E402
from django.http.request import split_domain_port  # noqa: E402

import hospitals.tasks  # noqa: E402, F401  (the first booking would wait for it)
from companion import background  # noqa: E402
from companion.bounded_body import BoundedBody  # noqa: E402
from companion.celery import app as celery  # noqa: E402
from companion.checks import refuse_to_start  # noqa: E402
from companion.consumers import CompanionConsumer  # noqa: E402


def _connect() -> None:
    """A connection to the database for each thread: whoever comes first when places open should not wait for it."""
    pool: Any = getattr(connection, "pool", None)
    if pool is not None:
        pool.open()
        pool.resize(min(background.THREADS, pool.max_size), pool.max_size)


try:
    refuse_to_start()
except ImproperlyConfigured as error:
    raise SystemExit(str(error)) from error  # uvicorn shows any other exception's way through its own code
celery.finalize()
celery.connection_for_write().get_transport_cls()  # and for what this loads
# What is loaded by now stays. With ten thousand pages open a full collection stops them all for most of a second: seldom, then.
gc.collect()
gc.freeze()
gc.set_threshold(700, 10, 100)

SOCKETS = {
    "/ws/companion/": OriginValidator(CompanionConsumer.as_asgi(), settings.WEBSOCKET_ORIGINS),
    "/ws/mini/": CompanionConsumer.as_asgi(needs_ticket=True),
}
HTTP = BoundedBody(django_application)
NO_SOCKET = WebsocketDenier.as_asgi()


def _socket(scope: Any) -> Any:
    """Whose socket this path is; sockets are residents', so on the admin's host there is none."""
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    if settings.ADMIN_HOST and split_domain_port(host)[0] == settings.ADMIN_HOST:
        return NO_SOCKET
    return SOCKETS.get(scope["path"], NO_SOCKET)


async def _live(receive: Any, send: Any) -> None:
    """ASGI's lifespan."""
    while (await receive())["type"] != "lifespan.shutdown":
        await asyncio.to_thread(_connect)
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def application(scope: Any, receive: Any, send: Any) -> None:
    """What is chosen here is chosen without routers of Channels': each would keep a frame and a scope for every open page."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    chosen = _socket(scope) if scope["type"] == "websocket" else HTTP
    await chosen(scope, receive, send)
