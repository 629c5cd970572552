"""Headers every answer carries, the admin's own host, staff's sessions and second factor, one log line a request."""

import time
from collections.abc import Callable

import structlog
from django.conf import settings
from django.contrib.auth import SESSION_KEY, logout
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound, HttpResponseRedirect, JsonResponse
from django.http.request import split_domain_port
from django.urls import reverse

from companion import second_factor
from hospitals import problems

log = structlog.get_logger(__name__)

SOCKETS = " ".join(origin.replace("http", "ws", 1) for origin in settings.WEBSOCKET_ORIGINS)
# The page loads nothing from anywhere else. blob: and data: are the player's decoded pictures. Browsers of some years
# ago do not count sockets among 'self', so the socket's address is named.
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        f"connect-src 'self' {SOCKETS}".strip(),
        "style-src 'self'",
        "script-src 'self'",
        "object-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    ]
)
# The API page's viewer starts from an inline script and brings its styles along.
VIEWER = CONTENT_SECURITY_POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'").replace(
    "script-src 'self'", "script-src 'self' 'unsafe-inline'"
)
# The admin's theme evaluates Alpine expressions besides.
ADMIN = VIEWER.replace("script-src 'self' 'unsafe-inline'", "script-src 'self' 'unsafe-inline' 'unsafe-eval'")
PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"  # the page asks for none of them
SIGNED_IN_AT = "signed_in_at"
_SAFE = ("GET", "HEAD", "OPTIONS")


class SecurityHeadersMiddleware:
    """Outermost, so that files, redirects and refusals of other middlewares carry the headers as well."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        match = request.resolver_match
        policy = CONTENT_SECURITY_POLICY
        if match is not None and match.app_name == "admin":
            policy = ADMIN
        elif match is not None and match.url_name == "api-docs":
            policy = VIEWER
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        response.headers.setdefault("Referrer-Policy", settings.SECURE_REFERRER_POLICY)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        if request.path_info.startswith("/api/"):  # personal unless a view says otherwise
            response.headers.setdefault("Cache-Control", "no-store")
        return response


class AdminHostMiddleware:
    """With settings.ADMIN_HOST the admin and its files answer there, and nowhere else; nothing else answers there."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.ADMIN_HOST:
            there = split_domain_port(request.get_host())[0] == settings.ADMIN_HOST
            path = request.path_info
            if not path.startswith(settings.STATIC_URL) and there != path.startswith("/admin/"):
                return HttpResponseNotFound()
        return self.get_response(request)


class ProblemMiddleware:
    """What is refused below /api/ before or beside a view (an unknown address, a method, a host, a fault) as RFC 9457."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        kind = response.headers.get("Content-Type", "")
        if not request.path_info.startswith("/api/"):
            return response
        if request.method not in _SAFE and response.get("Location", "").partition("?")[0] == f"{request.path}/":
            # Followed, this redirect would lose the body: most clients make a GET of it.
            return _told(HttpResponseNotFound(), "missing_slash", "地址要以 / 结尾。")
        if response.status_code < 400 or "text/html" not in kind:
            return response  # a payment gateway wants one plain word
        return _told(response)


def _told(response: HttpResponse, code: str = "", detail: str = "") -> HttpResponse:
    told = JsonResponse(
        problems.document(response.status_code, code, detail),
        status=response.status_code,
        content_type=problems.MEDIA_TYPE,
        json_dumps_params={"ensure_ascii": False},
    )
    for name, value in response.headers.items():
        if name not in ("Content-Type", "Content-Length"):
            told.headers.setdefault(name, value)
    return told


class RequestLogMiddleware:
    """One line a request: method, the route's name, status, duration, and of one that is refused the code."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        response = self.get_response(request)
        match = request.resolver_match
        if match is not None and match.url_name != "health":
            log.info(
                "request",
                method=request.method,
                route=match.view_name or match.route[:60],
                status=response.status_code,
                duration_ms=round((time.perf_counter() - started) * 1000),
                **_refusal(response),
            )
        return response


def _refusal(response: HttpResponse) -> dict[str, str]:
    """Why it was refused, by the code of our problem documents or of OAuth's errors; both are names of our own."""
    said = getattr(response, "data", None)
    code = (said.get("code") or said.get("error")) if isinstance(said, dict) and response.status_code >= 400 else None
    return {"code": code} if isinstance(code, str) else {}


class StaffSessionMiddleware:
    """Signs staff out some hours after they signed in, however busy they are; idle ones end by the cookie's age."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # only where sessions are used: looking into one makes an answer vary by cookie
        if request.path_info.startswith("/admin/") and SESSION_KEY in request.session:
            since = request.session.setdefault(SIGNED_IN_AT, time.time())
            if not 0 <= time.time() - since < settings.STAFF_SESSION_LONGEST_S:
                logout(request)
        return self.get_response(request)


class SecondFactorMiddleware:
    """Shows staff nothing of the admin before their second factor was given."""

    OPEN = frozenset({"login", "logout", "jsi18n", "second_factor"})

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_view: object) -> HttpResponse | None:
        match = request.resolver_match
        if match is None or match.app_name != "admin" or match.url_name in self.OPEN:
            return None
        if request.user.is_authenticated and second_factor.lacking(request):
            return HttpResponseRedirect(reverse("admin:second_factor"))
        return None
