"""How the API describes itself: every operation may also answer a problem document, and the API has a page of its own."""

from typing import Any

from django.shortcuts import render
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularJSONAPIView
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

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


class HospitalSchema(AutoSchema):
    """Adds to what a view says of its answers: anything else is a problem."""

    def _get_response_bodies(self, direction: str = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        problem = self.resolve_serializer(ProblemSerializer(), "response")
        content = {MEDIA_TYPE: {"schema": problem.ref}}
        return {**bodies, "default": {"description": "没有办成:原因见 code", "content": content}}


class OpenView(APIView):
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
