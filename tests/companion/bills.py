"""A visit with a bill that waits to be paid, and what the hospital hears of it. All invented."""

from collections.abc import Callable
from typing import Any

from companion.models import Visit, VisitEvent
from hospitals import tenancy
from hospitals.connectors.base import EventType, Invoice, InvoiceLine
from hospitals.models import OutboxCommand
from tests.hospitals.appointments import an_appointment

BILL = Invoice("i1", "检查费", (InvoiceLine("眼压检查", 5000),), 5000, 3000, 2000)


def with_a_bill(visit: Visit, happens: Callable[..., None]) -> None:
    """``BILL`` is issued, and the visit's appointment takes commands."""
    row = an_appointment("push")
    with tenancy.scope(row.hospital_id):
        type(row).objects.filter(id=row.id).update(id=visit.id)
    Visit.objects.filter(id=visit.id).update(hospital_id=row.hospital_id)
    visit.refresh_from_db()
    happens(EventType.INVOICE_ISSUED, BILL)


def happened_meanwhile(visit: Visit, kind: EventType, data: dict[str, Any] | None = None) -> None:
    VisitEvent.objects.create(
        visit=visit,
        resident_id=visit.resident_id,
        key="meanwhile",
        type=kind.value,
        sequence=99,
        data=data or {"id": BILL.id},
        occurred_at=visit.start,
        received_at=visit.start,
    )


def payments(visit: Visit) -> list[tuple[str, str]]:
    """What the hospital is told of: (invoice, the gateway's trade number)."""
    with tenancy.scope(visit.hospital_id):
        return [(c.data["invoice_id"], c.data["receipt"]) for c in OutboxCommand.objects.filter(kind="pay")]
