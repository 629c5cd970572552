"""A resident books for herself or for family whose consent holds, with a real-name card; the freed place is told to her."""

from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from companion import dialogue
from companion.desks.visit import VisitDesk
from companion.events import Ask, Say
from companion.exceptions import CompanionError, NotAllowed, NotFound
from companion.models import FamilyLink, Patient, Reminder, Resident, Visit, VisitPrompt
from hospitals.models import AuditEvent, Slot
from hospitals.services import booking, waiting
from tests.companion.hearing import heard
from tests.hospitals.clinics import Clinic, a_clinic
from tests.hospitals.own_rows import change

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture()
def clinic() -> Clinic:
    return a_clinic()


@pytest.fixture()
def slot(clinic: Clinic) -> Slot:
    start = timezone.localtime().replace(hour=9, minute=0, second=0, microsecond=0) + timedelta(days=3)
    return clinic.slot(start=start, capacity=3)


@pytest.fixture()
def daughter() -> Resident:
    made = Resident(name="陈玉兰", phone="10000000001")
    made.save()
    return made


def person(keeper: Resident, relation: str = "mother", id_number: str = "990101196101150028", **link: Any) -> Patient:
    patient = Patient.objects.create(
        keeper=keeper, name="陈桂英", id_number=id_number, phone="10000000002", birth_date="1961-01-15", sex="female"
    )
    FamilyLink.objects.create(
        resident=keeper, patient=patient, relation=relation, **{"consented_at": timezone.now(), **link}
    )
    return patient


def book(resident: Resident, patient: Patient, slot: Slot, key: str = "k") -> Any:
    desk = VisitDesk(resident.id, patient.id, resident.id)
    return async_to_sync(desk.book)(slot_id=str(slot.id), key=key)


def test_for_herself_and_for_family_with_consent(daughter: Resident, slot: Slot, clinic: Clinic) -> None:
    mother = person(daughter, expires_at=timezone.now() + timedelta(days=1))
    herself = person(daughter, "self", "990101198501150020")
    assert book(daughter, mother, slot, "k1").patient == "陈桂英"
    assert book(daughter, herself, slot, "k2").status == "booked"
    assert clinic.balance(slot) == (1, 0, 2)


@pytest.mark.parametrize("why", ["ran out", "withdrawn", "never given", "not hers"])
def test_without_consent_that_holds_nothing_is_booked(daughter: Resident, slot: Slot, clinic: Clinic, why: str) -> None:
    links = {
        "ran out": {"expires_at": timezone.now() - timedelta(seconds=1)},
        "withdrawn": {"withdrawn_at": timezone.now()},
        "never given": {"consented_at": None},
        "not hers": {},
    }
    mother = person(daughter, **links[why])
    asks = daughter
    if why == "not hers":
        asks = Resident(name="钱多多")
        asks.save()
    with pytest.raises(NotAllowed) as caught:
        book(asks, mother, slot)
    assert (caught.value.code, caught.value.status_code) == ("not_allowed", 403)
    assert clinic.balance(slot) == (3, 0, 0) and not Visit.objects.exists()


@pytest.mark.parametrize("empty", ["id_number", "phone", "birth_date"])
def test_without_a_real_name_card_nothing_is_booked(daughter: Resident, slot: Slot, clinic: Clinic, empty: str) -> None:
    herself = person(daughter, "self")
    setattr(herself, empty, "")
    herself.save()
    with pytest.raises(CompanionError) as caught:
        book(daughter, herself, slot)
    assert caught.value.code == "card_incomplete"
    assert clinic.balance(slot) == (3, 0, 0)


def test_two_daughters_do_not_book_their_mother_twice(daughter: Resident, slot: Slot, clinic: Clinic) -> None:
    sister = Resident(name="陈玉梅")
    sister.save()
    book(daughter, person(daughter), slot)
    with pytest.raises(CompanionError) as caught:
        book(sister, person(sister), slot)
    assert (caught.value.code, caught.value.status_code) == ("already_booked", 409)
    assert clinic.balance(slot) == (2, 0, 1)


def test_the_hospital_s_refusals_keep_their_code_and_status(daughter: Resident, slot: Slot) -> None:
    herself = person(daughter, "self")
    change(Slot, slot.id, free=0)
    with pytest.raises(CompanionError) as caught:
        book(daughter, herself, slot)
    assert (caught.value.code, caught.value.status_code) == ("slot_taken", 409)
    with pytest.raises(NotFound):
        async_to_sync(VisitDesk(daughter.id, herself.id, daughter.id).book)(slot_id="no id", key="k")


def test_a_new_visit_stands_as_its_events_make_it(daughter: Resident, slot: Slot) -> None:
    herself = person(daughter, "self")
    made = book(daughter, herself, slot)
    visit = Visit.objects.get(id=made.visit_id)
    assert visit.state == "booked"
    assert [(row.type, row.sequence) for row in visit.events.order_by("sequence")] == [
        ("own.triaged", 0),
        ("own.booked", 1),
    ]
    assert list(VisitPrompt.objects.values_list("name", "obsolete")) == [("booked", False)]
    assert {row.kind for row in Reminder.objects.all()} == {"day_before", "leave_home"}
    assert book(daughter, herself, slot) == made  # asked again with the same key
    assert Visit.objects.count() == 1


def test_a_place_from_the_waiting_list_is_told_once_and_hers_to_book(
    daughter: Resident, slot: Slot, clinic: Clinic
) -> None:
    herself, other = person(daughter, "self"), person(daughter, id_number="990101199001150029")
    change(Slot, slot.id, capacity=1, free=1)
    first = book(daughter, other, slot)
    day = timezone.localtime(slot.start).date()
    waiting.join(department_id=clinic.department.id, subject=herself.id, first_day=day, last_day=day)
    booking.cancel(appointment_id=first.visit_id, reason="")

    session = dialogue.open_session(daughter.id, None)
    said = [event for event in heard(session) if isinstance(event, (Say, Ask))]
    assert any(isinstance(event, Say) and "候补到号了" in event.text for event in said)
    (ask,) = [event for event in said if isinstance(event, Ask) and event.slot == "offer"]
    assert ask.options[0].action == {"kind": "book", "slot_id": str(slot.id)}
    assert not any("候补" in event.text for event in heard(session) if isinstance(event, Say))
    assert not AuditEvent.objects.filter(action="waiting.read").exists()  # she looks at her own

    desk = VisitDesk(daughter.id, herself.id, daughter.id)
    offered = async_to_sync(desk.offer)(str(slot.id))  # full for everybody else
    assert offered is not None
    assert async_to_sync(VisitDesk(daughter.id, other.id, daughter.id).offer)(str(slot.id)) is None
    assert book(daughter, herself, slot, "k9").status == "booked"


def test_everybody_who_may_act_for_her_hears_of_the_offer(
    daughter: Resident, slot: Slot, clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []
    monkeypatch.setattr("companion.visits.notify", lambda resident_id, entry_id: heard.append(resident_id))
    mother = person(daughter)
    gone = Resident(name="陈玉梅")
    gone.save()
    FamilyLink.objects.create(
        resident=gone, patient=mother, relation="mother", consented_at=timezone.now(), withdrawn_at=timezone.now()
    )
    change(Slot, slot.id, capacity=1, free=1)
    made = clinic.book(slot, number=7, now=timezone.now())
    day = timezone.localtime(slot.start).date()
    waiting.join(department_id=clinic.department.id, subject=mother.id, first_day=day, last_day=day)
    booking.cancel(appointment_id=made.appointment_id, reason="")
    assert waiting.sweep() == 1
    assert heard == [daughter.id]
