"""What a booking is judged by: the slot as it stands, what she has or had with this hospital, and the hospital's own rules.

Both are read by compiled queries: this is what two hundred people ask at once for the same fifty places.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from hospitals.compiled import Compiled, in_one_go
from hospitals.exceptions import AlreadyBooked, BookingBarred, NotFound, SlotClosed
from hospitals.models import Appointment, Hospital, Slot, SlotHold
from hospitals.services import waiting
from hospitals.services.directory import SlotOffer

State = Appointment.State
TAKEN = (State.PENDING, State.BOOKED, State.CANCELLING, State.CHECKED_IN)
REMEMBERED = 200  # of her appointments that the rules look at


@dataclass(frozen=True, slots=True)
class Wanted:
    """The slot and the rules of its hospital. ``hers``: she may hold a place of it; ``waits``: she is in its line."""

    slot_id: UUID
    hospital_id: UUID
    schedule_id: UUID
    department_id: UUID
    practitioner_id: UUID
    start: datetime
    end: datetime
    free: int
    stopped: bool
    fee_fen: int
    day: date
    period: str
    state: str
    no_show_limit: int
    no_show_days: int
    hold_min: int
    hospital: str
    level: str
    city: str
    department: str
    department_name: str
    place: str
    room_name: str
    room_code: str
    practitioner: str
    title: str
    hers: bool
    waits: bool

    def offer(self) -> SlotOffer:
        """As residents see it."""
        return SlotOffer(
            slot_id=self.slot_id,
            hospital_id=self.hospital_id,
            hospital=self.hospital,
            hospital_level=self.level,
            city=self.city,
            department=self.department,
            department_name=self.department_name,
            practitioner=self.practitioner,
            title=self.title,
            start=self.start,
            end=self.end,
            fee_fen=self.fee_fen,
            free=self.free,
            place=f"{self.place}{self.room_name}",
            room_code=self.room_code,
        )


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the rules look at of an appointment she has or had."""

    idempotency_key: str
    state: str
    practitioner_id: UUID
    department_id: UUID
    start: datetime
    day: date
    period: str


def _slot(slot: UUID, subject: UUID) -> "QuerySet[Slot, Any]":
    held = SlotHold.objects.filter(slot=OuterRef("pk"), subject=subject, state=SlotHold.State.HELD)
    line = waiting.in_line().filter(department=OuterRef("department"), subject=subject)
    hospital = [
        f"hospital__{n}" for n in ("state", "no_show_limit", "no_show_days", "hold_min", "name", "level", "city")
    ]
    department = [f"department__{n}" for n in ("standard_name", "name", "place", "room_name", "room_code")]
    return (
        Slot.objects.annotate(hers=Exists(held), waits=Exists(line))
        .filter(id=slot)
        .values_list(
            *(
                "id",
                "hospital_id",
                "schedule_id",
                "department_id",
                "practitioner_id",
                "start",
                "end",
                "free",
                "stopped",
            ),
            *("fee_fen", "schedule__day", "schedule__period", *hospital, *department),
            *("practitioner__name", "practitioner__title", "hers", "waits"),
        )
    )


def _earlier(slot: UUID, person: str, person_too: str, subject: UUID, key: str) -> "QuerySet[Appointment, Any]":
    of_slot = [f"slot__{n}" for n in ("practitioner_id", "department_id", "start", "schedule__day", "schedule__period")]
    wanted = Slot.objects.filter(id=slot)
    same_half_day = {n: Subquery(wanted.values(n.removeprefix("slot__"))) for n in of_slot[-2:]}
    who = Q(id_number_index__in=[person, person_too]) | Q(subject=subject)
    counts = Q(state=State.NO_SHOW) | Q(state__in=TAKEN, **same_half_day)
    mine = Appointment.objects.filter(
        (who & counts) | Q(idempotency_key=key), hospital_id=Subquery(wanted.values("hospital_id"))
    )
    return mine.order_by("-created_at").values_list("idempotency_key", "state", *of_slot)[:REMEMBERED]


_slots, _appointments = Compiled(_slot), Compiled(_earlier)


def look(
    slot_id: UUID, *, subject: UUID, person: tuple[str, ...] = ("",), key: str = ""
) -> tuple[Wanted, list[Earlier]]:
    """The slot, and this person's appointments with its hospital: by her number or her card, and the one of this key.

    ``person``: her number's one or two blind indexes.

    In a scope that reads over all hospitals: whose the slot is stands in it. Raises ``NotFound``.
    """
    with in_one_go():
        slots = _slots.ask(slot=slot_id, subject=subject)
        appointments = _appointments.ask(
            slot=slot_id, person=person[0], person_too=person[-1], subject=subject, key=key
        )
    found, before = _slots.read(slots), _appointments.read(appointments)
    if not found:
        raise NotFound("没有找到这个号。")
    return Wanted(*found[0]), [Earlier(*row) for row in before]


def check_open(slot: Wanted, now: datetime) -> None:
    """Raises ``SlotClosed``."""
    if slot.state != Hospital.State.LIVE or slot.stopped or slot.end <= now:
        raise SlotClosed


def check(slot: Wanted, before: Iterable[Earlier], now: datetime) -> None:
    """One place a person, half day and department or practitioner, and the hospital's rule on no-shows.

    Raises ``AlreadyBooked``, ``BookingBarred`` (``extra["until"]``: when she may book again).
    """
    since, missed = now - timedelta(days=slot.no_show_days), []
    for row in before:
        if row.state in TAKEN and (row.day, row.period) == (slot.day, slot.period):
            if row.practitioner_id == slot.practitioner_id or row.department_id == slot.department_id:
                if row.state == State.CANCELLING:
                    raise AlreadyBooked("这半天原来的号正等医院确认取消,确认了就能再约。", code="cancelling")
                raise AlreadyBooked("这位就诊人这半天已经约过这个科室了。")
        elif row.state == State.NO_SHOW and row.start >= since:
            missed.append(row.start)
    if slot.no_show_limit and len(missed) >= slot.no_show_limit:
        until = sorted(missed)[-slot.no_show_limit] + timedelta(days=slot.no_show_days)
        day = timezone.localtime(until)
        raise BookingBarred(
            f"{slot.no_show_days}天内有{len(missed)}次约了没来,这家医院规定{day.month}月{day.day}日以前不能线上预约。",
            until=until.isoformat(),
        )
