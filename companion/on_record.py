"""Admin pages about people. Opening one about a person asks why, once a session and person, and is on the audit log; she may
read there who looked, and why. A list that shows masked names is on the log with whom it showed."""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.db.models import Model
from django.http import HttpRequest, HttpResponseRedirect
from django.template.response import TemplateResponse

from companion.models import PaymentOrder, Turn, TurnReview
from hospitals import audit
from hospitals.audit import Actor
from hospitals.personal import numbers_hidden

REASONS = "looks"  # in the session: person → why
LISTS, LISTS_KEPT = "lists", 200  # in the session: which lists are on record
SHORTEST, LONGEST = 4, 100


def list_shown(request: HttpRequest, model: type[Model], subjects: Iterable[UUID]) -> None:
    """A page of a list with masked names: on record with the ids of whom it showed, once a session and set of people."""
    name, ids = str(model._meta.model_name), " ".join(sorted(map(str, subjects)))
    key = sha256(f"{name} {ids}".encode()).hexdigest()[:32]
    known: list[str] = request.session.get(LISTS, [])
    if ids and key not in known:
        request.session[LISTS] = [*known, key][-LISTS_KEPT:]
        actor = Actor("commission", request.user.get_username())
        audit.record("staff.list", actor=actor, entity=name, entity_id=key, detail=ids)


class OnRecord:
    """For admins of visits, their payments, conversations, turns and their reviews; before any other base that shows the page."""

    def changeform_view(self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any) -> Any:
        row = self.get_object(request, object_id)  # type: ignore[attr-defined]
        if row is not None and self.has_view_permission(request, row):  # type: ignore[attr-defined]
            turn = row.turn if isinstance(row, TurnReview) else row
            about = (
                turn.conversation if isinstance(turn, Turn) else turn.visit if isinstance(turn, PaymentOrder) else turn
            )
            subject = about.patient_id or about.resident_id
            if isinstance(row, TurnReview):
                why = f"质量评审:{row.get_because_display()}"
            else:
                why = request.session.get(REASONS, {}).get(str(subject), "")
                if not why or "why" in request.POST:
                    return self._ask(request, subject)
            actor = Actor("commission", request.user.get_username())
            audit.record(
                "staff.look", actor=actor, entity=row._meta.model_name, entity_id=row.pk, subject=subject, why=why
            )
        return super().changeform_view(request, object_id, *args, **kwargs)  # type: ignore[misc]

    def _ask(self, request: HttpRequest, subject: UUID) -> Any:
        """Asks why, and keeps the answer for this session."""
        why = numbers_hidden(request.POST.get("why", "").strip())[:LONGEST]
        if len(why) >= SHORTEST:
            request.session[REASONS] = {**request.session.get(REASONS, {}), str(subject): why}
            return HttpResponseRedirect(request.get_full_path())
        context = self.admin_site.each_context(request) | {"title": "为什么查看", "shortest": SHORTEST}  # type: ignore[attr-defined]
        return TemplateResponse(request, "companion/admin_why.html", context)
