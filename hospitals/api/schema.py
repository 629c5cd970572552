"""How the API describes itself: every operation may also answer a problem document, and the API has a page of its own."""

from typing import Any, ClassVar

from django.shortcuts import render
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularJSONAPIView
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from hospitals.api.answers import AnsweringView
from hospitals.api.fields import Exact
from hospitals.problems import MEDIA_TYPE


class FaultSerializer(serializers.Serializer[Any]):
    pointer = serializers.CharField(allow_blank=True, help_text="哪里不对(JSON Pointer)")
    code = serializers.CharField()
    id = serializers.CharField(required=False, help_text="出错的那一项自己的代码")
    detail = serializers.CharField(required=False, help_text="哪里不对,怎么改")


class ProblemSerializer(serializers.Serializer[Any]):
    """RFC 9457."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField(help_text="稳定的错误代码")
    retryable = serializers.BooleanField(help_text="原样重发是否有用")
    errors = FaultSerializer(many=True, required=False)  # type: ignore[assignment]


def _header(description: str, pattern: str = "", *, required: bool = False) -> dict[str, Any]:
    schema = {"type": "string", **({"pattern": pattern} if pattern else {})}
    return {"description": description, "required": required, "schema": schema}


def _rate(required: bool) -> dict[str, Any]:
    item = r'"[a-z-]+";{}=\d+;{}=\d+'
    policy, left = (f"^{item.format(*names)}(, {item.format(*names)})*$" for names in (("q", "w"), ("r", "t")))
    return {
        "RateLimit-Policy": _header("限额:每 w 秒 q 次", policy, required=required),
        "RateLimit": _header("还剩 r 次,t 秒后重新计", left, required=required),
    }


def _ending() -> dict[str, Any]:
    return {
        "Deprecation": _header("从何时起不建议再用(RFC 9745)", r"^@\d+$", required=True),
        "Sunset": _header("到何时为止(RFC 8594)"),
        "Link": _header('说明在 rel="deprecation" 处', required=True),
    }


class HospitalSchema(AutoSchema):
    """Adds to what a view says of its answers: their headers, and that anything else is a problem."""

    # Those that no authentication class stands for, by the name that ``auth`` of extend_schema gives them.
    schemes: ClassVar[dict[str, dict[str, Any]]] = {
        "claim": {"type": "http", "scheme": "bearer", "description": "申请时给的领取凭证(claim)"},
    }

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        for name in {name for needed in operation.get("security", []) for name in needed} & set(self.schemes):
            kind = ResolvedComponent.SECURITY_SCHEMA
            self.registry.register_on_missing(ResolvedComponent(name, kind, self.schemes[name], object=name))
        if scope := getattr(self.view, "needs", {}).get(self.method):
            operation["security"] = [{name: [scope] for name in needed} for needed in operation["security"]]
        if self.method in self.view.bodied:
            operation["requestBody"]["required"] = True
        ending = self.method in self.view.deprecated
        if ending:
            operation["deprecated"] = True
        self._describe_answers(operation, ending)
        return operation

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Any:
        shape = super()._map_basic_serializer(serializer, direction)
        return {**shape, "additionalProperties": False} if isinstance(serializer, Exact) else shape

    def _describe_answers(self, operation: dict[str, Any], ending: bool) -> None:
        answers, tagged = operation["responses"], self.method in self.view.tagged
        if tagged and self.method == "GET":
            answers["304"] = {"description": "没有变化(If-None-Match)"}
            known = {"in": "header", "name": "If-None-Match", "schema": {"type": "string"}}
            operation.setdefault("parameters", []).append({**known, "description": "上次读到的 ETag;没有变化回 304。"})
        problem = self.resolve_serializer(ProblemSerializer(), "response")
        content = {MEDIA_TYPE: {"schema": problem.ref}}
        answers.setdefault("default", {"description": "没有办成:原因见 code", "content": content})
        once = any(parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", []))
        for code, answer in answers.items():
            good = code[0] in "23"
            headers = _rate(required=good) if self.view.limited else {}
            if ending:
                headers |= _ending()
            if once:
                headers["Idempotent-Replayed"] = _header("true:这是同一个 Idempotency-Key 上次的结果", "^true$")
            if good and tagged:
                headers["ETag"] = _header("内容的版本,用于 If-Match 和 If-None-Match", r'^"[0-9a-f]+"$', required=True)
            if not good:
                headers["Retry-After"] = _header("几秒后再试(429、503)", r"^\d+$")
                headers["WWW-Authenticate"] = _header("要怎样证明身份(401)")
            if headers:
                answer["headers"] = headers


class OpenView(AnsweringView):
    """A view that asks for no token."""

    permission_classes: list[Any] = []
    schema = HospitalSchema()


class SchemaView(SpectacularJSONAPIView):
    """The hospitals' API alone, as OpenAPI 3.1."""

    permission_classes: list[Any] = []
    urlconf = "hospitals.api.published"


class _Html(BaseRenderer):
    media_type = "text/html"
    format = "html"


class DevelopersView(APIView):
    """The developers' page: the first calls to copy, and every operation to try. Loads nothing from elsewhere."""

    permission_classes: list[Any] = []
    renderer_classes = [_Html]

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Any:
        root = f"{request.scheme}://{request.get_host()}"
        return render(request._request, "hospitals/developers.html", {"root": root})
