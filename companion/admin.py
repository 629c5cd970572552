"""What the commission sees of residents' side: visits, conversations to sample and correct, incidents, the human desk.

Permissions come by role (companion.roles); names of residents are shown masked, because quality work does not need them.
"""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from unfold.admin import TabularInline
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextareaWidget

from companion import (  # noqa: F401  each registers its pages
    admin_accounts,
    admin_money,
    admin_quality,
    admin_words,
    incidents,
)
from companion.journey import VisitState
from companion.models import (
    Conversation,
    HumanRequest,
    Incident,
    Patient,
    Reminder,
    Turn,
    Visit,
    VisitEvent,
)
from companion.on_record import OnRecord, list_shown
from hospitals import vault
from hospitals.admin import Colours, Province, ReadOnly, asked_first, one_of, words
from hospitals.audit import Actor
from hospitals.exceptions import CiphertextInvalid, KeyDestroyed

STATES = {
    VisitState.TRIAGED: "已分诊",
    VisitState.BOOKED: "已预约",
    VisitState.REMINDED: "已提醒",
    VisitState.ARRIVED: "已到院",
    VisitState.CANCELLING: "等医院确认取消",
    VisitState.CHECKED_IN: "已取号",
    VisitState.WAITING: "候诊中",
    VisitState.CALLED: "已叫号",
    VisitState.MISSED: "已过号",
    VisitState.IN_CONSULTATION: "就诊中",
    VisitState.CONSULTED: "看诊结束",
    VisitState.CLOSED: "已完成",
    VisitState.FOLLOW_UP: "待复诊",
    VisitState.REFUSED: "未约成",
    VisitState.STOPPED: "已停诊",
    VisitState.CANCELLED: "已取消",
    VisitState.NO_SHOW: "未到",
}

admin.site.index_title = "总览"
admin.site.index_template = "companion/admin_overview.html"


def masked(name: str) -> str:
    """陈玉兰 → 陈＊＊: enough to tell rows apart, too little to tell who it is."""
    return name[:1] + "＊" * max(1, len(name) - 1) if name else "—"


def masked_name(patient: Patient) -> str:
    """The patient's; of somebody erased, that it is gone; of a damaged row, that it does not open."""
    try:
        return masked(patient.name)
    except KeyDestroyed:
        return "已注销"
    except CiphertextInvalid:
        return "打不开"


class NamesShown:
    """A list that shows whose each row is: their keys are opened together."""

    @staticmethod
    def patient_of(row: Any) -> Patient | None:
        found: Patient | None = row.patient
        return found

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        found = super().get_changelist_instance(request)  # type: ignore[misc]
        shown = [patient for row in found.result_list if (patient := self.patient_of(row))]
        vault.open_keys("resident", {patient.keeper_id for patient in shown})
        list_shown(request, found.model, {patient.id for patient in shown})
        return found


class VisitEventInline(ReadOnly, TabularInline):
    model = VisitEvent
    fields = ("sequence", "happened", "occurred_at", "received_at")
    readonly_fields = ("happened",)
    ordering = ("received_at", "id")
    extra = 0
    tab = True
    verbose_name_plural = "经过"

    @display(description="发生了什么")
    def happened(self, event: VisitEvent) -> str:
        return words.said(words.EVENTS, event.type)


@admin.register(Visit)
class VisitAdmin(NamesShown, OnRecord, ReadOnly, Province):
    list_display = ("start", "hospital_name", "department", "who", "shown_state", "changed_at")
    list_filter = (one_of("状态", "state", STATES.items()),)
    search_fields = ("hospital_name", "department")
    ordering = ("-start", "id")
    date_hierarchy = "start"
    fields = ("hospital_name", "department", "practitioner", "start", "place", "shown_state", "fee_fen", "created_at")
    readonly_fields = ("shown_state",)
    inlines = (VisitEventInline,)
    list_select_related = ("patient",)

    @display(description="就诊人")
    def who(self, visit: Visit) -> str:
        return masked_name(visit.patient)

    @display(
        description="状态",
        label=Colours(
            called="warning",
            missed="danger",
            stopped="danger",
            no_show="danger",
            closed="success",
            follow_up="success",
        ),
    )
    def shown_state(self, visit: Visit) -> tuple[str, str]:
        return visit.state, STATES[VisitState(visit.state)]


class TurnInWords:
    """A turn's codes and sealed words as staff read them."""

    @display(description="她说")
    def shown_said(self, turn: Turn) -> str:
        return admin_quality.words_of(turn)[0]

    @display(description="回答")
    def shown_answer(self, turn: Turn) -> str:
        return format_html_join("", "<p>{}</p>", ((line,) for line in admin_quality.words_of(turn)[1]))

    @display(description="理解为", ordering="intent")
    def meant(self, turn: Turn) -> str:
        return words.said(admin_words.INTENTS, turn.intent)

    @display(description="轻重缓急", ordering="urgency")
    def how_urgent(self, turn: Turn) -> str:
        return words.said(admin_words.URGENCY, turn.urgency)

    @display(description="由谁回答", ordering="skill")
    def answered_by(self, turn: Turn) -> str:
        return words.said(admin_words.SKILLS, turn.skill)

    @display(description="居民评价", ordering="rating")
    def rated(self, turn: Turn) -> str:
        return admin_words.RATINGS.get(turn.rating or 0, "—")


class TurnInline(TurnInWords, ReadOnly, TabularInline):
    model = Turn
    fields = ("number", "shown_said", "shown_answer", "meant", "how_urgent", "rated", "duration_ms")
    readonly_fields = fields
    extra = 0
    tab = True


@admin.register(Conversation)
class ConversationAdmin(NamesShown, OnRecord, ReadOnly, Province):
    ordering = ("-started_at", "id")
    date_hierarchy = "started_at"
    list_display = ("started_at", "who", "turns_count", "last_seen_at")
    list_filter = ("started_at",)
    fields = ("started_at", "last_seen_at", "turns_count", "avatar")
    inlines = (TurnInline,)
    list_select_related = ("patient",)

    @display(description="为谁")
    def who(self, conversation: Conversation) -> str:
        return masked_name(conversation.patient) if conversation.patient else "—"


@admin.register(Turn)
class TurnAdmin(TurnInWords, OnRecord, ReadOnly, Province):
    """What was said and understood, names hidden; who corrects does so in the review of a turn (companion.admin_quality)."""

    ordering = ("-created_at", "id")
    date_hierarchy = "created_at"

    list_display = ("created_at", "meant", "how_urgent", "answered_by", "rated", "reviewed")
    list_filter = (
        one_of("理解为", "intent", words.choices(admin_words.INTENTS)),
        one_of("轻重缓急", "urgency", words.choices(admin_words.URGENCY)),
        one_of("居民评价", "rating", [("1", "满意"), ("-1", "不满意")]),
        ("reviewed_at", admin.EmptyFieldListFilter),
    )
    fields = ("shown_said", "shown_answer", "meant", "how_urgent", "answered_by", "duration_ms", "rated")
    readonly_fields = fields

    @display(description="已评审", boolean=True)
    def reviewed(self, turn: Turn) -> bool:
        return turn.reviewed_at is not None


class IncidentForm(forms.ModelForm):
    note = forms.CharField(label="备注", max_length=2000, required=False, widget=UnfoldAdminTextareaWidget())

    class Meta:
        model = Incident
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial = {**self.initial, "note": self.instance.note}


@admin.register(Incident)
class IncidentAdmin(Province):
    form = IncidentForm
    ordering = ("-created_at", "id")
    date_hierarchy = "created_at"
    list_display = ("created_at", "kind", "codes_line", "state", "handled_by")
    list_filter = ("kind", ("handled_at", admin.EmptyFieldListFilter))
    fields = ("kind", "codes_line", "conversation", "hospital", "created_at", "handled_at", "handled_by", "note")
    readonly_fields = ("kind", "codes_line", "conversation", "hospital", "created_at", "handled_at", "handled_by")
    actions = ("mark_handled",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_handle_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("companion.handle_incident")

    @display(description="规则")
    def codes_line(self, incident: Incident) -> str:
        return format_html("{}", "、".join(admin_words.reported(str(code)) for code in incident.codes))

    @display(description="医院")
    def hospital(self, incident: Incident) -> str:
        return words.hospital_name(incident.hospital_id)

    @display(description="处理", label={"待处理": "danger", "已处理": "success"})
    def state(self, incident: Incident) -> str:
        return "已处理" if incident.handled_at else "待处理"

    def changeform_view(self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any) -> Any:
        row = self.get_object(request, object_id) if request.method == "GET" else None
        if row is not None and self.has_view_permission(request, row):
            incidents.looked(row, actor=Actor("commission", request.user.get_username()))
        return super().changeform_view(request, object_id, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Incident, form: Any, change: bool) -> None:
        incidents.write_note(obj, form.cleaned_data["note"], actor=Actor("commission", request.user.get_username()))

    @action(description="标为已处理", permissions=["handle"])
    @asked_first("标为已处理以后不能改回「待处理」,经办人会记入审计日志。")
    def mark_handled(self, request: HttpRequest, queryset: QuerySet[Incident]) -> None:
        count = incidents.handle(queryset, actor=Actor("commission", request.user.get_username()))
        messages.success(request, f"{count} 件已标为处理完毕。")


@admin.register(HumanRequest)
class HumanRequestAdmin(NamesShown, Province):
    """The service desk's list; who waits longest is called first."""

    ordering = ("requested_at", "id")
    list_select_related = ("conversation__patient",)
    list_display = ("requested_at", "who", "conversation", "answered_at")
    list_filter = (("answered_at", admin.EmptyFieldListFilter),)
    fields = ("conversation", "requested_at", "answered_at")
    readonly_fields = fields
    actions = ("mark_answered",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @staticmethod
    def patient_of(row: HumanRequest) -> Patient | None:
        found: Patient | None = row.conversation.patient
        return found

    @display(description="为谁")
    def who(self, row: HumanRequest) -> str:
        patient = self.patient_of(row)
        return masked_name(patient) if patient else "—"

    @action(description="标为已接听", permissions=["change"])
    @asked_first("标为已接听以后不能改回,这位居民不再排在人工队伍里。")
    def mark_answered(self, request: HttpRequest, queryset: QuerySet[HumanRequest]) -> None:
        count = incidents.answer(queryset, actor=Actor("commission", request.user.get_username()))
        messages.success(request, f"{count} 个人工请求已标为接听;已经接听的没有动。")


@admin.register(Reminder)
class ReminderAdmin(ReadOnly, Province):
    ordering = ("-due_at", "id")
    list_select_related = ("visit",)
    list_display = ("due_at", "kind", "visit", "sent_at")
    list_filter = ("kind", ("sent_at", admin.EmptyFieldListFilter))
