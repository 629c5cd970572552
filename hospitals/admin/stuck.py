"""What got stuck between us and a hospital's system: events, commands, systems that are left alone for a while."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from hospitals.admin import words
from hospitals.admin.base import BY_HOSPITAL, AcrossHospitals, Province, ReadOnly, by, one_of
from hospitals.models import Circuit, InboxEvent, OutboxCommand
from hospitals.services import inbox, outbox

OF_HOSPITAL = ("hospital__code__exact", "hospital__name__icontains")


@admin.register(InboxEvent)
class InboxEventAdmin(AcrossHospitals, Province):
    """Events as they came in; the body is encrypted and is not shown."""

    list_display = ("received_at", "hospital", "told", "shown_state", "attempts", "why")
    list_filter = ("state", BY_HOSPITAL, one_of("类型", "type", words.choices(words.EVENTS)))
    search_fields = ("event_id__exact", "appointment_key__exact", *OF_HOSPITAL)
    ordering = ("-received_at", "id")
    date_hierarchy = "received_at"
    fields = ("hospital", "event_id", "told", "sequence", "state", "attempts", "why", "received_at", "done_at")
    readonly_fields = ("told", "why")
    list_select_related = ("hospital",)
    actions = ("replay",)

    @display(description="类型", ordering="type")
    def told(self, row: InboxEvent) -> str:
        return words.said(words.EVENTS, row.type)

    @display(description="原因", ordering="reason")
    def why(self, row: InboxEvent) -> str:
        return words.with_code(words.REASONS, row.reason)

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
    list_display = ("created_at", "hospital", "asked", "shown_state", "attempts", "next_attempt_at", "why")
    list_filter = ("state", BY_HOSPITAL, one_of("操作", "kind", words.choices(words.COMMANDS)))
    search_fields = ("idempotency_key__exact", *OF_HOSPITAL)
    ordering = ("-created_at", "id")
    date_hierarchy = "created_at"
    fields = ("hospital", "asked", "state", "attempts", "next_attempt_at", "why", "created_at", "done_at")
    readonly_fields = ("asked", "why")
    list_select_related = ("hospital",)
    actions = ("replay",)

    @display(description="操作", ordering="kind")
    def asked(self, row: OutboxCommand) -> str:
        return words.said(words.COMMANDS, row.kind)

    @display(description="原因", ordering="reason")
    def why(self, row: OutboxCommand) -> str:
        return words.with_code(words.REASONS, row.reason)

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

    list_display = ("hospital", "failures", "open_until", "why", "changed_at")
    list_filter = (("open_until", admin.EmptyFieldListFilter),)
    search_fields = ("hospital__code", "hospital__name")
    ordering = ("-changed_at", "hospital__code")
    fields = list_display
    readonly_fields = ("why",)
    list_select_related = ("hospital",)

    @display(description="最近一次原因", ordering="last_failure")
    def why(self, row: Circuit) -> str:
        return words.with_code(words.REASONS, row.last_failure)
