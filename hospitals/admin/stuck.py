"""What got stuck between us and a hospital's system: events, commands, systems that are left alone for a while."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from hospitals.admin.base import BY_HOSPITAL, AcrossHospitals, Province, ReadOnly, by, one_of
from hospitals.connectors.base import CommandKind, EventType
from hospitals.models import Circuit, InboxEvent, OutboxCommand
from hospitals.services import inbox, outbox

OF_HOSPITAL = ("hospital__code__exact", "hospital__name__icontains")


@admin.register(InboxEvent)
class InboxEventAdmin(AcrossHospitals, Province):
    """Events as they came in; the body is encrypted and is not shown."""

    list_display = ("received_at", "hospital", "type", "shown_state", "attempts", "reason")
    list_filter = ("state", BY_HOSPITAL, one_of("类型", "type", [(kind.value, kind.value) for kind in EventType]))
    search_fields = ("event_id__exact", "appointment_key__exact", *OF_HOSPITAL)
    ordering = ("-received_at", "id")
    date_hierarchy = "received_at"
    fields = ("hospital", "event_id", "type", "sequence", "state", "attempts", "reason", "received_at", "done_at")
    list_select_related = ("hospital",)
    actions = ("replay",)

    @display(description="状态", label={"received": "warning", "done": "success", "dead": "danger"})
    def shown_state(self, row: InboxEvent) -> tuple[str, str]:
        return row.state, row.get_state_display()

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("hospitals.replay_inboxevent")

    @admin.action(description="重放所选死信", permissions=["replay"])
    def replay(self, request: HttpRequest, rows: QuerySet[InboxEvent]) -> None:
        chosen = list(rows.values_list("hospital_id", "id"))
        taken = sum(inbox.replay(hospital_id, event_id, actor=by(request)) for hospital_id, event_id in chosen)
        self.message_user(request, f"已重放{taken}条;不是死信的、内容已不保留的没有动。")


@admin.register(OutboxCommand)
class OutboxCommandAdmin(AcrossHospitals, Province):
    list_display = ("created_at", "hospital", "kind", "shown_state", "attempts", "next_attempt_at", "reason")
    list_filter = ("state", BY_HOSPITAL, one_of("操作", "kind", [(kind.value, kind.value) for kind in CommandKind]))
    search_fields = ("idempotency_key__exact", *OF_HOSPITAL)
    ordering = ("-created_at", "id")
    date_hierarchy = "created_at"
    fields = ("hospital", "kind", "state", "attempts", "next_attempt_at", "reason", "created_at", "done_at")
    list_select_related = ("hospital",)
    actions = ("replay",)

    @display(
        description="状态",
        label={
            "waiting": "warning",
            "accepted": "success",
            "refused": "danger",
            "given_up": "danger",
            "withdrawn": "info",
        },
    )
    def shown_state(self, row: OutboxCommand) -> tuple[str, str]:
        return row.state, row.get_state_display()

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("hospitals.replay_outboxcommand")

    @admin.action(description="重新送达", permissions=["replay"])
    def replay(self, request: HttpRequest, rows: QuerySet[OutboxCommand]) -> None:
        chosen = list(rows.values_list("hospital_id", "id"))
        sent = sum(outbox.replay(hospital_id, row_id, actor=by(request)) for hospital_id, row_id in chosen)
        self.message_user(request, f"{sent}条会重新送达;没有放弃的、号已退回的、内容已不保留的没有动。")


@admin.register(Circuit)
class CircuitAdmin(ReadOnly, Province):
    """Systems that did not answer: how often in a row, and until when they are left alone."""

    list_display = ("hospital", "failures", "open_until", "last_failure", "changed_at")
    list_filter = (("open_until", admin.EmptyFieldListFilter),)
    search_fields = ("hospital__code", "hospital__name")
    ordering = ("-changed_at", "hospital__code")
    fields = list_display
    list_select_related = ("hospital",)
