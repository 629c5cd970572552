"""Headers every answer carries, and one log line a request: method, route's name, status, duration; never a path."""

import time
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

log = structlog.get_logger(__name__)

# The page loads nothing from anywhere else. blob: and data: are the player's decoded pictures.
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "connect-src 'self' ws: wss:",
        "style-src 'self' 'unsafe-inline'",
        "script-src 'self'",
        "frame-ancestors 'self'",
        "base-uri 'none'",
        "form-action 'self'",
    ]
)
# The admin's theme evaluates Alpine expressions, and the API page's viewer starts from an inline script.
LOOSER = CONTENT_SECURITY_POLICY.replace("script-src 'self'", "script-src 'self' 'unsafe-inline' 'unsafe-eval'")


class SecurityHeadersMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        response = self.get_response(request)
        match = request.resolver_match
        looser = match is not None and (match.app_name == "admin" or match.url_name in {"api-docs"})
        response.headers.setdefault("Content-Security-Policy", LOOSER if looser else CONTENT_SECURITY_POLICY)
        response.headers.setdefault("Permissions-Policy", "camera=(self), microphone=(self), geolocation=(self)")
        if match is not None and match.url_name != "health":
            log.info(
                "request",
                method=request.method,
                route=match.view_name or match.route[:60],
                status=response.status_code,
                duration_ms=round((time.perf_counter() - started) * 1000),
            )
        return response
