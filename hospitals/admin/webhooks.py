"""What the commission sees of hospitals' own addresses and of what was delivered: no secret, no message, nobody's name."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from hospitals.admin import words
from hospitals.admin.base import BY_HOSPITAL, AcrossHospitals, Province, by, one_of
from hospitals.exceptions import HospitalsError
from hospitals.models import Delivery, WebhookEndpoint
from hospitals.services import redelivery


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(AcrossHospitals, Province):
    list_display = ("hospital", "environment", "address", "enabled", "changed_at")
    list_filter = ("environment", "enabled", BY_HOSPITAL)
    search_fields = ("hospital__code__exact", "hospital__name__icontains")
    fields = ("hospital", "environment", "address", "enabled", "previous_until", "created_at", "changed_at")
    readonly_fields = ("address",)
    list_select_related = ("hospital",)
    ordering = ("hospital__name", "environment")

    @display(description="地址")
    def address(self, row: WebhookEndpoint) -> str:
        return row.url.partition("?")[0]  # a query may hold a hospital's own token


@admin.register(Delivery)
class DeliveryAdmin(AcrossHospitals, Province):
    list_display = (
        "at",
        "hospital",
        "environment",
        "asked",
        "number",
        "shown_outcome",
        "http_status",
        "why",
        "duration_ms",
    )
    list_filter = (
        "outcome",
        "environment",
        BY_HOSPITAL,
        one_of("操作", "kind", words.choices(words.COMMANDS)),
    )
    search_fields = (
        "hospital__name__icontains",
        "hospital__code__exact",
        "=appointment_key",
        "=idempotency_key",
        "=code",
    )
    date_hierarchy = "at"
    fields = (
        *("hospital", "environment", "asked", "appointment_key", "number", "at", "outcome", "http_status", "why"),
        *("duration_ms", "command"),
    )
    readonly_fields = ("asked", "why")
    list_select_related = ("hospital",)
    ordering = ("-at", "-id")
    actions = ("replay",)

    @display(description="操作", ordering="kind")
    def asked(self, row: Delivery) -> str:
        return words.said(words.COMMANDS, row.kind)

    @display(description="原因", ordering="code")
    def why(self, row: Delivery) -> str:
        return words.with_code(words.REASONS, row.code)

    @display(
        description="结果",
        label={"accepted": "success", "refused": "danger", "unknown": "warning", "failed": "danger"},
    )
    def shown_outcome(self, row: Delivery) -> tuple[str, str]:
        return row.outcome, row.get_outcome_display()

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("hospitals.replay_delivery")

    @admin.action(description="重新送达", permissions=["replay"])
    def replay(self, request: HttpRequest, rows: QuerySet[Delivery]) -> None:
        sent = 0
        for hospital_id, delivery_id in rows.values_list("hospital_id", "id"):
            try:
                redelivery.replay(hospital_id=hospital_id, delivery_id=delivery_id, actor=by(request))
                sent += 1
            except HospitalsError as error:
                self.message_user(request, error.detail, messages.WARNING)
        self.message_user(request, f"{sent}条会重新送达,结果请看新的送达记录。")
