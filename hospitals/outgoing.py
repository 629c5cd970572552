"""Every call to an address that a hospital gave: only to the public internet or to networks the operator named, and bounded.

A name is resolved once, every address it has is checked, and the connection goes to that very address, so a second answer
of the name server changes nothing. Redirects are not followed. Time, size and repetitions have limits. Free of Django.
"""

import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpcore
import httpx

from hospitals.addresses import Policy, Resolve, addresses, system_resolve
from hospitals.exceptions import AddressRefused, ConnectorUnavailable, OutcomeUnknown

CONNECT_S, READ_S, TOTAL_S = 5.0, 10.0, 25.0
MAX_BYTES = 4 * 1024 * 1024
ATTEMPTS = 3
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 3.0
_RETRY_STATUS = frozenset({429, 502, 503, 504})


# --- time ---------------------------------------------------------------------------------------------------

_deadline: ContextVar[float | None] = ContextVar("outgoing_deadline", default=None)


@contextmanager
def deadline(seconds: float, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Everything sent inside ends by then, repetitions and trickled answers included; an earlier outer deadline stands."""
    before = _deadline.get()
    mine = clock() + seconds
    token = _deadline.set(mine if before is None else min(before, mine))
    try:
        yield
    finally:
        _deadline.reset(token)


def remaining(clock: Callable[[], float] = time.monotonic) -> float:
    """Seconds until the deadline; infinite without one."""
    end = _deadline.get()
    return float("inf") if end is None else end - clock()


def _capped(timeout: float | None, error: type[Exception]) -> float:
    left = remaining()
    if left <= 0:
        raise error("deadline")
    return min(timeout if timeout is not None else READ_S, left)


class _Stream(httpcore.NetworkStream):
    """A connection whose every wait ends at the deadline, however slowly bytes trickle in."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _capped(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _capped(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        limit = _capped(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, limit))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Opens connections to checked addresses only; TLS still verifies the name."""

    def __init__(self, policy: Policy, resolve: Resolve) -> None:
        self._policy, self._resolve = policy, resolve
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError("no address")
        for address in addresses(self._policy, host, port, self._resolve):
            try:
                limit = _capped(timeout, httpcore.ConnectTimeout)
                return _Stream(self._inner.connect_tcp(address, port, limit, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    def connect_unix_socket(self, path: str, timeout: float | None = None, socket_options: Any = None) -> Any:
        raise AddressRefused(code="bad_host")

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class Transport(httpx.HTTPTransport):
    """httpx's own transport over checked connections; it knows no proxy, whatever the environment says."""

    def __init__(
        self, policy: Policy, *, resolve: Resolve = system_resolve, verify: ssl.SSLContext | bool = True
    ) -> None:
        super().__init__(verify=verify, trust_env=False)
        self._policy = policy
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(verify=verify, trust_env=False),
            max_connections=20,
            keepalive_expiry=20.0,
            network_backend=_Backend(policy, resolve),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._policy.check_url(str(request.url))
        return super().handle_request(request)


# --- sending ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Budget:
    """Repetitions may be an eighth of all calls and a few more: a hospital in trouble is not flooded by them."""

    share: float = 0.125
    most: float = 10.0
    left: float = 10.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def earn(self) -> None:
        with self._lock:
            self.left = min(self.most, self.left + self.share)

    def spend(self) -> bool:
        with self._lock:
            if self.left < 1.0:
                return False
            self.left -= 1.0
            return True


@dataclass(frozen=True, slots=True)
class Answer:
    """``body`` is complete and within the size limit; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Outgoing:
    """Calls one hospital. Safe between threads. ``repeatable`` calls are tried again after a fault, others never."""

    def __init__(
        self,
        policy: Policy,
        *,
        total_s: float = TOTAL_S,
        read_s: float = READ_S,
        max_bytes: int = MAX_BYTES,
        attempts: int = ATTEMPTS,
        retried: frozenset[int] = _RETRY_STATUS,
        budget: Budget | None = None,
        resolve: Resolve = system_resolve,
        verify: ssl.SSLContext | bool = True,
        sleep: Callable[[float], None] = time.sleep,
        jitter: random.Random | None = None,
    ) -> None:
        self._policy, self._total_s, self._max_bytes, self._attempts = policy, total_s, max_bytes, attempts
        self._retried, self._budget = retried, budget or Budget()
        self._sleep = sleep
        self._jitter = jitter or random.SystemRandom()
        self._client = httpx.Client(
            transport=Transport(policy, resolve=resolve, verify=verify),
            timeout=httpx.Timeout(read_s, connect=CONNECT_S),
            follow_redirects=False,
            trust_env=False,
            headers={"accept-encoding": "identity", "user-agent": "health-companion"},
        )

    def close(self) -> None:
        self._client.close()

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        repeatable: bool = False,
    ) -> Answer:
        """The answer, whatever its status but a redirect.

        Raises ``AddressRefused`` (also redirect_refused), ``ConnectorUnavailable`` (nothing was sent), ``OutcomeUnknown``
        (sent, no whole answer), ``ConnectorUnavailable`` (answer_too_large, encoded_answer).
        """
        self._policy.check_url(url)
        self._budget.earn()
        unknown: OutcomeUnknown | None = None  # one attempt may have done it, whatever becomes of the next
        with deadline(self._total_s):
            for attempt in range(1, self._attempts + 1):
                last = attempt == self._attempts or not repeatable
                try:
                    answer = self._once(method, url, headers or {}, content)
                except ConnectorUnavailable as error:
                    if isinstance(error, OutcomeUnknown):
                        unknown = error
                    if last or error.code in ("answer_too_large", "encoded_answer") or not self._wait(attempt, ""):
                        raise unknown or error  # noqa: B904
                    continue
                if answer.status not in self._retried or last:
                    return answer
                if not self._wait(attempt, answer.headers.get("retry-after", "")):
                    return answer
        raise ConnectorUnavailable  # attempts is at least 1: the loop has returned or raised

    def _wait(self, attempt: int, retry_after: str) -> bool:
        """Sleep before the next attempt; False when there is no time or no budget for one."""
        wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (attempt - 1)) * self._jitter.uniform(0.5, 1.5)
        if retry_after.isascii() and retry_after.isdigit():
            wait_s = max(wait_s, float(retry_after))
        if wait_s >= remaining() or not self._budget.spend():
            return False
        self._sleep(wait_s)
        return True

    def _once(self, method: str, url: str, headers: Mapping[str, str], content: bytes) -> Answer:
        try:
            with self._client.stream(method, url, headers=dict(headers), content=content) as response:
                if response.is_redirect or 300 <= response.status_code < 400 and response.status_code != 304:
                    raise AddressRefused(code="redirect_refused")
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise ConnectorUnavailable(code="encoded_answer")
                body = bytearray()
                for chunk in response.iter_raw():
                    body += chunk
                    if len(body) > self._max_bytes:
                        raise ConnectorUnavailable(code="answer_too_large")
                lower = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status_code, lower, bytes(body))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise ConnectorUnavailable(code="no_connection") from error
        except httpx.TransportError as error:
            raise OutcomeUnknown from error
