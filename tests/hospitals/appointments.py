"""A hospital with one appointment, for tests that need a visit to speak of."""

import uuid
from datetime import date, timedelta

from django.utils import timezone

from hospitals import tenancy
from hospitals.models import Appointment, Department, Practitioner, Schedule, Slot
from tests.hospitals.own_rows import a_hospital, make

CARD = {"name": "林晓雨", "id_number": "440000199001010000", "phone": "1", "birth_date": "1990-01-01", "sex": "female"}


def an_appointment(connector: str, code: str = "one") -> Appointment:
    """A live hospital with one booked appointment."""
    hospital = a_hospital(code=code, name=f"第{code}医院", city="甲市", state="live", connector=connector)
    department = make(
        Department, hospital=hospital, identifier="eye", name="眼科", standard_name="眼科", national_code="10"
    )
    doctor = make(Practitioner, hospital=hospital, identifier="d1", department=department, name="钱医生")
    day = {"day": date(2026, 3, 2), "period": "morning"}
    rooms = {"hospital": hospital, "department": department, "practitioner": doctor}
    schedule = make(Schedule, identifier="s1", **rooms, **day)
    start = timezone.now() + timedelta(hours=2)
    times = {"start": start, "end": start + timedelta(minutes=30)}
    slot = make(Slot, identifier="s1", schedule=schedule, capacity=1, free=0, **rooms, **times)
    with tenancy.scope(hospital.id):
        return Appointment.objects.create(
            hospital=hospital, slot=slot, subject=uuid.uuid4(), card=CARD, id_number_index="x", idempotency_key="k"
        )
