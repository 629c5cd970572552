"""A live hospital with one clinic, residents with real-name cards, and a clock that stands where a test puts it."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from django.db import transaction

from hospitals import tenancy
from hospitals.connectors import codec
from hospitals.connectors.base import EventData, EventType, HospitalEvent, PatientCard, QueuePosition, Reason
from hospitals.models import (
    Appointment,
    Department,
    Hospital,
    InboxEvent,
    OutboxCommand,
    Practitioner,
    Schedule,
    Slot,
    SlotHold,
)
from hospitals.services import booking, inbox, outbox
from tests.hospitals.own_rows import a_hospital, make

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=ZoneInfo("Asia/Shanghai"))
MORNING = NOW + timedelta(days=1, hours=1)
TOMORROW = MORNING.date()
HELD, TAKEN = SlotHold.State.HELD, booking.TAKEN


def card(number: int = 1, name: str = "林晓雨") -> PatientCard:
    return PatientCard(name, f"99010119900101{number:04}", "10000000001", date(1990, 1, 1), "female")


@dataclass
class Clinic:
    """One department, one practitioner; rows are made as they are asked for."""

    hospital: Hospital
    department: Department
    doctor: Practitioner
    heard: list[HospitalEvent] = field(default_factory=list)

    def schedule(self, day: date = TOMORROW, period: str = "morning", **changes: Any) -> Schedule:
        values = {"hospital": self.hospital, "department": self.department, "practitioner": self.doctor, **changes}
        return make(Schedule, identifier=uuid4().hex, day=day, period=period, **values)

    def slot(self, *, of: Schedule | None = None, start: datetime = MORNING, capacity: int = 1) -> Slot:
        of = of or self.schedule(start.date(), "morning" if start.hour < 12 else "afternoon")
        return make(
            Slot,
            hospital=self.hospital,
            identifier=uuid4().hex,
            schedule=of,
            department_id=of.department_id,
            practitioner_id=of.practitioner_id,
            start=start,
            end=start + timedelta(minutes=30),
            capacity=capacity,
            free=capacity,
        )

    def book(self, slot: Slot, subject: UUID | None = None, *, number: int = 1, key: str = "", **more: Any) -> Any:
        wish = booking.wish(
            slot_id=slot.id,
            patient=card(number),
            subject=subject or uuid4(),
            keeper=more.pop("keeper", None),
            idempotency_key=key or uuid4().hex,
            now=more.pop("now", NOW),
        )
        with transaction.atomic():  # a refusal takes it back
            return booking.book(wish, **more)

    def tells(self, kind: EventType, appointment_id: UUID, sequence: int = 1) -> None:
        """An event of the hospital's about this appointment comes in and is handled."""
        data: EventData = None
        if codec.DATA.get(kind) is Reason:
            data = Reason("医院通知")
        elif kind is EventType.ENCOUNTER_CHECKED_IN:
            data = QueuePosition("1", 0, "1", "R1", "一诊室", "1楼", as_of=NOW)
        event = HospitalEvent(uuid4().hex, kind, self.hospital.id, str(appointment_id), sequence, NOW, data)
        with tenancy.scope(self.hospital.id):
            inbox.store(event)
        self.settle()

    def settle(self) -> None:
        """What the default worker does after a commit: every stored event is handled."""
        with tenancy.scope(self.hospital.id):
            waiting = list(InboxEvent.objects.filter(state="received").values_list("id", flat=True))
        for inbox_id in waiting:
            inbox.handle(self.hospital.id, inbox_id)

    def told_the_hospital(self) -> None:
        """Every booking has reached it and was accepted."""
        with tenancy.scope(self.hospital.id):
            OutboxCommand.objects.filter(kind="book").update(state="accepted", sent_at=NOW)

    def answers(self, kind: str, *, accepted: bool) -> None:
        """Its answer to the command of this kind that waits."""
        with tenancy.scope(self.hospital.id):
            row = OutboxCommand.objects.select_related("appointment__slot", "hospital").get(kind=kind, state="waiting")
            outbox._end(row, "accepted" if accepted else "refused", "" if accepted else "医院不能线上取消")

    def states(self) -> list[str]:
        with tenancy.scope(self.hospital.id):
            return sorted(Appointment.objects.values_list("state", flat=True))

    def balance(self, slot: Slot) -> tuple[int, int, int]:
        """(free, held, sold) of a slot as the database has it."""
        slot.refresh_from_db()
        with tenancy.scope(self.hospital.id):
            held = SlotHold.objects.filter(slot=slot, state=HELD).count()
            sold = Appointment.objects.filter(slot=slot, state__in=TAKEN).count()
        return slot.free, held, sold


def a_clinic(code: str = "lake", **rules: Any) -> Clinic:
    hospital = a_hospital(code=code, name=f"{code}医院", city="岚州市", state="live", **rules)
    department = make(
        Department, hospital=hospital, identifier="eye", name="眼科", standard_name="眼科", national_code="10"
    )
    doctor = make(Practitioner, hospital=hospital, identifier="d1", department=department, name="钱医生")
    return Clinic(hospital, department, doctor)
