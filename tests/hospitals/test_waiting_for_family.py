"""Where everything is gone a resident stands in line for whom she may act, hears her place, and leaves; a place is kept
while a real-name card is filled in."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.utils import timezone

from companion import looks, people
from companion.desks.visit import VisitDesk
from companion.exceptions import CompanionError, NotAllowed, NotFound
from companion.models import FamilyLink
from companion.ports import as_card
from hospitals import tenancy
from hospitals.models import AuditEvent, Slot
from hospitals.services import waiting
from tests.companion.people import Person
from tests.hospitals.clinics import Clinic, a_clinic
from tests.hospitals.own_rows import change

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture()
def clinic() -> Clinic:
    return a_clinic()


@pytest.fixture()
def slot(clinic: Clinic) -> Slot:
    start = timezone.localtime().replace(hour=9, minute=0, second=0, microsecond=0) + timedelta(days=3)
    made = clinic.slot(start=start, capacity=1)
    change(Slot, made.id, free=0)
    return made


def desk(who: Person) -> VisitDesk:
    return VisitDesk(who.resident_id, who.patient.id, who.resident_id)


def lines(at: VisitDesk, slot: Slot, **more: Any) -> Any:
    window: dict[str, datetime] = {"start": slot.start - timedelta(days=1), "end": slot.start + timedelta(days=1)}
    return async_to_sync(at.lines)(departments=("眼科",), **window, **more)


def test_a_line_is_there_only_where_every_place_is_gone(slot: Slot, clinic: Clinic) -> None:
    at = desk(Person("陈玉兰"))
    (line,) = lines(at, slot)
    assert (line.hospital, line.department, line.practitioner) == ("lake医院", "眼科", "")
    (named,) = lines(at, slot, practitioner="钱")
    assert named.practitioner == "钱医生"
    assert lines(at, slot, practitioner="孙") == ()
    change(Slot, slot.id, free=1)
    assert lines(at, slot) == ()


def test_she_hears_her_place_moves_up_and_leaves(slot: Slot) -> None:
    first, second = desk(Person("陈玉兰", "19610115", "002")), desk(Person("周敏", "19880115", "006"))
    (line,) = lines(first, slot)
    assert async_to_sync(first.wait)(as_card(line)).place == 1
    mine = async_to_sync(second.wait)(as_card(line))
    assert mine.place == 2
    with pytest.raises(CompanionError) as caught:
        async_to_sync(second.wait)(as_card(line))
    assert caught.value.code == "already_waiting"
    with pytest.raises(NotFound):  # nobody leaves for somebody else
        async_to_sync(first.leave_line)(mine.entry_id)
    (hers,) = async_to_sync(first.waiting)()
    async_to_sync(first.leave_line)(hers.entry_id)
    assert [one.place for one in async_to_sync(second.waiting)()] == [1]
    rows = AuditEvent.objects.filter(action__startswith="waiting.").order_by("number")
    assert [(row.action, row.actor) for row in rows] == [
        ("waiting.join", str(first.resident_id)),
        ("waiting.join", str(second.resident_id)),
        ("waiting.leave", str(first.resident_id)),
    ]


def test_a_place_that_is_kept_for_her_shows_in_the_line(slot: Slot, clinic: Clinic) -> None:
    at = desk(Person("陈玉兰"))
    (line,) = lines(at, slot)
    async_to_sync(at.wait)(as_card(line))
    with tenancy.scope(clinic.hospital.id), transaction.atomic():
        waiting.give_back(slot)
    assert [one.offered for one in async_to_sync(at.waiting)()] == [True]


@pytest.mark.parametrize("line", [{}, {"first_day": "2026-01-01", "last_day": "x"}, {"department_id": "x"}])
def test_a_line_that_is_none(line: dict[str, str]) -> None:
    with pytest.raises(NotFound):
        async_to_sync(desk(Person("陈玉兰")).wait)(line)


def test_nobody_waits_for_somebody_who_has_not_agreed(slot: Slot) -> None:
    mother, daughter = Person("陈玉兰", "19610115", "002"), Person("周敏", "19880115", "006")
    (line,) = lines(desk(mother), slot)
    hers = VisitDesk(daughter.resident_id, mother.patient.id, daughter.resident_id)
    link = FamilyLink.objects.create(resident=daughter.resident, patient=mother.patient, relation="mother")
    for ask in (
        lambda: async_to_sync(hers.wait)(as_card(line)),
        lambda: async_to_sync(hers.waiting)(),
        lambda: async_to_sync(hers.hold)(str(slot.id)),
    ):
        with pytest.raises(NotAllowed):
            ask()
    link.consented_at = timezone.now()
    link.save()
    assert async_to_sync(hers.wait)(as_card(line)).place == 1


def test_family_s_look_at_her_line_is_on_record_once_a_day_and_her_own_is_not(slot: Slot) -> None:
    mother, daughter = Person("陈玉兰", "19610115", "002"), Person("周敏", "19880115", "006")
    (line,) = lines(desk(mother), slot)
    mine = async_to_sync(desk(mother).wait)(as_card(line))
    FamilyLink.objects.create(
        resident=daughter.resident, patient=mother.patient, relation="mother", consented_at=timezone.now()
    )
    hers = VisitDesk(daughter.resident_id, mother.patient.id, daughter.resident_id)
    for at in (desk(mother), hers, hers):
        assert len(async_to_sync(at.waiting)()) == 1
    (seen,) = AuditEvent.objects.filter(action="waiting.read")
    assert (seen.actor, seen.subject, seen.entity_id) == (str(daughter.resident_id), mother.patient.id, mine.entry_id)
    assert [looks.what(look) for look in looks.about_her(mother.resident_id)][0] == "看了候补(lake医院)"


def test_a_place_is_kept_while_she_fills_in_her_card_and_is_then_hers(slot: Slot, clinic: Clinic) -> None:
    change(Slot, slot.id, free=1)
    newcomer = Person("陈玉兰", filled=False)
    at = desk(newcomer)
    with pytest.raises(CompanionError) as caught:
        async_to_sync(at.book)(slot_id=str(slot.id), key="k1")
    assert caught.value.code == "card_incomplete"
    until = async_to_sync(at.hold)(str(slot.id))
    assert until and until > timezone.now() and clinic.balance(slot) == (0, 1, 0)
    assert async_to_sync(at.hold)(str(slot.id)) == until
    other = clinic.slot(start=slot.start + timedelta(hours=1))
    assert async_to_sync(at.hold)(str(other.id)) is None  # one at a time
    people.create(resident_id=newcomer.resident_id, relation="self", **newcomer.given)
    assert async_to_sync(at.offer)(str(slot.id)) is not None
    assert async_to_sync(at.book)(slot_id=str(slot.id), key="k2").patient == "陈玉兰"
    assert clinic.balance(slot) == (0, 0, 1)
    booked = AuditEvent.objects.get(action="appointment.book")
    assert (booked.actor_kind, booked.actor) == ("resident", str(newcomer.resident_id))
