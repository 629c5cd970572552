"""The ASGI door: HTTP by Django, two websocket paths by Channels.

``/ws/companion/`` is for browsers and checks Origin; ``/ws/mini/`` is for mini-programs, which may send none, and asks
for a one-time ticket in the first message instead. Neither uses cookies: the first message carries the token.
"""

import gc
import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "companion.settings")
django_application = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402  (after Django's set-up)
from channels.security.websocket import OriginValidator  # noqa: E402
from django.conf import settings  # noqa: E402
from django.urls import path  # noqa: E402

from companion.checks import refuse_to_start  # noqa: E402
from companion.consumers import CompanionConsumer  # noqa: E402

refuse_to_start()
# What is loaded by now stays. With ten thousand pages open a full collection stops them all for most of a second: seldom, then.
gc.collect()
gc.freeze()
gc.set_threshold(700, 10, 100)

application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": URLRouter(
            [
                path(
                    "ws/companion/",
                    OriginValidator(CompanionConsumer.as_asgi(), settings.WEBSOCKET_ORIGINS),
                ),
                path("ws/mini/", CompanionConsumer.as_asgi(needs_ticket=True)),
            ]
        ),
    }
)
