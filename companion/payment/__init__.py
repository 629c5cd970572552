"""Who takes the money: one engine a payment gateway, chosen in settings.PAYMENT_BACKENDS; none is a choice as well."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import cache
from typing import TypeVar

import structlog
from django.conf import settings
from django.utils.module_loading import import_string

from companion.payment.base import GatewayUnavailable, PaymentBackend

T = TypeVar("T")
log = structlog.get_logger(__name__)

WITHIN_S = 6.0
AT_ONCE = 16  # calls of one process to one gateway

_places: dict[str, threading.BoundedSemaphore] = {}


@cache
def backend(name: str) -> PaymentBackend:
    """The process's one instance of this engine. Raises ``GatewayUnavailable`` (engine_unusable): unknown, or without its keys."""
    try:
        entry = settings.PAYMENT_BACKENDS[name]
        made: PaymentBackend = import_string(entry["BACKEND"])(**entry["OPTIONS"])
    except (KeyError, ImportError, TypeError, ValueError) as error:
        raise GatewayUnavailable(code="engine_unusable") from error
    return made


async def ask(engine: str, call: Callable[[PaymentBackend], Awaitable[T]]) -> T:
    """One call of the engine's, on the loop: of no database thread, and in no transaction of the caller's.

    Raises ``GatewayUnavailable``: after ``WITHIN_S`` however the gateway spreads its answer, and at once
    (``gateway_crowded``) where ``AT_ONCE`` others of this process are under way, or (``engine_unusable``) without such an engine.
    """
    place = _places.setdefault(engine, threading.BoundedSemaphore(AT_ONCE))  # in one step: threads come here at once
    if not place.acquire(blocking=False):
        log.warning("gateway_crowded", engine=engine)
        raise GatewayUnavailable(code="gateway_crowded")
    try:
        async with asyncio.timeout(WITHIN_S):
            return await call(backend(engine))
    except TimeoutError as error:
        log.warning("gateway_too_slow", engine=engine)
        raise GatewayUnavailable from error
    finally:
        place.release()
