"""How often somebody may call: counters in the shared cache, one a window; what is left is told in every answer."""

import hashlib
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


CREDENTIAL = Limit("credential", 600, 60)
APPLICATIONS = Limit("applications", 10, 3600)
# By address and whom the call is said to be from, so that hospitals behind one address do not shut each other out;
# by the address alone only far above.
TOKENS = Limit("tokens", 60, 60)
OUTWARD = Limit("outward", 10, 60)  # calls by which a hospital makes us look for or call its own address
TOKENS_ADDRESS = Limit("tokens-address", 1200, 60)
REFUSED_EVENTS = Limit("refused-events", 120, 60)
REFUSED_EVENTS_ADDRESS = Limit("refused-events-address", 2400, 60)


def named(address: str, name: str) -> str:
    """The caller of a limit by address and a name that it gives itself, which may be of any length."""
    return f"{address}:{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:16]}"


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


def standing(limit: Limit, caller: str) -> Standing:
    """What is left, without counting."""
    key, reset_s = _window(limit, caller)
    try:
        used = int(cache.get(key, 0))
    except Exception as error:  # noqa: BLE001  (as above)
        log.warning("limit_uncounted", limit=limit.name, error=type(error).__name__)
        used = 0
    return Standing(limit, limit.quota - used, reset_s)


def within(found: Standing, *, least: int = 0) -> None:
    """Raises ``TooManyRequests`` where less than ``least`` is left."""
    if found.remaining < least:
        raise TooManyRequests(retry_after_s=found.reset_s)


def exhausted(limit: Limit, caller: str) -> bool:
    """Whether the quota is used up, without counting."""
    return standing(limit, caller).remaining <= 0


def headers(standings: list[Standing]) -> dict[str, str]:
    """``RateLimit`` fields for each limit that a request came under, in the form of the IETF's draft (structured fields)."""
    if not standings:
        return {}
    policies = (f'"{at.limit.name}";q={at.limit.quota};w={at.limit.window_s}' for at in standings)
    left = (f'"{at.limit.name}";r={max(0, at.remaining)};t={at.reset_s}' for at in standings)
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(left)}
