"""The ASGI door: HTTP by Django, two websocket paths by Channels.

``/ws/companion/`` is for browsers and checks Origin; ``/ws/mini/`` is for mini-programs, which may send none, and asks
for a one-time ticket in the first message instead. Neither uses cookies: the first message carries the token.
"""

import gc
import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "companion.settings")
django_application = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402  (after Django's set-up)
from channels.security.websocket import OriginValidator, WebsocketDenier  # noqa: E402
from django.conf import settings  # noqa: E402
from django.http.request import split_domain_port  # noqa: E402
from django.urls import path  # noqa: E402

from companion.checks import refuse_to_start  # noqa: E402
from companion.consumers import CompanionConsumer  # noqa: E402

refuse_to_start()
# What is loaded by now stays. With ten thousand pages open a full collection stops them all for most of a second: seldom, then.
gc.collect()
gc.freeze()
gc.set_threshold(700, 10, 100)

sockets = URLRouter(
    [
        path(
            "ws/companion/",
            OriginValidator(CompanionConsumer.as_asgi(), settings.WEBSOCKET_ORIGINS),
        ),
        path("ws/mini/", CompanionConsumer.as_asgi(needs_ticket=True)),
    ]
)


async def not_on_the_admin_host(scope: Any, receive: Any, send: Any) -> None:
    """Sockets are residents'."""
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    there = bool(settings.ADMIN_HOST) and split_domain_port(host)[0] == settings.ADMIN_HOST
    await (WebsocketDenier() if there else sockets)(scope, receive, send)


application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": not_on_the_admin_host,
    }
)
