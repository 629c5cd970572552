"""Bulk uploads: PUT a file to an address of the hospital's choice, GET the same address to see how far it is."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request
from rest_framework.response import Response

from hospitals.api.base import HospitalView
from hospitals.api.directory import READ, WRITE
from hospitals.api.schema import FaultSerializer
from hospitals.exceptions import InvalidInput, NotFound
from hospitals.models import ImportRun
from hospitals.services import importing
from hospitals.services.rows import BY_KIND

CHUNK = 64 * 1024
NDJSON, CSV = "application/x-ndjson", "text/csv"


class LineFaultSerializer(serializers.Serializer[Any]):
    line = serializers.IntegerField()
    pointer = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField(help_text="哪里不对,怎么改")
    suggestions = serializers.ListField(child=serializers.CharField(), required=False, help_text="最接近的标准科室")
    also = FaultSerializer(many=True, required=False, help_text="同一行的其他错误")


class ImportSerializer(serializers.ModelSerializer[ImportRun]):
    state = serializers.CharField(help_text="running、finished 或 failed(中断)")
    faults = LineFaultSerializer(many=True, help_text=f"前 {importing.FAULTS_KEPT} 处")

    class Meta:
        model = ImportRun
        fields = [
            "id",
            "dry_run",
            "state",
            "read",
            "written",
            "unchanged",
            "refused",
            "faults",
            "line",
            "started_at",
            "progress_at",
            "finished_at",
        ]


def _shown(run: ImportRun) -> dict[str, Any]:
    return {name: getattr(run, name) for name in ImportSerializer.Meta.fields}


def _chunks(request: HttpRequest) -> Iterator[bytes]:
    while chunk := request.read(CHUNK):
        yield chunk


class ImportView(HospitalView):
    """One upload. Sending it again to the same address does nothing but show the report; rows that did not change are left.
    A rehearsal (dry_run) is followed by the upload itself at the same address.

    One that failed begins anew; one that was cut off goes on behind its last batch when the same file is sent.
    """

    needs = {"GET": READ, "PUT": WRITE}
    once = False
    takes = (NDJSON, CSV)

    @extend_schema(operation_id="import_read", tags=["directory"], responses=ImportSerializer)
    def get(self, request: Request, run_id: UUID) -> Response:
        run = ImportRun.objects.filter(id=run_id).first()
        if run is None:
            raise NotFound
        return Response(_shown(run))

    @extend_schema(
        operation_id="import_write",
        tags=["directory"],
        parameters=[
            OpenApiParameter(
                "kind", OpenApiTypes.STR, enum=list(BY_KIND), description="CSV 必写;NDJSON 可以每行自己写 kind。"
            ),
            OpenApiParameter("dry_run", OpenApiTypes.BOOL, description="只检查,不写入。"),
        ],
        request={NDJSON: OpenApiTypes.STR, CSV: OpenApiTypes.STR},
        responses={200: ImportSerializer, 201: ImportSerializer},
    )
    def put(self, request: Request, run_id: UUID) -> Response:
        media = (request.content_type or "").partition(";")[0].strip().lower()
        if media not in self.takes:
            raise UnsupportedMediaType(media)
        kind = request.query_params.get("kind", "")
        if (kind and kind not in BY_KIND) or (media == CSV and not kind):
            raise InvalidInput("请用 kind 写明上传的是哪一种。", code="unknown_kind", known=list(BY_KIND))
        dry = request.query_params.get("dry_run", "false")
        if dry not in ("true", "false"):
            raise InvalidInput("dry_run 须为 true 或 false。", code="bad_dry_run")
        codec = importing.CHARSETS.get((request._request.content_params or {}).get("charset", "").lower())
        if codec is None:
            raise InvalidInput("charset 须为 utf-8 或 gbk。", code="unknown_charset")
        run, new = importing.begin(run_id=run_id, hospital_id=self.who.hospital_id, dry_run=dry == "true")
        if not new:
            return Response(_shown(run))
        stream = _chunks(request._request)
        records = importing.ndjson(stream, codec) if media == NDJSON else importing.comma_separated(stream, kind, codec)
        done = importing.perform(run, records, kind=kind, actor=self.actor)
        return Response(_shown(done), status=status.HTTP_201_CREATED)
