"""A hospital's own rows page by page, the newest first: the last one that was shown leads to the next page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from hospitals.exceptions import InvalidInput


@dataclass(frozen=True, slots=True)
class Page:
    """``cursor`` continues while ``more``."""

    rows: Sequence[Any]
    cursor: UUID | None
    more: bool


def page(rows: "QuerySet[Any]", by: str, *, cursor: UUID | None, limit: int) -> Page:
    """In a scope. ``by``: the field that tells when. Raises ``InvalidInput`` where ``cursor`` is none of the hospital's rows."""
    if cursor:
        last = rows.model.objects.filter(id=cursor).first()
        if last is None:
            raise InvalidInput("cursor 不对,请用上一页给的。", code="bad_cursor")
        at = getattr(last, by)
        rows = rows.filter(Q(**{f"{by}__lt": at}) | Q(**{by: at, "id__lt": last.id}))
    found = list(rows.order_by(f"-{by}", "-id")[: limit + 1])
    shown = found[:limit]
    return Page(shown, shown[-1].id if shown else None, len(found) > limit)
