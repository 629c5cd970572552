"""A sign-in that begins in a browser: the super-app's answer counts only there, once, and for five minutes.

Without it a stranger could send her a link that carries a code of his own, and she would go on in his account. The page gets a
secret that it keeps for its tab and a state that goes round by the super-app; who comes back shows both.
"""

import hashlib
import secrets
from dataclasses import dataclass

from django.conf import settings
from django.core.cache import cache

from companion import identity
from companion.exceptions import SignInFailed
from companion.identity.base import BrowserIdentity

LIFE_S = 300


@dataclass(frozen=True, slots=True)
class Begun:
    """``address``: the super-app's page to go to; ``secret``: for the tab alone, in no address."""

    address: str
    secret: str


def begin(provider: str) -> Begun:
    """Raises ``SignInFailed``, with the code ``no_browser_sign_in`` where this super-app has none."""
    backend = identity.backend(provider)
    if not isinstance(backend, BrowserIdentity):
        raise SignInFailed(code="no_browser_sign_in")
    state, secret = secrets.token_hex(16), secrets.token_urlsafe(24)  # states are letters and digits, 100 at most
    cache.set(_key(state), _bound(provider, secret), timeout=LIFE_S)
    return Begun(backend.authorization_address(back=f"{settings.PUBLIC_URL.rstrip('/')}/", state=state), secret)


def finish(provider: str, *, state: str, secret: str) -> None:
    """Use a state up. Raises ``SignInFailed``: it was not begun, not in this tab, not with this super-app, or is used or too old."""
    bound = cache.get(_key(state))
    if not cache.delete(_key(state)) or not secrets.compare_digest(str(bound), _bound(provider, secret)):
        raise SignInFailed(code="sign_in_not_begun")


def needed(provider: str, *, origin: str, agent: str) -> bool:
    """Whether a code without a state is refused: where a page of a browser hands it over.

    A mini-program signs in inside the super-app and offers no state: by itself it sends no Origin; a page in its web-view has
    miniProgram in its User-Agent (WeChat's documentation of web-view, since 7.0.0), which no link can give to another browser.
    """
    return provider != "development" and bool(origin) and "miniprogram" not in agent.lower()


def _key(state: str) -> str:
    return f"sign-in:{hashlib.sha256(state.encode()).hexdigest()}"


def _bound(provider: str, secret: str) -> str:
    return f"{provider}:{hashlib.sha256(secret.encode()).hexdigest()}"
