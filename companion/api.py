"""The few HTTP addresses of the resident's side: the page, sign-in and out, a socket's ticket, health."""

from datetime import datetime
from typing import Any
from uuid import UUID

import redis
import structlog
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import set_rollback

from companion import identity, looks, paying, signin
from companion.exceptions import CompanionError, InvalidCard, NotSignedIn
from companion.identity import browser
from companion.payment.base import BadNotification
from hospitals.api.fields import Text
from hospitals.api.schema import HospitalSchema, OpenView
from hospitals.problems import problem
from hospitals.services import limits
from hospitals.services.limits import Limit

log = structlog.get_logger(__name__)

CLOCKS_APART_S = 30
NOTIFICATION_MAX_BYTES = 32 * 1024
BEGINNINGS = Limit("sign-in-begin", 6000, 60)  # by address, which all phones of a carrier may share


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """The resident's page. Everything personal comes over the socket; this answer is the same for everybody."""
    config = {
        "socketPath": "/ws/companion/",
        "sessionUrl": "/api/session/",
        "beginUrl": "/api/session/begin/",
        "peopleUrl": "/api/session/people/",
        "demo": settings.MODE == "demo",
        "identities": settings.IDENTITY_ENABLED,
        "words": words(),
    }
    return render(request, "companion/page.html", {"config": config})


def words() -> dict[str, str]:
    """The page's own strings, in the language of the request."""
    return {
        "title": _("健康伴行"),
        "hint": _("请输入您想问的"),
        "send": _("发送"),
        "stop": _("停"),
        "human": _("找人工"),
        "slower": _("慢一点"),
        "repeat": _("再说一遍"),
        "again": _("再试一次"),
        "sound": _("点一下,打开声音"),
        "offline": _("网络断了,正在重新连接……"),
        "back": _("连上了"),
        "ai": _("AI生成 仅供参考"),
        "next": _("下一步"),
        "call": _("拨打"),
        "source": _("依据"),
        "pay": _("确认缴费"),
        "cancel": _("取消预约"),
        "cancel_sure": _("真的要取消吗?"),
        "keep": _("保留预约"),
        "lift_only": _("只走电梯"),
        "covered": _("不淋雨"),
        "all_ways": _("所有走法"),
        "where": _("您现在在哪里?"),
        "free": _("余号"),
        "thinking": _("正在想……"),
        "rate_good": _("有帮助"),
        "rate_bad": _("没帮上"),
        "stale": _("这个数字是一分钟以前的,正在更新"),
        "elsewhere": _("这个对话在另一个窗口打开了"),
        "sign_in_again": _("重新进入"),
        "expired": _("登录已过期,点下面重新进入"),
        "save": _("保存"),
        "saving": _("正在保存……"),
        "not_saved": _("没有保存上,请再点一次保存"),
        "no_change": _("不变"),
        "copied": _("复制好了,发给家人就行"),
        "not_copied": _("没有复制上,请照着卡片把邀请码告诉家人"),
    }


@require_GET
def web_manifest(request: HttpRequest) -> HttpResponse:
    return JsonResponse(
        {
            "name": "健康伴行",
            "short_name": "健康伴行",
            "start_url": "/",
            "display": "standalone",
            "background_color": "#f3f7f6",
            "theme_color": "#075c50",
        },
        content_type="application/manifest+json",
    )


class SignInSerializer(serializers.Serializer[Any]):
    provider = Text(r"^[a-z]{3,20}$")
    code = Text(r"^[!-~]{4,512}$", help_text="The super-app's single-use authorization code.")
    state = Text(r"^[0-9a-f]{32}$", required=False, help_text="As it came back with the code.")
    secret = Text(r"^[\w-]{32}$", required=False, help_text="What the page was given when it began.")


class BeginSerializer(serializers.Serializer[Any]):
    provider = Text(r"^[a-z]{3,20}$")


class BegunSerializer(serializers.Serializer[Any]):
    address = serializers.URLField(help_text="The super-app's page to go to.")
    secret = serializers.CharField(help_text="To be kept by the tab and shown with the code.")


class SessionSerializer(serializers.Serializer[Any]):
    token = serializers.CharField()
    expires_at = serializers.DateTimeField()


class TicketSerializer(serializers.Serializer[Any]):
    ticket = serializers.CharField()
    expires_in_s = serializers.IntegerField()


def bearer(request: Request) -> signin.SignedIn:
    """Who the Authorization header signs in. Raises ``NotSignedIn``."""
    scheme, _space, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise NotSignedIn
    return signin.verify(token)


class ResidentSchema(HospitalSchema):
    """A resident shows the token of her session."""

    schemes = {"resident": {"type": "http", "scheme": "bearer"}}

    def get_auth(self) -> list[dict[str, list[str]]]:
        return [{"resident": []}]


class ResidentView(OpenView):
    """Answers a CompanionError as a problem document (RFC 9457)."""

    schema = ResidentSchema()

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, CompanionError):
            headers = {"WWW-Authenticate": "Bearer"} if exc.status_code == status.HTTP_401_UNAUTHORIZED else {}
            fields = {"errors": exc.as_dicts()} if isinstance(exc, InvalidCard) else {}
            set_rollback()
            return problem(exc.status_code, exc.code, exc.detail, retryable=exc.retryable, headers=headers, **fields)
        return super().handle_exception(exc)


class SessionView(ResidentView):
    """Sign in with a super-app's authorization code; sign out. A browser's page shows the state and secret it began with."""

    @extend_schema(request=SignInSerializer, responses={201: SessionSerializer}, auth=[])
    def post(self, request: Request) -> Response:
        given = SignInSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        provider, code, state, secret = (
            given.validated_data.get(n, "") for n in ("provider", "code", "state", "secret")
        )
        backend = identity.backend(provider)
        agent = request.headers.get("User-Agent", "")
        if state or browser.needed(provider, origin=request.headers.get("Origin", ""), agent=agent):
            browser.finish(provider, state=state, secret=secret)
        who = async_to_sync(backend.exchange)(code)
        token, signed_in = signin.open_session(who)
        log.info("resident_signed_in", backend=provider, session=str(signed_in.session_id))
        return Response({"token": token, "expires_at": signed_in.expires_at}, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request) -> Response:
        signin.revoke(bearer(request).session_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class BeginView(ResidentView):
    """Begin to sign in from a browser: where to go, and what the tab keeps until the super-app leads back."""

    @extend_schema(request=BeginSerializer, responses={201: BegunSerializer}, auth=[])
    def post(self, request: Request) -> Response:
        given = BeginSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        limits.within(limits.count(BEGINNINGS, str(request.META.get("REMOTE_ADDR", ""))))
        begun = browser.begin(given.validated_data["provider"])
        return Response({"address": begun.address, "secret": begun.secret}, status=status.HTTP_201_CREATED)


class TicketView(ResidentView):
    """A one-time ticket for a mini-program's socket, which sends no Origin."""

    @extend_schema(request=None, responses={201: TicketSerializer})
    def post(self, request: Request) -> Response:
        ticket = signin.issue_ticket(bearer(request).session_id)
        body = {"ticket": ticket, "expires_in_s": settings.WEBSOCKET_TICKET_TTL_S}
        return Response(body, status=status.HTTP_201_CREATED)


class SignInsSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    app = serializers.CharField(help_text="The super-app she signed in with.")
    since = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    current = serializers.BooleanField()


class SignInsView(ResidentView):
    """Where she is signed in, and an end to all of them but this one."""

    @extend_schema(responses={200: SignInsSerializer(many=True)})
    def get(self, request: Request) -> Response:
        who = bearer(request)
        found = signin.open_ones(who.resident_id, current=who.session_id)
        return Response(SignInsSerializer(found, many=True).data)

    @extend_schema(operation_id="session_sign_ins_destroy_others", request=None, responses={204: None})
    def delete(self, request: Request) -> Response:
        who = bearer(request)
        signin.end_others(who.resident_id, current=who.session_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class SignInView(ResidentView):
    """One sign-in of hers, to be ended."""

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request, session: UUID) -> Response:
        signin.end_one(bearer(request).resident_id, session)
        return Response(status=status.HTTP_204_NO_CONTENT)


class LookSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    by = serializers.ChoiceField(choices=["resident", "family", "unknown", "hospital", "commission", "service"])
    relation = serializers.CharField(help_text="Of family: what she or he is to her, in words; else empty.")
    hospital = serializers.CharField(help_text="The hospital's name, or empty.")
    action = serializers.CharField()
    why = serializers.CharField()


class LooksView(ResidentView):
    """Who looked at her data or changed them, newest first: hers and of those who agreed that she acts for them."""

    @extend_schema(responses={200: LookSerializer(many=True)})
    def get(self, request: Request) -> Response:
        found = looks.about_her(bearer(request).resident_id)
        return Response(LookSerializer(found, many=True).data)


class PaymentToldView(ResidentView):
    """A payment gateway's notification; its signature is the credential. Answered as gateways want it: they tell again."""

    @extend_schema(exclude=True)
    def post(self, request: Request, engine: str) -> HttpResponse:
        try:
            body = request._request.read(NOTIFICATION_MAX_BYTES + 1)
            if len(body) > NOTIFICATION_MAX_BYTES:
                raise BadNotification
            paying.on_notification(engine, body, request.headers)
        except BadNotification as error:
            log.warning("payment_notification_refused", code=error.code)
            return HttpResponse("failure", content_type="text/plain", status=error.status_code)
        return HttpResponse("success", content_type="text/plain")


@require_GET
def health(request: HttpRequest) -> JsonResponse:
    """Whether this process can do its work: 200 when database and Redis answer and its clock is the database's, else 503 naming what is wrong."""
    checks: dict[str, bool] = {}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1" if connection.vendor == "sqlite" else "SELECT now()")
            (told,) = cursor.fetchone()
        checks["database"] = True
        if isinstance(
            told, datetime
        ):  # a process whose clock is wrong ends holds too early and refuses good signatures
            checks["clock"] = abs((timezone.now() - told).total_seconds()) < CLOCKS_APART_S
    except DatabaseError:
        checks["database"] = False
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2) as client:
            checks["redis"] = bool(client.ping())
    except redis.RedisError:
        checks["redis"] = False
    good = all(checks.values())
    return JsonResponse({"status": "ok" if good else "failing", "checks": checks}, status=200 if good else 503)
