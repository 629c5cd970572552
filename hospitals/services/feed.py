"""Reading the directory back: one row with its ETag, and pages in the order of change, so that paging and keeping in step
are the same thing.

The last page's cursor goes back a little before the reading began: a write that was under way then is shown by the next
call. So a row may come twice, and none is missed; withdrawn rows come as tombstones.
"""

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Q
from django.utils import timezone

from hospitals.exceptions import InvalidInput, NotFound, Outdated
from hospitals.services.rows import BY_KIND, Row
from hospitals.services.upsert import rows_of

SETTLED_AFTER = timedelta(seconds=30)  # longer than any transaction that writes here
FIRST_ID = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Page:
    """``cursor`` continues, now when ``more``, otherwise whenever the hospital next wants to know what changed."""

    items: list[dict[str, Any]]
    cursor: str
    more: bool


def shown(row_type: type[Row], row: Any) -> dict[str, Any]:
    """A row as its hospital reads it."""
    withdrawn = getattr(row, "withdrawn_at", None)
    return {**row_type.shown(row), "changed_at": row.changed_at, "withdrawn_at": withdrawn}


def etag(row_type: type[Row], row: Any) -> str:
    """A strong validator over everything but what bookings change."""
    return tag({k: v for k, v in shown(row_type, row).items() if k not in (*row_type.volatile, "changed_at")})


def tag(told: Any) -> str:
    """The ETag of these JSON values."""
    raw = json.dumps(told, cls=DjangoJSONEncoder, ensure_ascii=False, sort_keys=True)
    return f'"{hashlib.sha256(raw.encode()).hexdigest()[:32]}"'


def find(*, hospital_id: UUID, kind: str, identifier: str) -> Any:
    """The row, withdrawn or not. Raises ``NotFound``."""
    row = rows_of(BY_KIND[kind], hospital_id).filter(identifier=identifier).first()
    if row is None:
        raise NotFound
    return row


def check_match(row_type: type[Row], row: Any, if_match: str, if_none_match: str) -> None:
    """Raises ``Outdated`` when the caller's picture of the row (None: there is none) is not the present one."""
    if if_none_match.strip() == "*" and row is not None:
        raise Outdated("这个编号已经有了。", code="already_exists")
    if if_match and row is None:
        raise Outdated
    if row is not None:
        _check(etag(row_type, row), if_match)


def check_tag(told: Any, if_match: str) -> None:
    """The same for what always exists. Raises ``Outdated``."""
    _check(tag(told), if_match)


def _check(present: str, if_match: str) -> None:
    offered = [offer.strip() for offer in if_match.split(",") if offer.strip()]
    if offered and "*" not in offered and present not in offered:
        raise Outdated


def _encode(at: datetime, row_id: UUID, began: datetime) -> str:
    raw = json.dumps([at.isoformat(), row_id.hex, began.isoformat()]).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(cursor: str) -> tuple[datetime, UUID, datetime]:
    """Raises ``InvalidInput``."""
    try:
        at, row_id, began = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        moments = datetime.fromisoformat(at), datetime.fromisoformat(began)
        if any(m.tzinfo is None or not 1990 < m.year < 2200 for m in moments):
            raise ValueError
        return moments[0], UUID(row_id), moments[1]
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, binascii.Error) as error:
        raise InvalidInput("cursor 不对,请用上一页给的。", code="bad_cursor") from error


def page(*, hospital_id: UUID, kind: str, cursor: str = "", limit: int = 100, withdrawn: bool = True) -> Page:
    """The next rows in the order they were last changed."""
    row_type = BY_KIND[kind]
    now = timezone.now()
    after, after_id, began = _decode(cursor) if cursor else (None, FIRST_ID, now)
    rows = rows_of(row_type, hospital_id)
    if after is not None:
        rows = rows.filter(Q(changed_at__gt=after) | Q(changed_at=after, id__gt=after_id))
        if after_id == FIRST_ID:  # a new reading begins here
            began = now
    if not withdrawn:
        rows = rows.filter(stopped=False) if kind == "slots" else rows.filter(withdrawn_at=None)
    found = list(rows.order_by("changed_at", "id")[: limit + 1])
    more = len(found) > limit
    found = found[:limit]
    items = [shown(row_type, row) for row in found]
    if more:
        return Page(items, _encode(found[-1].changed_at, found[-1].id, began), True)
    settled = began - SETTLED_AFTER
    return Page(items, _encode(max(settled, after or settled), FIRST_ID, began), False)
