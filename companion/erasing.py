"""What is the companion's to do when a resident is erased: what hangs on her ends, and what stands in clear is cleared.

Her words, cards and visits are under her key and go with it (hospitals.services.erasure destroys it in the same transaction).
"""

from uuid import UUID

from django.db import transaction
from django.db.models import Q

from companion import signin, visits
from companion.journey import OPEN, VisitState
from companion.models import Conversation, Incident, Patient, Reminder, Resident, Visit, VisitEvent, VisitPrompt
from hospitals import vault
from hospitals.services.copies import Kept


def kept_by(resident_id: UUID) -> Kept:
    """settings.HOSPITALS_KEPT_BY: the patients whose cards she keeps, and where they have or had appointments."""
    subjects = frozenset(Patient.objects.filter(keeper_id=resident_id).values_list("id", flat=True))
    appointments: dict[UUID, list[UUID]] = {}
    for hospital_id, visit_id in Visit.objects.filter(patient__in=subjects).values_list("hospital_id", "id"):
        appointments.setdefault(hospital_id, []).append(visit_id)
    return Kept(subjects, appointments)


@transaction.atomic
def forget(resident_id: UUID) -> None:
    """settings.HOSPITALS_ERASURE_SINK; again changes nothing more.

    Visits that she booked for others become theirs to hear of: they are under their keys, not hers.
    """
    others = Patient.objects.filter(visits__resident_id=resident_id).exclude(keeper_id=resident_id).distinct()
    for patient in others:
        visits.hand_over(patient, from_resident=resident_id, also_over=True)
    hers = Visit.objects.filter(patient__keeper_id=resident_id)
    for model in (VisitEvent, VisitPrompt, Reminder):
        model._default_manager.filter(visit__in=hers).delete()
    hers.update(resident_id=resident_id, practitioner="", place="", room_code="", queue_as_of=None)
    hers.filter(state__in=[state.value for state in OPEN]).update(
        state=VisitState.CANCELLED
    )  # nobody follows it any more
    _clear_talks(resident_id)
    Patient.objects.filter(keeper_id=resident_id).update(
        id_number_index="", sex=Patient.Sex.UNKNOWN, document=Patient.Document.ID_CARD
    )
    unchosen = Resident()  # what everybody begins with
    Resident.objects.filter(id=resident_id).update(
        speech_rate=unchosen.speech_rate,
        large_type=unchosen.large_type,
        quiet_from=unchosen.quiet_from,
        quiet_until=unchosen.quiet_until,
    )
    signin.forget(resident_id)


def _clear_talks(resident_id: UUID) -> None:
    """Staff's notes on what happened in her talks go with their own keys; no talk points at a card of hers any more."""
    incidents = Incident.objects.filter(conversation__resident_id=resident_id)
    for incident_id in incidents.values_list("id", flat=True):
        vault.erase("incident", incident_id)
    incidents.update(conversation=None)
    hers = Q(resident_id=resident_id) | Q(patient__keeper_id=resident_id)
    Conversation.objects.filter(hers).update(patient=None)
