"""A visit of hers to speak of: an appointment that takes commands, and her side of it."""

from typing import Any

from companion import people, visits
from companion.journey import OwnEvent
from companion.models import Visit
from hospitals import tenancy
from hospitals.connectors.base import PatientCard
from hospitals.models import Appointment, InboxEvent
from tests.canaries.words import ID_NUMBER, NAME, PHONE
from tests.companion.people import Person
from tests.hospitals.appointments import an_appointment
from tests.hospitals.clinics import NOW

CARD = PatientCard(NAME, ID_NUMBER, PHONE, NOW.date(), "female")


def her() -> Person:
    """Signed in, her card filled in with canaries."""
    made = Person("canary", filled=False)
    card = {"name": NAME, "document": "id_card", "id_number": ID_NUMBER, "phone": PHONE}
    people.create(resident_id=made.resident_id, relation="self", **card)
    return made


def a_visit(connector: str, visit_id: Any = None) -> Appointment:
    """Booked at a hospital that is reached so."""
    row = an_appointment(connector)
    with tenancy.scope(row.hospital_id):
        if visit_id:
            Appointment.objects.filter(id=row.id).update(id=visit_id)
            row = Appointment.objects.get(id=visit_id)
        row.card = {"name": NAME, "id_number": ID_NUMBER, "phone": PHONE, "birth_date": "1954-06-07", "sex": "female"}
        row.save()
        start = row.slot.start
    who = her()
    facts = {"hospital_id": row.hospital_id, "hospital_name": "第一医院", "department": "眼科", "start": start}
    Visit.objects.create(id=row.id, resident=who.resident, patient=who.patient, **facts)
    for event in (OwnEvent.TRIAGED, OwnEvent.BOOKED):
        visits.own_event(row.id, event)
    return row


def kept(row: Appointment) -> dict[str, str]:
    """Event type → state, of all that was stored of this hospital."""
    with tenancy.scope(row.hospital_id):
        return dict(InboxEvent.objects.values_list("type", "state"))
