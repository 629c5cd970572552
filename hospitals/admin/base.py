"""What the commission's pages share: rows that are only read, reports over all hospitals, lists that stay quick."""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, cast

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import AutocompleteSelectFilter, DropdownFilter

from hospitals import tenancy
from hospitals.audit import Actor

MOST_COUNTED = 10_000


def by(request: HttpRequest) -> Actor:
    """The member of staff who does this."""
    return Actor("commission", request.user.get_username())


class Colours(dict[str, str]):
    """State → colour. Unfold shows the bare code in place of its word where there is no colour for it."""

    def __missing__(self, state: str) -> str:
        return ""


class HospitalFilter(AutocompleteSelectFilter):
    """Finds one of a thousand by the beginning of its name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = "医院"


BY_HOSPITAL = ("hospital", HospitalFilter)


class BoundedPaginator(Paginator):
    """Counts no further than anybody turns pages: a province's rows are not counted to show a hundred of them."""

    @cached_property
    def count(self) -> int:
        rows = cast("QuerySet[Any]", self.object_list)
        return rows.order_by()[:MOST_COUNTED].count()


class Province(ModelAdmin):
    """A list that may be as long as a province's: one bounded count, filters that are applied together."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_filter_submit = True


class ReadOnly:
    """Rows that only the service writes."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class Reporting:
    """Pages that are made inside a report over all hospitals: nothing is read after it has closed."""

    model: type[Model]

    def report(self, request: HttpRequest, view: Callable[[], HttpResponse]) -> HttpResponse:
        reason = f"管理后台:{request.user.get_username()}"
        with tenancy.commission(f"admin:{self.model._meta.model_name}", reason):
            response = view()
            if isinstance(response, TemplateResponse) and not response.is_rendered:
                response.render()
            return response

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.report(request, lambda: super(Reporting, self).changeform_view(request, *args, **kwargs))  # type: ignore[misc]

    def history_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.report(request, lambda: super(Reporting, self).history_view(request, *args, **kwargs))  # type: ignore[misc]

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.report(request, lambda: super(Reporting, self).delete_view(request, *args, **kwargs))  # type: ignore[misc]


class AcrossHospitals(Reporting, ReadOnly):
    """A list over all hospitals' own rows."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return self.report(request, lambda: super(AcrossHospitals, self).changelist_view(request, extra_context))  # type: ignore[misc]


def one_of(title: str, field: str, choices: Iterable[tuple[str, str]]) -> type[DropdownFilter]:
    """A filter whose choices are known; Django's own would look through the whole table for them."""
    fixed = list(choices)

    class Known(DropdownFilter):
        parameter_name = field

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
            return fixed

        def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
            return rows.filter(**{field: self.value()}) if self.value() else rows

    Known.title = title
    return Known
