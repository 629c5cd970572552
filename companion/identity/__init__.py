"""Who signs in: one backend a super-app, chosen in settings.IDENTITY_BACKENDS."""

from functools import cache

from django.conf import settings
from django.utils.module_loading import import_string

from companion.exceptions import SignInFailed
from companion.identity.base import IdentityBackend


@cache
def backend(name: str) -> IdentityBackend:
    """The process's one instance of this backend. Raises ``SignInFailed`` for a name that is not enabled."""
    if name not in settings.IDENTITY_ENABLED:
        raise SignInFailed(code="unknown_identity")
    entry = settings.IDENTITY_BACKENDS[name]
    return import_string(entry["BACKEND"])(**entry["OPTIONS"])
