"""Where a hospital takes its commands, and the log of what was sent there."""

from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from hospitals.api.base import IDEMPOTENCY_KEY, IF_MATCH, HospitalView
from hospitals.api.fields import Exact, Flag, Text, Whole
from hospitals.exceptions import NotFound
from hospitals.models import ApiClient, Delivery, OutboxCommand
from hospitals.services import access, deliveries, feed, limits, redelivery, webhooks

READ, WRITE = "webhooks:read", "webhooks:write"
TAGS = ["webhooks"]
LIMIT_MAX = 200
ENVIRONMENT = OpenApiParameter(
    "environment",
    OpenApiTypes.STR,
    OpenApiParameter.PATH,
    enum=ApiClient.Environment.values,
    description="sandbox 收测试预约和一致性测试的操作,live 收居民的操作。",
)


class WebhookRequestSerializer(Exact):
    url = Text(r"^https?://[!-~]+$", max_length=2000, help_text="接收操作的地址:公网上的 https 地址,不跟随重定向。")
    enabled = Flag(required=False, default=True, help_text="false:先不发,操作留着等候。")


class WebhookSerializer(serializers.Serializer[Any]):
    environment = serializers.ChoiceField(choices=ApiClient.Environment.choices)
    url = serializers.CharField()
    enabled = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    changed_at = serializers.DateTimeField()
    previous_until = serializers.DateTimeField(allow_null=True, help_text="到这时为止,旧密钥也签名。")


class WebhookWrittenSerializer(WebhookSerializer):
    secret = serializers.CharField(help_text="核对签名用,只在新登记时显示这一次;以后改地址时为空。")


class WebhookRotationSerializer(Exact):
    overlap_s = Whole(min_value=0, max_value=access.LONGEST_OVERLAP_S, required=False, default=access.OVERLAP_S)


class WebhookSecretSerializer(serializers.Serializer[Any]):
    secret = serializers.CharField(help_text="只显示这一次。")
    old_until = serializers.DateTimeField(help_text="到这时为止,新旧密钥都签名。")


class DeliveriesQuerySerializer(serializers.Serializer[Any]):
    outcome = serializers.ChoiceField(choices=Delivery.Outcome.choices, required=False)
    appointment_id = serializers.UUIDField(required=False)
    cursor = serializers.UUIDField(required=False, help_text="上一页给的 cursor;第一页不写。")
    limit = serializers.IntegerField(min_value=1, max_value=LIMIT_MAX, required=False, default=100)


class DeliverySerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    environment = serializers.ChoiceField(choices=ApiClient.Environment.choices)
    kind = serializers.CharField(help_text="book、cancel、check_in、pay 或 ping(试发)")
    idempotency_key = serializers.CharField()
    appointment_id = serializers.UUIDField(allow_null=True)
    number = serializers.IntegerField(help_text="同一个操作的第几次")
    at = serializers.DateTimeField()
    outcome = serializers.ChoiceField(
        choices=Delivery.Outcome.choices, help_text="unknown:发出去了,没有等到应答;failed:没有送到,或应答不能用"
    )
    http_status = serializers.IntegerField(allow_null=True)
    code = serializers.CharField(help_text="没有送到的原因,例如 no_connection、http_503、private_address")
    duration_ms = serializers.IntegerField()
    command_state = serializers.ChoiceField(
        choices=[("", "测试"), *OutboxCommand.State.choices], help_text="操作现在的状态;测试为空"
    )
    next_attempt_at = serializers.DateTimeField(allow_null=True, help_text="还在等候时,下一次什么时候")


class DeliveryPageSerializer(serializers.Serializer[Any]):
    items = DeliverySerializer(many=True)
    cursor = serializers.UUIDField(allow_null=True)
    more = serializers.BooleanField()


class _WebhookView(HospitalView):
    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if kwargs["environment"] not in ApiClient.Environment.values:
            raise NotFound


class WebhookView(_WebhookView):
    """The address that commands of this environment go to. It is looked up at once; what leads inside is refused."""

    needs = {"GET": READ, "PUT": WRITE}
    once = False  # the first answer shows a secret

    @extend_schema(operation_id="webhook_read", tags=TAGS, parameters=[ENVIRONMENT], responses=WebhookSerializer)
    def get(self, request: Request, environment: str) -> Response:
        told = webhooks.read(environment)
        return Response(told, headers={"ETag": feed.tag(told)})

    @extend_schema(
        operation_id="webhook_write",
        tags=TAGS,
        parameters=[ENVIRONMENT, IF_MATCH],
        request=WebhookRequestSerializer,
        responses={200: WebhookWrittenSerializer, 201: WebhookWrittenSerializer},
    )
    def put(self, request: Request, environment: str) -> Response:
        self.hold(limits.OUTWARD, self.who.client_id)
        given = WebhookRequestSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        written = webhooks.write(
            hospital_id=self.who.hospital_id,
            environment=environment,
            if_match=request.headers.get("If-Match", ""),
            actor=self.actor,
            **given.validated_data,
        )
        code = status.HTTP_201_CREATED if written.secret else status.HTTP_200_OK
        return Response(
            {**written.told, "secret": written.secret}, status=code, headers={"ETag": feed.tag(written.told)}
        )


class WebhookRotationView(_WebhookView):
    """A new signing secret; for a while the one before signs as well."""

    needs = {"POST": WRITE}
    once = False

    @extend_schema(
        operation_id="webhook_rotate",
        tags=TAGS,
        parameters=[ENVIRONMENT],
        request=WebhookRotationSerializer,
        responses={201: WebhookSecretSerializer},
    )
    def post(self, request: Request, environment: str) -> Response:
        given = WebhookRotationSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        made = webhooks.rotate(
            hospital_id=self.who.hospital_id, environment=environment, actor=self.actor, **given.validated_data
        )
        return Response({"secret": made.secret, "old_until": made.old_until}, status=status.HTTP_201_CREATED)


class WebhookPingView(_WebhookView):
    """Send a message that asks for nothing, to see that it arrives; the answer says how it went."""

    needs = {"POST": WRITE}

    @extend_schema(
        operation_id="webhook_ping",
        tags=TAGS,
        parameters=[ENVIRONMENT, IDEMPOTENCY_KEY],
        request=None,
        responses={201: DeliverySerializer},
    )
    def post(self, request: Request, environment: str) -> Response:
        self.hold(limits.OUTWARD, self.who.client_id)

        def work() -> Response:
            return Response(deliveries.shown(webhooks.ping(environment=environment)), status=status.HTTP_201_CREATED)

        return self.do_once(request, work, outward=True)


class DeliveriesView(HospitalView):
    """Every attempt to deliver a command in the last thirty days, the newest first."""

    needs = {"GET": READ}

    @extend_schema(
        operation_id="delivery_list",
        tags=TAGS,
        parameters=[DeliveriesQuerySerializer],
        responses=DeliveryPageSerializer,
    )
    def get(self, request: Request) -> Response:
        # as a plain dict: a form's empty field counts as one not given, but outcome= is no outcome
        asked = DeliveriesQuerySerializer(data=request.query_params.dict())
        asked.is_valid(raise_exception=True)
        found = deliveries.page(**asked.validated_data)
        items = [deliveries.shown(row) for row in found.rows]
        return Response({"items": items, "cursor": found.cursor, "more": found.more})


class DeliveryView(HospitalView):
    """One attempt."""

    needs = {"GET": READ}

    @extend_schema(operation_id="delivery_read", tags=TAGS, responses=DeliverySerializer)
    def get(self, request: Request, delivery_id: UUID) -> Response:
        return Response(deliveries.shown(deliveries.find(delivery_id)))


class DeliveryReplayView(HospitalView):
    """Have its command sent once more, with the same key; look for the new attempt in the list."""

    needs = {"POST": WRITE}

    @extend_schema(
        operation_id="delivery_replay",
        tags=TAGS,
        parameters=[IDEMPOTENCY_KEY],
        request=None,
        responses={202: DeliverySerializer},
    )
    def post(self, request: Request, delivery_id: UUID) -> Response:
        self.hold(limits.OUTWARD, self.who.client_id)

        def work() -> Response:
            row = redelivery.replay(hospital_id=self.who.hospital_id, delivery_id=delivery_id, actor=self.actor)
            return Response(deliveries.shown(row), status=status.HTTP_202_ACCEPTED)

        return self.do_once(request, work)
