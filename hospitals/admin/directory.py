"""What hospitals tell residents, as it stands: read here, written by the hospitals alone."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from hospitals.admin.base import BY_HOSPITAL, Province, ReadOnly
from hospitals.models import Department, IndoorMap, Notice, Practitioner, Schedule, Slot

WITHDRAWN = ("withdrawn_at", admin.EmptyFieldListFilter)


class OfHospital(ReadOnly, Province):
    list_filter: Any = (BY_HOSPITAL, WITHDRAWN)
    list_select_related: Any = ("hospital",)


@admin.register(Department)
class DepartmentAdmin(OfHospital):
    list_display = ("hospital", "name", "standard_name", "place", "bookable", "changed_at", "withdrawn_at")
    list_filter = (BY_HOSPITAL, WITHDRAWN, "bookable")
    search_fields = ("name", "identifier", "standard_name")
    ordering = ("hospital__name", "name", "identifier")
    fields = (
        *("hospital", "identifier", "name", "standard_name", "national_code", "room_code", "room_name", "place"),
        *("bookable", "changed_at", "withdrawn_at"),
    )


@admin.register(Practitioner)
class PractitionerAdmin(OfHospital):
    list_display = ("hospital", "department", "name", "title", "changed_at", "withdrawn_at")
    list_select_related = ("hospital", "department")
    search_fields = ("name", "identifier")
    ordering = ("hospital__name", "department__name", "name", "identifier")
    fields = ("hospital", "identifier", "department", "name", "title", "specialty", "changed_at", "withdrawn_at")


@admin.register(Schedule)
class ScheduleAdmin(OfHospital):
    list_display = ("day", "period", "hospital", "department", "practitioner", "stopped_at", "withdrawn_at")
    list_filter = (BY_HOSPITAL, WITHDRAWN, ("stopped_at", admin.EmptyFieldListFilter), "period")
    list_select_related = ("hospital", "department", "practitioner")
    search_fields = ("identifier__exact", "practitioner__name__exact")
    ordering = ("-day", "hospital__name", "department__name", "identifier")
    fields = (
        *("hospital", "identifier", "department", "practitioner", "day", "period", "stopped_at"),
        *("changed_at", "withdrawn_at"),
    )


@admin.register(Slot)
class SlotAdmin(OfHospital):
    list_display = ("start", "hospital", "department", "practitioner", "free", "capacity", "fee_fen", "stopped")
    list_filter = (BY_HOSPITAL, "stopped")
    list_select_related = ("hospital", "department", "practitioner")
    search_fields = ("identifier__exact", "practitioner__name__exact")
    ordering = ("-start", "hospital__name", "identifier")
    fields = (
        *("hospital", "identifier", "schedule", "department", "practitioner", "start", "end", "capacity", "free"),
        *("fee_fen", "stopped", "changed_at"),
    )


@admin.register(Notice)
class NoticeAdmin(OfHospital):
    list_display = ("starts_at", "ends_at", "hospital", "text", "withdrawn_at")
    search_fields = ("text", "identifier")
    ordering = ("-starts_at", "hospital__name", "identifier")
    fields = ("hospital", "identifier", "text", "starts_at", "ends_at", "changed_at", "withdrawn_at")


@admin.register(IndoorMap)
class IndoorMapAdmin(OfHospital):
    """Which hospital has a map, of when, with how many places; the drawing itself is not shown."""

    list_display = ("hospital", "version", "changed_at")
    list_filter = (BY_HOSPITAL,)
    search_fields = ("hospital__name", "hospital__code")
    ordering = ("hospital__name",)
    fields = ("hospital", "version", "features", "changed_at")
    readonly_fields = ("features",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[IndoorMap]:
        return super().get_queryset(request).defer("geojson")

    @display(description="要素")
    def features(self, row: IndoorMap) -> int:
        return len(row.geojson.get("features", []))
