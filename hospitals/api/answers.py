"""What every answer of the API may carry besides its body: what is left of the limits, and that an operation will end."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from django.utils.http import http_date
from rest_framework.request import Request
from rest_framework.views import APIView

from hospitals.services import limits


@dataclass(frozen=True, slots=True)
class Deprecation:
    """An operation that hospitals should leave: since when, until when it answers (None: not decided), and what to read."""

    since: datetime
    link: str
    sunset: datetime | None = None

    def headers(self) -> dict[str, str]:
        """RFC 9745, and RFC 8594 for the end."""
        told = {"Deprecation": f"@{int(self.since.timestamp())}", "Link": f'<{self.link}>; rel="deprecation"'}
        if self.sunset is not None:
            told["Sunset"] = http_date(self.sunset.timestamp())
        return told


class AnsweringView(APIView):
    """``deprecated``: by method, what is deprecated; the OpenAPI document says it too. Nothing is at present."""

    deprecated: ClassVar[dict[str, Deprecation]] = {}
    limited: ClassVar[bool] = False  # whether every success tells what is left of a limit
    tagged: ClassVar[tuple[str, ...]] = ()  # methods whose successes carry an ETag
    bodied: ClassVar[tuple[str, ...]] = ()  # methods that need a body, where no serializer says so

    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.standings: list[limits.Standing] = []

    def hold(self, limit: limits.Limit, caller: str) -> None:
        """Count this request. Raises ``TooManyRequests`` beyond the quota."""
        self.standings.append(limits.count(limit, caller))
        limits.within(self.standings[-1])

    def hold_if_used_up(self, limit: limits.Limit, caller: str) -> None:
        """The same without counting this request."""
        self.standings.append(limits.standing(limit, caller))
        limits.within(self.standings[-1], least=1)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        ending = self.deprecated.get(str(request.method))
        for name, value in {**limits.headers(self.standings), **(ending.headers() if ending else {})}.items():
            response[name] = value
        return response


def caller_address(request: Request) -> str:
    """Whom limits before any credential count: the address the connection came from."""
    return str(request.META.get("REMOTE_ADDR", ""))
