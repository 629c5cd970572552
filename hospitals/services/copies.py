"""Where a resident's data stand in hospitals' rows: found by her patients' visits, which name hospital and appointment.

Those rows have no index of their own by resident, because every booking and every event would pay for it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.utils.module_loading import import_string

from hospitals.models import Appointment, InboxEvent, OutboxCommand
from hospitals.tenancy import TenantModel


@dataclass(frozen=True, slots=True)
class Kept:
    """What is a resident's: the patients whose cards she keeps, and their appointments by hospital."""

    subjects: frozenset[UUID]
    appointments: dict[UUID, list[UUID]]


def of(resident_id: UUID) -> Kept:
    """Asked of settings.HOSPITALS_KEPT_BY."""
    found: Kept = import_string(settings.HOSPITALS_KEPT_BY)(resident_id)
    return found


def rows(appointments: Iterable[UUID]) -> tuple[QuerySet[TenantModel], ...]:
    """The rows of these appointments that hold a patient's data, model by model. In their hospital's scope."""
    ids = list(appointments)
    return (
        Appointment.objects.filter(id__in=ids),
        OutboxCommand.objects.filter(appointment_id__in=ids),
        InboxEvent.objects.filter(appointment_key__in=[str(found) for found in ids]),
    )


def pages(kept: Kept, most: int) -> Iterator[tuple[UUID, list[UUID]]]:
    """(hospital, some of her appointments there), hospital by hospital and always in one order."""
    for hospital_id, ids in sorted(kept.appointments.items()):
        for first in range(0, len(ids), most):
            yield hospital_id, ids[first : first + most]
