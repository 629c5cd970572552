"""Who joins, how far each has come, and what the commission does about it."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.decorators import display

from hospitals import tenancy
from hospitals.admin.base import BY_HOSPITAL, AcrossHospitals, Province, ReadOnly, Reporting, by
from hospitals.admin.deeds import DEEDS
from hospitals.exceptions import HospitalsError, KeyDestroyed
from hospitals.models import (
    ApiClient,
    ConformanceRun,
    DataKey,
    Hospital,
    HospitalApplication,
    ImportRun,
    OnboardingStep,
)

STATE_COLOURS = {
    "applied": "warning",
    "verified": "info",
    "sandbox": "info",
    "conformance_passed": "info",
    "live": "success",
    "suspended": "danger",
    "left": "danger",
}
MARKS = {True: "✓", False: "✗", None: "…"}
LISTS = ("inboxevent", "outboxcommand", "conformancerun", "importrun", "apiclient", "department", "schedule")


def contact_line(row: HospitalApplication) -> str:
    with tenancy.scope(row.hospital_id):
        try:
            return f"{row.contact['name']} {row.contact['phone']} {row.contact['email']}"
        except KeyDestroyed:
            return "已清除"


def report_lines(run: ConformanceRun) -> SafeString:
    """Each point with its mark: passed, failed, or not decided yet; and what to mend where it failed."""
    points = (
        (MARKS[point.get("passed")], point.get("name", ""), point.get("mend") if point.get("passed") is False else "")
        for point in run.points
    )
    return format_html_join("", "<p>{} {} {}</p>", points)


class OnboardingInline(ReadOnly, TabularInline):
    model = OnboardingStep
    fields = ("at", "source", "target", "actor", "reason")
    ordering = ("-at", "-id")
    extra = 0
    tab = True


@admin.register(Hospital)
class HospitalAdmin(Reporting, ReadOnly, Province):
    list_display = ("name", "code", "level", "city", "shown_state", "connector", "changed_at")
    list_filter = ("state", "city", "level", "connector")
    search_fields = ("name", "code")
    ordering = ("city", "name")
    readonly_fields = ("licence", "contact", "conformance", "keys")
    fieldsets = (
        (None, {"fields": ("name", "code", "level", "city", "address", "phone", "opening_hours", "has_emergency")}),
        ("接入", {"fields": ("state", "connector", "licence", "contact", "conformance", "keys")}),
        ("规则", {"fields": ("missed_call_rule", "cancel_until_min", "no_show_limit", "no_show_days", "hold_min")}),
        ("形象", {"fields": ("avatar", "voice")}),
    )
    inlines = (OnboardingInline,)

    @display(description="状态", label=STATE_COLOURS)
    def shown_state(self, hospital: Hospital) -> tuple[str, str]:
        return hospital.state, hospital.get_state_display()

    def get_fieldsets(self, request: HttpRequest, obj: Hospital | None = None) -> Any:
        """The contact is a person: shown to who may see applications."""
        if request.user.has_perm("hospitals.view_hospitalapplication"):
            return self.fieldsets
        return [
            (title, {"fields": [name for name in facts["fields"] if name not in ("licence", "contact")]})
            for title, facts in self.fieldsets
        ]

    # --- what it brought along ----------------------------------------------------------------------------------
    @staticmethod
    def _application(hospital: Hospital) -> HospitalApplication | None:
        return HospitalApplication.objects.filter(hospital=hospital).first()

    @display(description="执业许可证登记号")
    def licence(self, hospital: Hospital) -> str:
        row = self._application(hospital)
        return row.licence_number if row else "—"

    @display(description="联系人")
    def contact(self, hospital: Hospital) -> str:
        row = self._application(hospital)
        return contact_line(row) if row else "—"

    @display(description="最近一次一致性测试")
    def conformance(self, hospital: Hospital) -> str:
        run = ConformanceRun.objects.filter(hospital=hospital).order_by("-started_at").first()
        if run is None:
            return "还没有测过"
        done = sum(point.get("passed") is True for point in run.points)
        head = f"{run} {run.connector} 通过{done}/{len(run.points)}项"
        return format_html("<p>{}</p>{}", head, report_lines(run))

    @display(description="数据密钥")
    def keys(self, hospital: Hospital) -> str:
        """Whether what is its own can still be read; destroying is the operator's, a second pair of eyes."""
        newest = DataKey.objects.filter(owner_kind="hospital", owner_id=str(hospital.id)).order_by("-version").first()
        if newest is None:
            return "还没有"
        if newest.destroyed_at:
            return f"已于 {timezone.localtime(newest.destroyed_at):%Y-%m-%d %H:%M} 销毁,内容无法恢复"
        since = f"第{newest.version}版,{timezone.localtime(newest.created_at):%Y-%m-%d %H:%M} 起用"
        if hospital.state == Hospital.State.LEFT:
            return f"{since}。尚未销毁:请运维人员执行 manage.py erase hospital {hospital.code}"
        return since

    # --- what may be done with it -------------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        here = [
            path("<uuid:hospital_id>/move/<slug:name>/", self.admin_site.admin_view(self.move), name="hospitals_move")
        ]
        return here + super().get_urls()

    @staticmethod
    def may_onboard(request: HttpRequest) -> bool:
        return request.user.has_perm("hospitals.onboard_hospital")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        """The buttons of what can be done now, the rest of it in a menu, and the way to this hospital's lists."""
        buttons: list[dict[str, Any]] = []
        menu: list[dict[str, Any]] = []
        if obj is not None and self.may_onboard(request):
            for name, deed in DEEDS.items():
                if obj.state in deed.sources:
                    item = {"title": deed.label, "path": reverse("admin:hospitals_move", args=[obj.pk, name])}
                    (buttons if deed.shown else menu).append(item)
        lists = [
            {
                "title": opts.verbose_name,
                "path": reverse(f"admin:hospitals_{opts.model_name}_changelist") + f"?hospital__id__exact={obj.pk}",
            }
            for opts in (model._meta for model in self.admin_site._registry if model._meta.model_name in LISTS)
            if obj is not None and request.user.has_perm(f"hospitals.view_{opts.model_name}")
        ]
        menus = (("更多操作", menu), ("查看", lists))
        context["actions_detail"] = [*buttons, *({"title": title, "items": items} for title, items in menus if items)]
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)

    def move(self, request: HttpRequest, hospital_id: UUID, name: str) -> HttpResponse:
        """Ask for the reason, then do it; what cannot be done now is said in words."""
        return self.report(request, lambda: self._move(request, hospital_id, name))

    def _move(self, request: HttpRequest, hospital_id: UUID, name: str) -> HttpResponse:
        back = HttpResponseRedirect(reverse("admin:hospitals_hospital_change", args=[hospital_id]))
        row = Hospital.objects.filter(id=hospital_id).first()
        if row is None or name not in DEEDS or not self.may_onboard(request):
            messages.error(request, "没有这项操作,或者没有这项权限。")
            return HttpResponseRedirect(reverse("admin:hospitals_hospital_changelist"))
        deed = DEEDS[name]
        if row.state not in deed.sources:
            messages.error(request, f"{row.name}现在是「{row.get_state_display()}」,不能{deed.label}。")
            return back
        form = deed.form(request.POST or None, hospital=row)
        shown = None
        if request.method == "POST" and form.is_valid():
            given = {key: value for key, value in form.cleaned_data.items() if key != "code"}
            try:
                shown = deed.do(hospital_id=row.id, actor=by(request), **given)
            except HospitalsError as error:
                messages.error(request, error.detail)
                return back
            if not shown:
                row.refresh_from_db()
                messages.success(request, f"{row.name}:{deed.label},已记录。现在是「{row.get_state_display()}」。")
                return back
        context = self.admin_site.each_context(request) | {
            "title": f"{row.name}:{deed.label}",
            "form": form,
            "hospital": row,
            "deed": deed,
            "shown": shown,
            "opts": self.model._meta,
            "facts": [(item.short_description, item(row)) for item in (self.licence, self.contact, self.conformance)],
        }
        return TemplateResponse(request, "hospitals/admin_move.html", context)


@admin.register(HospitalApplication)
class HospitalApplicationAdmin(AcrossHospitals, Province):
    """The contact is shown on the single application only: somebody has to call the hospital back."""

    list_display = ("hospital", "state", "licence_number", "created_at")
    list_filter = ("hospital__state", BY_HOSPITAL)
    search_fields = ("hospital__name", "hospital__code", "licence_number")
    ordering = ("-created_at", "licence_number")
    date_hierarchy = "created_at"
    fields = ("hospital", "licence_number", "contact_shown", "created_at")
    readonly_fields = ("contact_shown",)
    list_select_related = ("hospital",)

    @display(description="状态", label=STATE_COLOURS)
    def state(self, row: HospitalApplication) -> tuple[str, str]:
        return row.hospital.state, row.hospital.get_state_display()

    @display(description="联系人")
    def contact_shown(self, row: HospitalApplication) -> str:
        return contact_line(row)


@admin.register(ConformanceRun)
class ConformanceRunAdmin(AcrossHospitals, Province):
    list_display = ("hospital", "started_at", "connector", "passed")
    list_filter = ("passed", BY_HOSPITAL)
    search_fields = ("hospital__name", "hospital__code")
    ordering = ("-started_at", "id")
    fields = ("hospital", "connector", "passed", "started_at", "finished_at", "points_shown")
    readonly_fields = ("points_shown",)
    list_select_related = ("hospital",)

    @display(description="逐项结果")
    def points_shown(self, row: ConformanceRun) -> str:
        return report_lines(row)


@admin.register(ImportRun)
class ImportRunAdmin(AcrossHospitals, Province):
    list_display = ("started_at", "hospital", "state", "dry_run", "read", "written", "unchanged", "refused")
    list_filter = ("state", "dry_run", BY_HOSPITAL)
    search_fields = ("hospital__name", "hospital__code")
    ordering = ("-started_at", "id")
    fields = (*list_display, "finished_at", "faults_shown")
    readonly_fields = ("faults_shown",)
    list_select_related = ("hospital",)

    @display(description="有误的行")
    def faults_shown(self, row: ImportRun) -> str:
        faults = ((fault.get("line"), fault.get("code"), fault.get("detail")) for fault in row.faults)
        return format_html_join("", "<p>{} {} {}</p>", faults)


@admin.register(ApiClient)
class ApiClientAdmin(ReadOnly, Province):
    """Which accounts hospitals call with; secrets are kept as digests and are not shown."""

    list_display = ("id", "hospital", "environment", "created_at", "revoked_at")
    list_filter = ("environment", ("revoked_at", admin.EmptyFieldListFilter), BY_HOSPITAL)
    search_fields = ("id__exact", "hospital__name", "hospital__code")
    ordering = ("-created_at", "id")
    fields = ("id", "hospital", "environment", "scopes", "created_at", "revoked_at")
    list_select_related = ("hospital",)
