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

from hospitals.api.answers import caller_address
from hospitals.api.bodies import EventBatchBody, EventBody
from hospitals.api.schema import FaultSerializer, OpenView
from hospitals.connectors.codec import BATCH_MAX_BYTES, BODY_MAX_BYTES
from hospitals.exceptions import TooLarge, Unauthenticated
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


class SignedView(OpenView):
    """The signature is the credential: no token is needed here."""

    def take(self, request: Request, max_bytes: int, accept: Callable[..., T]) -> T:
        """Let ``accept`` have the message of the hospital that its header names; who signs wrongly is held back after a while."""
        body = read_body(request._request, max_bytes)
        caller = caller_address(request)
        code = request.headers.get(HOSPITAL_HEADER, "")
        counted = {limits.REFUSED_EVENTS: limits.named(caller, code), limits.REFUSED_EVENTS_ADDRESS: caller}
        for limit, who in counted.items():
            self.hold_if_used_up(limit, who)
        try:
            hospital = inbox.hospital_of(code)
            return accept(hospital_id=hospital.id, body=body, headers=request.headers)
        except Unauthenticated:
            # who signs rightly is never held back here: a hospital's morning may be busy
            self.standings = [limits.count(limit, who) for limit, who in counted.items()]
            raise


class EventsView(SignedView):
    """Take one event in."""

    limited = True
    bodied = ("POST",)

    @extend_schema(
        operation_id="event_accept",
        tags=["events"],
        request=EventBody,
        responses={202: ReceiptSerializer},
        parameters=_SIGNED,
        auth=[],
    )
    def post(self, request: Request) -> Response:
        receipt = self.take(request, BODY_MAX_BYTES, inbox.accept)
        return Response({"event_id": receipt.event_id, "status": receipt.status}, status=status.HTTP_202_ACCEPTED)


class EventBatchView(SignedView):
    """Take up to 200 events in by one signed message, as a queue board has them. Each is answered by itself."""

    @extend_schema(
        operation_id="event_batch_accept",
        tags=["events"],
        request=EventBatchBody,
        responses={202: AnswersSerializer},
        parameters=_SIGNED,
        auth=[],
    )
    def post(self, request: Request) -> Response:
        answers = self.take(request, BATCH_MAX_BYTES, batches.accept)
        return Response({"answers": [asdict(a) for a in answers]}, status=status.HTTP_202_ACCEPTED)
