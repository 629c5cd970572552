"""The contract of a sign-in backend: an authorization code from the super-app in, a stable identity out."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a super-app says this is: its key is (provider, app_id, open_id). Never logged."""

    provider: str
    app_id: str
    open_id: str


class IdentityBackend(Protocol):
    """Codes are single-use and minutes old at most; raises ``companion.exceptions.SignInFailed``."""

    async def exchange(self, code: str) -> Identity: ...


@runtime_checkable
class BrowserIdentity(IdentityBackend, Protocol):
    """A super-app that also signs in from a browser, by a page of its own to which she is led."""

    def authorization_address(self, *, back: str, state: str) -> str:
        """That page's address. It leads ``back`` with a code and the ``state`` as it was given."""
        ...
