"""The door that the booking benchmark knocks at: a resident's booking over HTTP, as the websocket makes it.

The service itself takes bookings by the websocket's turns only; this is the same work without the conversation around
it: her token is verified, consent is looked up, the place is taken, the visit recorded. POST {"patient", "slot", "key"} with
a bearer token; 201, or a problem document with the error's own status. Seeding: ``python -m benchmarks._booking_web``.
"""

import json
import os
from typing import Any
from uuid import UUID

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "companion.settings")

import django  # noqa: E402

django.setup()

from companion import asgi, signin  # noqa: E402
from companion.asking import asking  # noqa: E402
from companion.desks.visit import VisitDesk  # noqa: E402
from companion.exceptions import CompanionError  # noqa: E402
from companion.models import FamilyLink  # noqa: E402
from companion.ports.booking import VisitView  # noqa: E402


def _in_one_hop(token: str, patient: UUID, slot: str, key: str) -> VisitView:
    resident_id = signin.verify(token).resident_id
    return VisitDesk(resident_id, patient, resident_id).book_now(slot, key)


async def _book(headers: dict[bytes, bytes], body: bytes) -> tuple[int, dict[str, Any]]:
    try:
        wish = json.loads(body)
        token = headers.get(b"authorization", b"").decode().removeprefix("Bearer ")
        visit = await asking(_in_one_hop, token, UUID(wish["patient"]), wish["slot"], wish["key"])
    except CompanionError as error:
        return error.status_code, {"code": error.code, "detail": error.detail, "status": error.status_code}
    return 201, {"visit": visit.visit_id, "status": visit.status}


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":  # what a web process does at its start
        await asgi.application(scope, receive, send)
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    status, answer = await _book(dict(scope["headers"]), body)
    raw = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": raw})


# --- what it stands on ------------------------------------------------------------------------------------------


def seed(
    *, residents: int, hospitals: int, half_days: int, capacity: int, sandbox: bool = False, past: int = 0
) -> dict[str, Any]:
    """Signed-in residents with real-name cards, and live hospitals with one slot a half day. Invented, all of it.

    ``sandbox``: each hospital has a pretended system that takes what was booked. ``past``: of so many days each hospital
    has visits that are over, one resident in eight each day.
    """
    from datetime import date, timedelta

    from django.utils import timezone

    from companion.identity.base import Identity
    from companion.models import Patient, Resident
    from hospitals import tenancy
    from hospitals.models import DataKey, Department, Hospital, Practitioner, Schedule, Slot

    signed_in: list[list[str]] = []
    patients: list[Patient] = []
    for number in range(residents):
        token, who = signin.open_session(Identity("bench", "app", f"resident-{number}"))
        resident = Resident.objects.get(id=who.resident_id)
        patient = Patient.objects.create(
            keeper=resident,
            name="林晓雨",
            id_number=f"99010119900101{number:04}",
            phone="10000000001",
            birth_date="1990-01-01",
            sex="female",
        )
        FamilyLink.objects.create(resident=resident, patient=patient, relation="self", consented_at=timezone.now())
        signed_in.append([token, str(patient.id)])
        patients.append(patient)
    morning = timezone.localtime().replace(hour=8, minute=0, second=0, microsecond=0) + timedelta(days=2)
    slots: list[list[str]] = []
    secrets: list[str] = []
    for number in range(hospitals):
        hospital = Hospital(
            code=f"h{number}",
            name=f"第{number}医院",
            city="岚州市",
            state="live",
            connector="sandbox" if sandbox else "push",
        )
        with tenancy.scope(hospital.id):
            hospital.save(force_insert=True)
            named = {"standard_name": "眼科", "national_code": "10"}
            department = Department.objects.create(hospital=hospital, identifier="eye", name="眼科", **named)
            rooms = {"hospital": hospital, "department": department}
            doctor = Practitioner.objects.create(identifier="d", name="钱明", **rooms)
            if sandbox:
                secrets.append(_sandbox(hospital))
            made: list[Slot] = []
            for half_day in range(half_days):
                start = morning + timedelta(days=half_day // 2, hours=6 * (half_day % 2))
                day: date = start.date()
                period = ("morning", "afternoon")[half_day % 2]
                schedule = Schedule.objects.create(
                    identifier=f"s{half_day}", practitioner=doctor, day=day, period=period, **rooms
                )
                made.append(
                    Slot(
                        identifier=f"eye.d.{half_day}.0900",
                        schedule=schedule,
                        practitioner=doctor,
                        start=start,
                        end=start + timedelta(hours=3),
                        capacity=capacity,
                        free=capacity,
                        **rooms,
                    )
                )
            Slot.objects.bulk_create(made)
            slots.append([str(slot.id) for slot in made])
            for day in range(past):
                _over(doctor, morning - timedelta(days=3 + day), patients[(number + day) % 8 :: 8])
    # They have been here for long: a key's first minutes, in which it is read again and again, are not what is measured.
    DataKey.objects.update(created_at=timezone.now() - timedelta(hours=1))
    return {"residents": signed_in, "slots": slots, "secrets": secrets}


def _over(doctor: Any, start: Any, patients: list[Any]) -> None:
    """A half day that has been, and the appointments of it."""
    from datetime import timedelta

    from hospitals import indexing
    from hospitals.models import Appointment, Schedule, Slot

    rooms = {"hospital_id": doctor.hospital_id, "department_id": doctor.department_id, "practitioner": doctor}
    day = Schedule.objects.create(identifier=f"past.{start.date()}", day=start.date(), period="morning", **rooms)
    times = {"start": start, "end": start + timedelta(hours=3), "capacity": len(patients), "free": len(patients)}
    slot = Slot.objects.create(identifier=f"past.{start.date()}", schedule=day, **times, **rooms)
    Appointment.objects.bulk_create(
        Appointment(
            hospital_id=doctor.hospital_id,
            slot=slot,
            half_day=day.id,
            subject=patient.id,
            keeper_id=patient.keeper_id,
            id_number_index=indexing.blind_indexes("id_number", patient.id_number)[0],
            idempotency_key=f"past:{slot.id}:{patient.id}",
            state=Appointment.State.FINISHED,
            created_at=start,
        )
        for patient in patients
    )


def _sandbox(hospital: Any) -> str:
    """Returns the secret that signs its events."""
    from hospitals import tenancy
    from hospitals.connectors import push
    from hospitals.connectors.sandbox.models import SandboxClinic, SandboxSystem
    from hospitals.models import HospitalCredential

    secret = push.new_secret()
    with tenancy.scope(hospital.id):
        HospitalCredential.objects.create(kind=HospitalCredential.Kind.EVENTS, secret=secret, hospital=hospital)
    system = SandboxSystem.objects.create(
        hospital_id=hospital.id, code=hospital.code, secret=secret, missed_rule="过号重排"
    )
    room = {"name": "眼科", "script": "eye", "room_code": "R1", "room_name": "一诊室", "place": "1楼"}
    SandboxClinic.objects.create(system=system, department="eye", **room)
    return secret


if __name__ == "__main__":
    import sys

    print(json.dumps(seed(**json.loads(sys.argv[1]))))
