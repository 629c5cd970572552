"""The door for hospitals' events: one signed message (Standard Webhooks) a request."""

from typing import Any

from django.http import HttpRequest
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from hospitals.api.answers import caller_address
from hospitals.api.bodies import EventBody
from hospitals.api.schema import OpenView
from hospitals.connectors.codec import BODY_MAX_BYTES
from hospitals.exceptions import TooLarge, Unauthenticated
from hospitals.services import inbox, limits

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


class EventsView(OpenView):
    """Take one event in. The signature is the credential: no token is needed here."""

    limited = True

    @extend_schema(
        operation_id="event_accept",
        tags=["events"],
        request=EventBody,
        responses={202: ReceiptSerializer},
        parameters=[
            _header(HOSPITAL_HEADER, "医院代码"),
            _header("webhook-id", "消息编号,重发时不变"),
            _header("webhook-timestamp", "发送时间,Unix 秒"),
            _header("webhook-signature", "v1,base64(HMAC-SHA256(密钥, id.timestamp.body))"),
        ],
        auth=[],
    )
    def post(self, request: Request) -> Response:
        body = read_body(request._request, BODY_MAX_BYTES)
        caller = caller_address(request)
        code = request.headers.get(HOSPITAL_HEADER, "")
        counted = {limits.REFUSED_EVENTS: limits.named(caller, code), limits.REFUSED_EVENTS_ADDRESS: caller}
        for limit, who in counted.items():
            self.hold_if_used_up(limit, who)
        try:
            hospital = inbox.hospital_of(code)
            receipt = inbox.accept(hospital_id=hospital.id, body=body, headers=request.headers)
        except Unauthenticated:
            # who signs rightly is never held back here: a hospital's morning may be busy
            self.standings = [limits.count(limit, who) for limit, who in counted.items()]
            raise
        return Response({"event_id": receipt.event_id, "status": receipt.status}, status=status.HTTP_202_ACCEPTED)
