"""Admin pages about one person: opening one is on the audit log, and she may read there who looked."""

from typing import Any

from django.http import HttpRequest

from companion.models import Turn, TurnReview
from hospitals import audit
from hospitals.audit import Actor


class OnRecord:
    """For admins of visits, conversations, turns and their reviews; before any other base that shows the page."""

    def changeform_view(self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any) -> Any:
        row = self.get_object(request, object_id)  # type: ignore[attr-defined]
        if row is not None and self.has_view_permission(request, row):  # type: ignore[attr-defined]
            turn = row.turn if isinstance(row, TurnReview) else row
            about = turn.conversation if isinstance(turn, Turn) else turn
            actor = Actor("commission", request.user.get_username())
            subject = about.patient_id or about.resident_id
            audit.record("staff.look", actor=actor, entity=row._meta.model_name, entity_id=row.pk, subject=subject)
        return super().changeform_view(request, object_id, *args, **kwargs)  # type: ignore[misc]
