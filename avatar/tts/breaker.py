"""A circuit breaker: an engine that keeps failing is left alone for a while, so that it does not cost each sentence its time."""

from collections.abc import Callable

from avatar.exceptions import EngineThrottled, EngineUnavailable, SpeechError

FAILURES = 2  # in a row, of the kind that may be chance
FIRST_S, LONGEST_S = 5.0, 300.0
THROTTLED_S = 60.0


class Breaker:
    """Closed, open until a time, or half open: then one request tries, and the others still pass by.

    A refusal opens it at once, a stall or a cut only when it is repeated. Each opening in a row lasts twice as long as the
    one before. ``clock`` in seconds, rising.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._openings = 0
        self._open_until = 0.0
        self._trying_until = 0.0

    @property
    def opened(self) -> bool:
        return self._openings > 0

    def admits(self, for_s: float) -> bool:
        """Whether a request may go through; with a half-open breaker, the first one may, and has ``for_s`` to succeed."""
        if not self.opened:
            return True
        now = self._clock()
        if now < self._open_until or now < self._trying_until:
            return False
        self._trying_until = now + for_s
        return True

    def succeeded(self) -> None:
        self._failures = self._openings = 0
        self._open_until = self._trying_until = 0.0

    def failed(self, error: SpeechError) -> None:
        self._failures += 1
        self._trying_until = 0.0
        if not (self.opened or isinstance(error, EngineUnavailable) or self._failures >= FAILURES):
            return
        if self._clock() < self._open_until:
            return  # it was under way when another one opened it
        first = THROTTLED_S if isinstance(error, EngineThrottled) else FIRST_S
        self._open_until = self._clock() + min(LONGEST_S, first * 2**self._openings)
        self._openings += 1

    def given_up(self) -> None:
        """The request ended without telling anything of the engine: whoever asked has gone."""
        self._trying_until = 0.0
