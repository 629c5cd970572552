"""A bill that she paid online and of which her hospital never said a word. All invented."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from companion import paying, prompts, visits
from companion.events import Say
from companion.journey import Payment
from companion.models import PaymentOrder, Visit
from companion.payment.base import Opened
from hospitals import tenancy
from hospitals.audit import Actor
from hospitals.models import OutboxCommand
from hospitals.services import outbox
from tests.companion.bills import BILL, with_a_bill

SHE = Actor("resident", "she")


def paid_online(visit: Visit, happens: Callable[..., None]) -> PaymentOrder:
    """Paid at the gateway, and the hospital is about to be told."""
    with_a_bill(visit, happens)
    begun = paying.begin(visit, BILL)
    paying.finish(begun, Opened(trade_number="4200001"), Payment(BILL, "issued"), SHE)
    return PaymentOrder.objects.get(state="paid")


def command(order: PaymentOrder) -> OutboxCommand:
    with tenancy.scope(order.visit.hospital_id):
        rows = OutboxCommand.objects.select_related("appointment", "appointment__slot", "hospital")
        return rows.filter(kind="pay").latest("created_at")


def answered(order: PaymentOrder, state: str, reason: str = "", **values: Any) -> None:
    """The PAY command ends so."""
    row = command(order)
    with tenancy.scope(order.visit.hospital_id):
        OutboxCommand.objects.filter(id=row.id).update(**{"reason": "", **values})
        outbox._end(command(order), state, reason, heard=False)
    order.refresh_from_db()


def given_up(order: PaymentOrder, **values: Any) -> PaymentOrder:
    """A day has passed, and the hospital's system never answered. ``values``: of the command."""
    yesterday = timezone.now() - timedelta(hours=25)
    answered(order, "given_up", "circuit_open", created_at=yesterday, **values)
    return order


def hears(visit: Visit) -> str:
    """What she is told by itself, once."""
    unsaid = visits.unsaid(visit.resident_id)
    said = [
        event.text
        for row in unsaid
        for event in prompts.events(row.visit, visits.journey_of(row.visit), row.name, row.part_id)
        if isinstance(event, Say)
    ]
    visits.said([row.id for row in unsaid])
    return "".join(said)
