"""What the commission sees of hospitals: who joins, what got stuck between us and their systems, who looked at whom.

Rows of a single hospital are read here only as a named report (``tenancy.commission``), which is on the audit log before
anything is shown; names, cards and message bodies are never shown at all.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextareaWidget

from hospitals import tenancy
from hospitals.audit import Actor
from hospitals.exceptions import HospitalsError
from hospitals.models import (
    AuditEvent,
    ConformanceRun,
    Hospital,
    HospitalApplication,
    InboxEvent,
    OnboardingStep,
    OutboxCommand,
)
from hospitals.services import inbox, onboarding, outbox

STATE_COLOURS = {
    "applied": "warning",
    "verified": "info",
    "sandbox": "info",
    "conformance_passed": "info",
    "live": "success",
    "suspended": "danger",
    "left": "danger",
}


class ReadOnly:
    """Rows that only the service writes."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class AcrossHospitals(ReadOnly):
    """A list over all hospitals' own rows. The page is made inside the report: nothing is read after it has closed."""

    model: type[Model]

    def _report(self, request: HttpRequest, view: Callable[[], HttpResponse]) -> HttpResponse:
        reason = f"管理后台:{request.user.get_username()}"
        with tenancy.commission(f"admin:{self.model._meta.model_name}", reason):
            response = view()
            if isinstance(response, TemplateResponse) and not response.is_rendered:
                response.render()
            return response

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return self._report(request, lambda: super(AcrossHospitals, self).changelist_view(request, extra_context))  # type: ignore[misc]

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._report(request, lambda: super(AcrossHospitals, self).changeform_view(request, *args, **kwargs))  # type: ignore[misc]


# --- joining --------------------------------------------------------------------------------------------------

# What the commission may do from each state: the address, the button, the service that does it.
MOVES: dict[str, tuple[str, tuple[str, ...], Callable[..., None]]] = {
    "verify": ("核验通过", ("applied",), onboarding.verify),
    "go-live": ("准予上线", ("conformance_passed",), onboarding.go_live),
    "suspend": ("暂停服务", ("live", "conformance_passed", "sandbox", "verified"), onboarding.suspend),
    "resume": ("恢复服务", ("suspended",), onboarding.resume),
    "leave": ("退出", ("applied", "verified", "sandbox", "conformance_passed", "live", "suspended"), onboarding.leave),
}


class ReasonForm(forms.Form):
    """Why a hospital is moved: it goes into the history and the audit log."""

    reason = forms.CharField(
        label="理由", min_length=4, max_length=300, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )


class OnboardingInline(ReadOnly, TabularInline):
    model = OnboardingStep
    fields = ("at", "source", "target", "actor", "reason")
    ordering = ("-at",)
    extra = 0
    tab = True


@admin.register(Hospital)
class HospitalAdmin(ReadOnly, ModelAdmin):
    list_display = ("name", "code", "level", "city", "shown_state", "connector", "changed_at")
    list_filter = ("state", "city", "level", "connector")
    search_fields = ("name", "code")
    fields = (
        *("name", "code", "level", "city", "address", "phone", "opening_hours", "has_emergency", "state", "connector"),
        *("missed_call_rule", "cancel_until_min", "no_show_limit", "no_show_days", "hold_min", "avatar", "voice"),
    )
    inlines = (OnboardingInline,)
    actions_detail = ("move_verify", "move_go_live", "move_suspend", "move_resume", "move_leave")

    @display(description="状态", label=STATE_COLOURS)
    def shown_state(self, hospital: Hospital) -> tuple[str, str]:
        return hospital.state, hospital.get_state_display()

    def get_urls(self) -> list[URLPattern]:
        here = [
            path("<uuid:hospital_id>/move/<slug:name>/", self.admin_site.admin_view(self.move), name="hospitals_move")
        ]
        return here + super().get_urls()

    def has_onboard_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("hospitals.onboard_hospital")

    def move(self, request: HttpRequest, hospital_id: UUID, name: str) -> HttpResponse:
        """Ask for the reason, then do it; what cannot be done now is said in words."""
        back = HttpResponseRedirect(reverse("admin:hospitals_hospital_change", args=[hospital_id]))
        row = Hospital.objects.filter(id=hospital_id).first()
        if row is None or name not in MOVES or not self.has_onboard_permission(request):
            messages.error(request, "没有这项操作,或者没有这项权限。")
            return HttpResponseRedirect(reverse("admin:hospitals_hospital_changelist"))
        label, sources, do = MOVES[name]
        if row.state not in sources:
            messages.error(request, f"{row.name}现在是「{row.get_state_display()}」,不能{label}。")
            return back
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                actor = Actor("commission", request.user.get_username())
                do(hospital_id=row.id, actor=actor, reason=form.cleaned_data["reason"])
            except HospitalsError as error:
                messages.error(request, error.detail)
            else:
                messages.success(request, f"{row.name}:{label},已记录。")
            return back
        context = self.admin_site.each_context(request) | {
            "title": f"{row.name}:{label}",
            "form": form,
            "hospital": row,
            "label": label,
            "opts": self.model._meta,
        }
        return TemplateResponse(request, "hospitals/admin_move.html", context)

    def _ask(self, object_id: str, name: str) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:hospitals_move", args=[object_id, name]))

    @action(description="核验通过", permissions=["onboard"])
    def move_verify(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask(object_id, "verify")

    @action(description="准予上线", permissions=["onboard"])
    def move_go_live(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask(object_id, "go-live")

    @action(description="暂停服务", permissions=["onboard"])
    def move_suspend(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask(object_id, "suspend")

    @action(description="恢复服务", permissions=["onboard"])
    def move_resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask(object_id, "resume")

    @action(description="退出", permissions=["onboard"])
    def move_leave(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask(object_id, "leave")


@admin.register(HospitalApplication)
class HospitalApplicationAdmin(AcrossHospitals, ModelAdmin):
    """The contact is shown on the single application only: somebody has to call the hospital back."""

    list_display = ("hospital", "licence_number", "created_at")
    fields = ("hospital", "licence_number", "contact_shown", "created_at")
    readonly_fields = ("contact_shown",)
    list_select_related = ("hospital",)

    @display(description="联系人")
    def contact_shown(self, row: HospitalApplication) -> str:
        with tenancy.scope(row.hospital_id):
            return f"{row.contact['name']} {row.contact['phone']} {row.contact['email']}"


@admin.register(ConformanceRun)
class ConformanceRunAdmin(AcrossHospitals, ModelAdmin):
    list_display = ("hospital", "started_at", "connector", "passed")
    list_filter = ("passed", "connector")
    fields = ("hospital", "connector", "passed", "started_at", "finished_at", "points_shown")
    readonly_fields = ("points_shown",)
    list_select_related = ("hospital",)

    @display(description="逐项结果")
    def points_shown(self, row: ConformanceRun) -> str:
        return "\n".join(
            f"{'✓' if point.get('passed') else '✗'} {point.get('name', '')} {point.get('mend') or ''}".rstrip()
            for point in row.points
        )


# --- what got stuck -------------------------------------------------------------------------------------------


@admin.register(InboxEvent)
class InboxEventAdmin(AcrossHospitals, ModelAdmin):
    """Events as they came in; the body is encrypted and is not shown."""

    list_display = ("received_at", "hospital", "type", "shown_state", "attempts", "reason")
    list_filter = ("state", "type")
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
        taken = sum(
            inbox.replay(hospital_id, event_id) for hospital_id, event_id in rows.values_list("hospital_id", "id")
        )
        self.message_user(request, f"已重放{taken}条;不是死信的没有动。")


@admin.register(OutboxCommand)
class OutboxCommandAdmin(AcrossHospitals, ModelAdmin):
    list_display = ("created_at", "hospital", "kind", "shown_state", "attempts", "next_attempt_at", "reason")
    list_filter = ("state", "kind")
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
        sent = sum(outbox.replay(hospital_id, row_id) for hospital_id, row_id in rows.values_list("hospital_id", "id"))
        self.message_user(request, f"{sent}条会重新送达;没有放弃的、号已退回的没有动。")


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnly, ModelAdmin):
    list_display = ("at", "actor_kind", "actor", "action", "entity", "hospital_id", "why")
    list_filter = ("actor_kind", "action")
    search_fields = ("actor", "entity_id")
    date_hierarchy = "at"
    fields = (
        *("at", "chain", "number", "actor_kind", "actor", "action", "entity", "entity_id", "subject", "hospital_id"),
        *("why", "previous", "digest"),
    )
