"""The key service that wraps data keys: a dotted path and its options in settings.KEY_SERVICE, one instance a process.

``BEFORE`` in it, of the same form, is the one that was used until now and still opens what it wrapped.
"""

import os
from functools import cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from hospitals.keys.base import KeyService, MovingKeyService


def _made(chosen: dict[str, Any]) -> KeyService:
    made: KeyService = import_string(chosen["BACKEND"])(**chosen.get("OPTIONS", {}))
    return made


def chosen_service() -> KeyService:
    """A service as it is chosen now, without the one of before."""
    return _made(settings.KEY_SERVICE)


@cache
def key_service() -> KeyService:
    """This process's key service."""
    now, before = chosen_service(), settings.KEY_SERVICE.get("BEFORE")
    return MovingKeyService(now, _made(before)) if before else now


def _renew(*, setting: str, **_kwargs: object) -> None:
    if setting == "KEY_SERVICE":
        key_service.cache_clear()


setting_changed.connect(_renew, dispatch_uid="hospitals.keys")
# Connections and a token's sessions are one process's: a worker that was forked after the checks at start makes its own.
os.register_at_fork(after_in_child=key_service.cache_clear)
