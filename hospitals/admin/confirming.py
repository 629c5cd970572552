"""A deed of a list that cannot be taken back asks first, with the rows that it is about."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

SHOWN = 20
_KEPT = ("action", "select_across", "index", "_selected_action")

Act = Callable[[Any, HttpRequest, QuerySet[Any]], HttpResponse | None]


def asked_first(question: str) -> Callable[[Act], Act]:
    """``question``: what cannot be taken back, in words. Below ``admin.action``, which gives the deed its name."""

    def around(act: Act) -> Act:
        @wraps(act)
        def asked(pages: Any, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
            if "confirmed" in request.POST:
                return act(pages, request, rows)
            name = request.POST["action"]
            context = pages.admin_site.each_context(request) | {
                "title": dict(pages.get_action_choices(request))[name],
                "question": question,
                "shown": list(rows[:SHOWN]),
                "count": rows.count(),
                "kept": [(key, value) for key in _KEPT for value in request.POST.getlist(key)],
                "opts": pages.model._meta,
            }
            return TemplateResponse(request, "hospitals/admin_asked_first.html", context)

        return asked

    return around
