"""Counting requests."""

import socket
from typing import Any

from hospitals.services import limits


def test_a_cache_that_hangs_counts_nothing_and_holds_nobody(settings: Any) -> None:
    hasty = {name: 0.05 for name in settings.CACHES["default"]["OPTIONS"] if name.endswith("timeout")}
    assert set(hasty) == {"socket_timeout", "socket_connect_timeout"}  # without them this test would not end
    with socket.create_server(("127.0.0.1", 0)) as hangs:  # it takes connections, and never answers
        at = f"redis://127.0.0.1:{hangs.getsockname()[1]}/0"
        settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": at, "OPTIONS": hasty}}
        assert limits.count(limits.TOKENS, "somebody").remaining == limits.TOKENS.quota - 1
        assert not limits.exhausted(limits.TOKENS, "somebody")
