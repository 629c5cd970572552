"""Whatever residents, hospitals and the clock do in whatever order: no place is lost, none is sold twice."""

from collections import Counter
from contextlib import suppress
from datetime import datetime, timedelta
from unittest.mock import patch
from uuid import UUID

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from hospitals import tenancy
from hospitals.connectors.base import Acknowledgement, Command, CommandKind, EventType
from hospitals.exceptions import (
    AlreadyBooked,
    BookingBarred,
    Conflict,
    ConnectorUnavailable,
    NotFound,
    OutcomeUnknown,
    SlotClosed,
    SlotTaken,
)
from hospitals.models import Appointment, Schedule, Slot, SlotHold, WaitingEntry
from hospitals.services import booking, circuit, outbox, places, upsert, waiting
from hospitals.services.rows import SlotRow, parse
from tests.hospitals.clinics import HELD, MORNING, NOW, TOMORROW, Clinic, a_clinic
from tests.hospitals.own_rows import change

PEOPLE = [UUID(int=n) for n in range(1, 7)]
CAPACITIES = (1, 2, 3)
KEEPS_ITS_PLACE = (*booking.TAKEN, "no_show", "finished")
people, slots = st.sampled_from(range(len(PEOPLE))), st.sampled_from(range(len(CAPACITIES)))


class Booking(RuleBasedStateMachine):
    """Three slots of two half days, six people, one clock. Each run is a transaction that is rolled back."""

    def __init__(self) -> None:
        super().__init__()
        self.block = transaction.atomic()
        self.block.__enter__()
        self.now: datetime = NOW
        self.count = 0
        self.counted_otherwise: set[UUID] = set()  # slots of which the hospital told other numbers than ours
        self.mood = "well"
        self.patches = [
            patch("companion.visits.on_hospital_event"),
            patch.object(timezone, "now", lambda: self.now),
            patch.object(outbox.connecting, "connector", lambda hospital: self),
            patch.object(circuit, "check"),
        ]
        for each in self.patches:
            each.start()

    def teardown(self) -> None:
        for each in reversed(self.patches):
            each.stop()
        transaction.set_rollback(True)
        self.block.__exit__(None, None, None)

    @initialize(sold=st.sets(slots))
    def a_hospital(self, sold: set[int]) -> None:
        self.clinic: Clinic = a_clinic(hold_min=10, no_show_limit=2, cancel_until_min=0)
        first, second = self.clinic.schedule(), self.clinic.schedule(TOMORROW + timedelta(days=1))
        self.slots = [
            self.clinic.slot(of=first, capacity=CAPACITIES[0]),
            self.clinic.slot(of=first, capacity=CAPACITIES[1], start=MORNING + timedelta(hours=1)),
            self.clinic.slot(of=second, capacity=CAPACITIES[2], start=MORNING + timedelta(days=1)),
        ]
        for where in sorted(sold):  # confirmed long ago
            self.books(where, where, confirmed=True)

    def appointments(self) -> list[Appointment]:
        with tenancy.scope(self.clinic.hospital.id):
            return list(Appointment.objects.order_by("created_at", "id"))

    def balance(self) -> dict[UUID, tuple[int, int, int]]:
        with tenancy.scope(self.clinic.hospital.id):
            held = Counter(SlotHold.objects.filter(state=HELD).values_list("slot_id", flat=True))
            sold = Counter(Appointment.objects.filter(state__in=KEEPS_ITS_PLACE).values_list("slot_id", flat=True))
        return {row.id: (row.free, held[row.id], sold[row.id]) for row in Slot.objects.all()}

    # --- what residents do ------------------------------------------------------------------------------------
    @rule(who=people, where=slots, confirmed=st.booleans())
    def books(self, who: int, where: int, confirmed: bool) -> None:
        slot = self.slots[where]
        free, _held, _sold = self.balance()[slot.id]
        hers = waiting.holds(hospital_id=slot.hospital_id, slot_id=slot.id, subject=PEOPLE[who], now=self.now)
        self.count += 1
        try:
            made = self.clinic.book(slot, PEOPLE[who], number=who, key=f"k{self.count}", now=self.now)
        except SlotTaken:
            assert not free and not hers
        except SlotClosed:
            slot.refresh_from_db()
            assert slot.stopped or slot.end <= self.now
        except (AlreadyBooked, BookingBarred):
            assert any(row.subject == PEOPLE[who] for row in self.appointments())
        else:
            assert free or hers
            if confirmed:
                self.clinic.tells(EventType.APPOINTMENT_BOOKED, made.appointment_id)

    @rule(who=people, where=slots)
    def holds(self, who: int, where: int) -> None:
        with suppress(Conflict):
            assert booking.hold(slot_id=self.slots[where].id, subject=PEOPLE[who], now=self.now) > self.now

    @rule(which=st.integers(0, 20))
    def cancels(self, which: int) -> None:
        if rows := self.appointments():
            with suppress(Conflict):
                booking.cancel(appointment_id=rows[which % len(rows)].id, reason="", now=self.now)

    @rule(who=people, days=st.integers(1, 2))
    def waits(self, who: int, days: int) -> None:
        last = TOMORROW + timedelta(days=days - 1)
        if self.now.date() <= last:
            with suppress(AlreadyBooked):
                waiting.join(
                    department_id=self.clinic.department.id,
                    subject=PEOPLE[who],
                    first_day=TOMORROW,
                    last_day=last,
                    now=self.now,
                )

    @rule(who=people)
    def leaves(self, who: int) -> None:
        with tenancy.scope(self.clinic.hospital.id):
            entry = WaitingEntry.objects.filter(subject=PEOPLE[who]).order_by("-created_at").first()
        if entry is not None:
            with suppress(NotFound):
                waiting.leave(hospital_id=self.clinic.hospital.id, entry_id=entry.id, subject=PEOPLE[who], now=self.now)

    # --- the hospital's system -----------------------------------------------------------------------------------
    def execute(self, command: Command) -> Acknowledgement:
        if self.mood == "down":
            raise ConnectorUnavailable
        if self.mood == "silent":
            raise OutcomeUnknown
        refused = self.mood == "refuses" or (self.mood == "refuses to cancel" and command.kind == CommandKind.CANCEL)
        return Acknowledgement(accepted=not refused, reason="医院不同意" if refused else "")

    @rule(
        mood=st.sampled_from(["well", "well", "down", "silent", "refuses", "refuses to cancel"]),
        later=st.integers(0, 2),
    )
    def commands_are_sent(self, mood: str, later: int) -> None:
        self.mood = mood
        self.now += timedelta(minutes=5 * later)
        outbox.sweep()

    # --- what the hospital and the clock do ---------------------------------------------------------------------
    @rule(minutes=st.sampled_from([1, 11, 31, 600]))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule()
    def holds_run_out(self) -> None:
        booking.expire_holds(self.now)
        with tenancy.scope(self.clinic.hospital.id):
            assert not SlotHold.objects.filter(state=HELD, expires_at__lte=self.now).exists()

    @rule(
        which=st.integers(0, 20),
        kind=st.sampled_from(
            [
                EventType.APPOINTMENT_BOOKED,
                EventType.APPOINTMENT_REFUSED,
                EventType.APPOINTMENT_CANCELLED,
                EventType.APPOINTMENT_NO_SHOW,
                EventType.ENCOUNTER_FINISHED,
            ]
        ),
    )
    def the_hospital_tells(self, which: int, kind: EventType) -> None:
        if rows := self.appointments():
            self.clinic.tells(kind, rows[which % len(rows)].id)

    @rule(where=slots)
    def a_clinic_stops(self, where: int) -> None:
        with tenancy.scope(self.clinic.hospital.id):
            booking.stop(schedule_id=self.slots[where].schedule_id)

    @rule(where=slots, stale=st.one_of(st.none(), st.integers(0, 3)))
    def the_hospital_uploads(self, where: int, stale: int | None) -> None:
        """``stale``: a number from whenever; None: what it knows now, which is all that it has confirmed."""
        slot = self.slots[where]
        with tenancy.scope(slot.hospital_id):
            mine = Appointment.objects.filter(slot=slot).exclude(state=Appointment.State.PENDING)
            known = mine.filter(state__in=KEEPS_ITS_PLACE).count()
            free = slot.capacity - known if stale is None else min(stale, slot.capacity)
            row = {"schedule": slot.schedule.identifier, "start": slot.start, "end": slot.end}
            row |= {"capacity": slot.capacity, "free": free}
            (outcome,) = upsert.write(
                hospital_id=slot.hospital_id,
                kind="slots",
                rows=[(slot.identifier, parse(SlotRow, row))],
                now=self.now,
            )
        assert outcome.fault is None
        if stale is None:
            self.counted_otherwise.discard(slot.id)
        else:
            self.counted_otherwise.add(slot.id)

    @rule()
    def the_worker_runs(self) -> None:
        self.clinic.settle()
        with tenancy.scope(self.clinic.hospital.id):
            assert not Appointment.objects.filter(slot__stopped=True, state__in=booking.TAKEN).exists()

    @rule(where=slots)
    def a_clinic_takes_place_after_all(self, where: int) -> None:
        self.clinic.settle()
        schedule_id = self.slots[where].schedule_id
        change(Schedule, schedule_id, stopped_at=None)
        places.settle(Slot.objects.filter(schedule_id=schedule_id))

    # --- what is always true ------------------------------------------------------------------------------------
    @invariant()
    def every_place_is_free_held_or_sold(self) -> None:
        for slot in Slot.objects.all():
            free, held, sold = self.balance()[slot.id]
            assert free >= 0 and free + held + sold <= slot.capacity
            assert free + held + sold == slot.capacity or slot.id in self.counted_otherwise

    @invariant()
    def a_stopped_half_day_sells_nothing(self) -> None:
        assert not Slot.objects.filter(schedule__stopped_at__isnull=False, stopped=False).exists()

    @invariant()
    def nobody_has_a_half_day_twice(self) -> None:
        with tenancy.scope(self.clinic.hospital.id):
            taken = Appointment.objects.filter(state__in=booking.TAKEN).values_list("subject", "slot__schedule_id")
            assert max(Counter(taken).values(), default=0) <= 1

    @invariant()
    def an_offer_always_has_its_place(self) -> None:
        with tenancy.service("offers not told"):
            offered = WaitingEntry.objects.filter(state=WaitingEntry.State.OFFERED).exclude(hold__state=HELD)
            assert not offered.exists()


@pytest.mark.django_db
def test_no_place_is_lost_and_none_sold_twice() -> None:
    run_state_machine_as_test(
        Booking,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
