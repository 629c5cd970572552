"""How often somebody may call: counters in the shared cache, one a window; what is left is told in every answer."""

from dataclasses import dataclass

import structlog
from django.core.cache import cache
from django.utils import timezone

from hospitals.exceptions import TooManyRequests

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limit:
    """``quota`` requests in ``window_s`` seconds, counted under ``name`` for each caller."""

    name: str
    quota: int
    window_s: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What is left of a limit for one caller: ``remaining`` requests until the window ends in ``reset_s`` seconds."""

    limit: Limit
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        """``RateLimit`` fields, in the form of the IETF's draft (structured fields)."""
        name = self.limit.name
        return {
            "RateLimit-Policy": f'"{name}";q={self.limit.quota};w={self.limit.window_s}',
            "RateLimit": f'"{name}";r={max(0, self.remaining)};t={self.reset_s}',
        }


CREDENTIAL = Limit("credential", 600, 60)
APPLICATIONS = Limit("applications", 10, 3600)
TOKENS = Limit("tokens", 60, 60)
OUTWARD = Limit("outward", 10, 60)  # calls by which a hospital makes us look for or call its own address
REFUSED_EVENTS = Limit("refused-events", 120, 60)


def _window(limit: Limit, caller: str) -> tuple[str, int]:
    now = int(timezone.now().timestamp())
    number, passed = divmod(now, limit.window_s)
    return f"limit:{limit.name}:{caller}:{number}", limit.window_s - passed


def count(limit: Limit, caller: str) -> Standing:
    """Count one request. A cache that is away counts nothing: it must not shut the hospitals out."""
    key, reset_s = _window(limit, caller)
    try:
        cache.add(key, 0, timeout=limit.window_s + 5)
        used = cache.incr(key)
    except Exception as error:  # noqa: BLE001  (whatever the cache's library raises)
        log.warning("limit_uncounted", limit=limit.name, error=type(error).__name__)
        used = 1
    return Standing(limit, limit.quota - used, reset_s)


def check(limit: Limit, caller: str) -> Standing:
    """Count one request. Raises ``TooManyRequests`` beyond the quota."""
    found = count(limit, caller)
    if found.remaining < 0:
        raise TooManyRequests(retry_after_s=found.reset_s)
    return found


def exhausted(limit: Limit, caller: str) -> bool:
    """Whether the quota is used up, without counting."""
    key, _reset_s = _window(limit, caller)
    try:
        return int(cache.get(key, 0)) >= limit.quota
    except Exception as error:  # noqa: BLE001  (as above)
        log.warning("limit_uncounted", limit=limit.name, error=type(error).__name__)
        return False
