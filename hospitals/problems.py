"""Every refusal as an RFC 9457 problem document, whatever raised it; used by DRF for all of the service's views."""

from typing import Any

import structlog
from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, UnreadablePostError
from redis import RedisError
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import set_rollback

from hospitals.exceptions import CacheUnavailable, HospitalsError, StorageUnavailable, TooLarge

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
URN = "urn:health-companion:problem:"

# DRF's own wording quotes what was sent ("\"x\" is not a valid choice"); a problem names the field and the rule alone.
_WORDS = {
    status.HTTP_400_BAD_REQUEST: "内容的格式不对。",
    status.HTTP_401_UNAUTHORIZED: "没有通过身份验证。",
    status.HTTP_403_FORBIDDEN: "没有这项权限。",
    status.HTTP_404_NOT_FOUND: "没有找到这项内容。",
    status.HTTP_405_METHOD_NOT_ALLOWED: "这个地址不支持这种请求方法。",
    status.HTTP_406_NOT_ACCEPTABLE: "给不出所要的格式。",
    status.HTTP_413_REQUEST_ENTITY_TOO_LARGE: "内容太大。",
    status.HTTP_415_UNSUPPORTED_MEDIA_TYPE: "不支持这种内容类型。",
    status.HTTP_429_TOO_MANY_REQUESTS: "请求太频繁,请稍后再试。",
}

# What is wrong with one member; the rule itself is in the OpenAPI document.
_FAULTS = {
    "required": "缺少这一项。",
    "null": "不能为 null。",
    "blank": "不能为空。",
    "empty": "不能为空。",
    "max_length": "太长。",
    "min_length": "太短。",
    "max_value": "太大。",
    "min_value": "太小。",
    "invalid_choice": "只能写接口文档里列出的值。",
    "not_a_list": "要写成数组。",
    "unknown_field": "没有这个字段。",
}
_FAULT = "写法与接口文档里这一项的不符。"


# For refusals that no view gave: an address that leads nowhere, a request that Django cannot read, a fault of ours.
_CODES = {
    status.HTTP_400_BAD_REQUEST: "bad_request",
    status.HTTP_403_FORBIDDEN: "permission_denied",
    status.HTTP_404_NOT_FOUND: "not_found",
    status.HTTP_405_METHOD_NOT_ALLOWED: "method_not_allowed",
    status.HTTP_413_REQUEST_ENTITY_TOO_LARGE: "too_large",
    status.HTTP_500_INTERNAL_SERVER_ERROR: "server_error",
}


def document(
    status_code: int, code: str = "", detail: str = "", *, retryable: bool = False, **extra: Any
) -> dict[str, Any]:
    """A problem document. ``extra`` are further members."""
    code = code or _CODES.get(status_code, "refused")
    detail = detail or _WORDS.get(status_code, "系统出了点问题,请稍后再试。")
    body = {"type": URN + code, "title": detail, "status": status_code, "detail": detail, "code": code}
    return {**body, "retryable": retryable, **extra}


def problem(
    status_code: int,
    code: str,
    detail: str = "",
    *,
    retryable: bool = False,
    headers: dict[str, str] | None = None,
    **extra: Any,
) -> Response:
    """A problem answer."""
    body = document(status_code, code, detail, retryable=retryable, **extra)
    return Response(body, status=status_code, headers=headers, content_type=MEDIA_TYPE)


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's hook. None for what is our own fault: Django answers 500 and the log has the trace."""
    if isinstance(error, OperationalError | InterfaceError):
        error = StorageUnavailable(retry_after_s=RETRY_AFTER_S)
    elif isinstance(error, RedisError):
        error = CacheUnavailable(retry_after_s=RETRY_AFTER_S)
    elif isinstance(error, RequestDataTooBig):
        error = TooLarge()
    if isinstance(error, HospitalsError):
        set_rollback()
        if error.status_code >= status.HTTP_500_INTERNAL_SERVER_ERROR:
            log.error("problem", code=error.code, status=error.status_code)
        headers = {"WWW-Authenticate": "Bearer"} if error.status_code == status.HTTP_401_UNAUTHORIZED else {}
        if wait := error.extra.get("retry_after_s"):
            headers["Retry-After"] = str(wait)
        return problem(
            error.status_code, error.code, error.detail, retryable=error.retryable, headers=headers, **error.extra
        )
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    elif isinstance(error, SuspiciousOperation | BadRequest | UnreadablePostError):
        error = exceptions.ParseError()
    if not isinstance(error, exceptions.APIException):
        return None
    set_rollback()
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(max(1, round(wait)))
    extra: dict[str, Any] = (
        {"errors": list(_fields(error.get_codes()))} if isinstance(error, exceptions.ValidationError) else {}
    )
    code = "invalid_input" if extra else str(error.default_code)
    detail = ""
    if isinstance(error, exceptions.UnsupportedMediaType):
        takes = ", ".join(_takes(context.get("view")))
        detail, headers["Accept"] = f"不支持这种内容类型,请写 Content-Type: {takes}", takes  # RFC 9110, 15.5.16
    return problem(error.status_code, code, detail, headers=headers, retryable=error.status_code == 429, **extra)


def _takes(view: Any) -> list[str]:
    """The media types of the bodies that this view reads. ``view.takes``: of one that parses them itself."""
    return list(getattr(view, "takes", ())) or [parser.media_type for parser in view.parser_classes]


def _fields(codes: Any, pointer: str = "") -> Any:
    """{"a": [{"b": ["required"]}]} → {"pointer": "/a/0/b", "code": "required", "detail": "…"}, ..."""
    if isinstance(codes, dict):
        for name, inner in codes.items():
            here = pointer if name == "non_field_errors" else f"{pointer}/{name}"
            yield from _fields(inner, here)
    elif isinstance(codes, list):
        for number, inner in enumerate(codes):
            yield from _fields(inner, f"{pointer}/{number}" if isinstance(inner, dict) else pointer)
    else:
        yield {"pointer": pointer, "code": str(codes), "detail": _FAULTS.get(str(codes), _FAULT)}
