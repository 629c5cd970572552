"""The contract of a sign-in backend: an authorization code from the super-app in, a stable identity out."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a super-app says this is: its key is (provider, app_id, open_id). Never logged."""

    provider: str
    app_id: str
    open_id: str


class IdentityBackend(Protocol):
    """Codes are single-use and minutes old at most; raises ``companion.exceptions.SignInFailed``."""

    async def exchange(self, code: str) -> Identity: ...
