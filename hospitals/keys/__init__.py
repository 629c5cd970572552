"""The key service that wraps data keys: a dotted path and its options in settings.KEY_SERVICE, one instance a process."""

from functools import cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from hospitals.keys.base import KeyService


@cache
def key_service() -> KeyService:
    """This process's key service."""
    chosen: dict[str, Any] = settings.KEY_SERVICE
    made: KeyService = import_string(chosen["BACKEND"])(**chosen.get("OPTIONS", {}))
    return made


def _renew(*, setting: str, **_kwargs: object) -> None:
    if setting == "KEY_SERVICE":
        key_service.cache_clear()


setting_changed.connect(_renew, dispatch_uid="hospitals.keys")
