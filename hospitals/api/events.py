"""The door for hospitals' events: signed messages (Standard Webhooks) of one event or of many."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

from django.http import HttpRequest
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from hospitals.api.base import caller_address
from hospitals.api.schema import OpenView
from hospitals.connectors.codec import BATCH_MAX_BYTES, BODY_MAX_BYTES
from hospitals.exceptions import TooLarge, TooManyRequests, Unauthenticated
from hospitals.services import batches, inbox, limits

HOSPITAL_HEADER = "hospital-code"


class ReceiptSerializer(serializers.Serializer[Any]):
    event_id = serializers.CharField()
    status = serializers.CharField()


def _header(name: str, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.STR, OpenApiParameter.HEADER, required=True, description=description)


def read_body(request: HttpRequest, limit: int) -> bytes:
    """The body as it was signed. Raises ``TooLarge`` beyond ``limit`` bytes, also when no length was announced."""
    body = request.read(limit + 1)
    if len(body) > limit:
        raise TooLarge(f"内容超过 {limit // 1024} KiB。")
    return body


class FaultSerializer(serializers.Serializer[Any]):
    pointer = serializers.CharField()
    code = serializers.CharField()


class AnswerSerializer(serializers.Serializer[Any]):
    event_id = serializers.CharField(allow_blank=True)
    status = serializers.ChoiceField(choices=["accepted", "refused"])
    code = serializers.CharField(allow_blank=True)
    faults = FaultSerializer(many=True)


class AnswersSerializer(serializers.Serializer[Any]):
    answers = AnswerSerializer(many=True)


_SIGNED = [
    _header(HOSPITAL_HEADER, "医院代码"),
    _header("webhook-id", "消息编号,重发时不变"),
    _header("webhook-timestamp", "发送时间,Unix 秒"),
    _header("webhook-signature", "v1,base64(HMAC-SHA256(密钥, id.timestamp.body))"),
]
T = TypeVar("T")


def _signed(request: Request, max_bytes: int, take: Callable[..., T]) -> T:
    """Let ``take`` have the message of the hospital that its header names; who signs wrongly is held back after a while."""
    body = read_body(request._request, max_bytes)
    caller = caller_address(request)
    if limits.exhausted(limits.REFUSED_EVENTS, caller):
        raise TooManyRequests(retry_after_s=limits.REFUSED_EVENTS.window_s)
    try:
        hospital = inbox.hospital_of(request.headers.get(HOSPITAL_HEADER, ""))
        return take(hospital_id=hospital.id, body=body, headers=request.headers)
    except Unauthenticated:
        # who signs rightly is never held back here: a hospital's morning may be busy
        limits.count(limits.REFUSED_EVENTS, caller)
        raise


class EventsView(OpenView):
    """Take one event in. The signature is the credential: no token is needed here."""

    @extend_schema(
        operation_id="event_accept",
        tags=["events"],
        request={"application/json": OpenApiTypes.OBJECT},
        responses={202: ReceiptSerializer},
        parameters=_SIGNED,
        auth=[],
    )
    def post(self, request: Request) -> Response:
        receipt = _signed(request, BODY_MAX_BYTES, inbox.accept)
        return Response({"event_id": receipt.event_id, "status": receipt.status}, status=status.HTTP_202_ACCEPTED)


class EventBatchView(OpenView):
    """Take up to 200 events in by one signed message, as a queue board has them. Each is answered by itself."""

    @extend_schema(
        operation_id="event_batch_accept",
        tags=["events"],
        request={"application/json": OpenApiTypes.OBJECT},
        responses={202: AnswersSerializer},
        parameters=_SIGNED,
        auth=[],
    )
    def post(self, request: Request) -> Response:
        answers = _signed(request, BATCH_MAX_BYTES, batches.accept)
        return Response({"answers": [asdict(a) for a in answers]}, status=status.HTTP_202_ACCEPTED)
