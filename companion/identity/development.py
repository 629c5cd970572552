"""Sign-in for the demo and for tests: the code is the seeded resident's own key. Refused outside demo mode."""

from django.conf import settings

from companion.exceptions import SignInFailed
from companion.identity.base import Identity


class DevelopmentIdentity:
    """``code`` "demo-resident" signs in the demo's resident; any other code an invented one of that name."""

    async def exchange(self, code: str) -> Identity:
        if settings.MODE != "demo" or not code.startswith("demo-") or not code.isascii() or len(code) > 40:
            raise SignInFailed
        return Identity(provider="development", app_id="demo", open_id=code)
