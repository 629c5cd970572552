"""The blind index's key changes while everybody is still found; the old one ends when nobody needs it any more."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from companion import consents, signin
from companion.identity.base import Identity
from companion.models import ExternalIdentity, Invitation, Patient, Resident
from hospitals import indexing, tenancy, vault
from hospitals.audit import SERVICE
from hospitals.connectors.base import EventType, HospitalEvent
from hospitals.exceptions import AlreadyBooked, EventIdReused, UnknownAppointment
from hospitals.models import Appointment, AuditEvent, DataKey, InboxEvent
from hospitals.services import booking_rules, erasure, inbox, reindexing, retention, rotation
from tests.companion.people import Person, id_number
from tests.hospitals.clinics import NOW, Clinic, a_clinic, card
from tests.hospitals.lives import a_life, a_whole_visit

pytestmark = pytest.mark.django_db


@pytest.fixture
def clinic() -> Clinic:
    return a_clinic()


@pytest.fixture
def mother() -> Person:
    return Person("陈玉兰", "19610115", "002")


def older(by: timedelta) -> None:
    """As if the newest key had been made that much earlier, and every process had looked since."""
    kind, owner = indexing.OWNER
    row = DataKey.objects.filter(owner_kind=kind, owner_id=owner).latest("version")
    DataKey.objects.filter(id=row.id).update(created_at=row.created_at - by)
    vault.forget()


def begin() -> None:
    assert reindexing.rotate(actor=SERVICE).begun
    older(indexing.SWITCH)


def finish(**more: Any) -> reindexing.Reindexed:
    older(rotation.GRACE)
    done = reindexing.rotate(actor=SERVICE, **more)
    vault.forget()
    return done


def signs_in(open_id: str) -> Any:
    return signin.open_session(Identity("alipay", "app", open_id))[1].resident_id


def event(clinic: Clinic, appointment: Any, text: str = "e1", sequence: int = 1) -> HospitalEvent:
    about = str(appointment.appointment_id)
    return HospitalEvent(text, EventType.APPOINTMENT_BOOKED, clinic.hospital.id, about, sequence, NOW, None)


def indexes() -> dict[str, list[str]]:
    found = {
        "card": list(Patient.objects.exclude(id_number_index="").values_list("id_number_index", flat=True)),
        "identity": list(ExternalIdentity.objects.values_list("open_id_index", flat=True)),
        "invitation": list(Invitation.objects.values_list("code_index", flat=True)),
    }
    with tenancy.service("inbox sweep"):
        found["appointment"] = list(Appointment.objects.values_list("id_number_index", flat=True))
        found["event"] = list(InboxEvent.objects.values_list("digest", flat=True))
    return found


def test_everybody_is_found_before_while_and_after(clinic: Clinic, mother: Person) -> None:
    herself, slot = signs_in("open-1"), clinic.slot(capacity=5)
    booked = clinic.book(slot, number=7)
    with tenancy.scope(clinic.hospital.id):
        inbox.store(event(clinic, booked), its_own_id=True)
    code = consents.invite(resident_id=mother.resident_id, relation="child").code
    daughter = Person("周敏", "19880115", "006")

    def all_are_found() -> None:
        assert signs_in("open-1") == herself
        assert consents.invitation(resident_id=daughter.resident_id, code=code).name == "陈玉兰"
        with pytest.raises(AlreadyBooked):
            clinic.book(slot, number=7)
        with tenancy.scope(clinic.hospital.id):
            inbox.store(event(clinic, booked), its_own_id=True)
            with pytest.raises(EventIdReused):
                inbox.store(event(clinic, booked, sequence=2), its_own_id=True)

    all_are_found()
    assert reindexing.rotate(actor=SERVICE).begun  # some processes do not know of the new key: nobody writes with it
    vault.forget()
    all_are_found()
    for found in indexes().values():
        assert found and not any("." in index for index in found)
    older(indexing.SWITCH)
    all_are_found()
    half = reindexing.rotate(actor=SERVICE, batch=1)
    assert not half.ended and half.rows >= 5 and half.waiting == 1  # the invitation's code is known to nobody
    all_are_found()
    assert not finish().ended
    all_are_found()
    Invitation.objects.update(expires_at=timezone.now())
    done = finish()
    assert done.ended and (done.version, done.rows, done.waiting) == (2, 1, 0)
    for found in indexes().values():
        assert found and all(index.startswith("2.") and len(index) == 64 for index in found)
    assert signs_in("open-1") == herself
    with pytest.raises(AlreadyBooked):
        clinic.book(slot, number=7)
    kind, owner = indexing.OWNER
    assert bytes(DataKey.objects.get(owner_kind=kind, owner_id=owner, version=1).wrapped) == b""
    assert AuditEvent.objects.filter(action="keys.rotated", entity=kind).count() == 1


def test_it_goes_on_where_it_was_cut_off_and_tells_how_far_it_is(mother: Person) -> None:
    for order in ("004", "012", "014", "016"):
        Person("林小棠", "19900101", order)
    begin()

    def die(progress: rotation.Progress) -> None:
        if progress.rows >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reindexing.rotate(actor=SERVICE, batch=2, tell=die)
    moved = sum(index.startswith("2.") for found in indexes().values() for index in found)
    assert 0 < moved < 10
    told: list[rotation.Progress] = []
    done = finish(batch=2, tell=told.append)
    assert done.ended and done.rows == 10 - moved == sum(
        max(p.rows for p in told if p.table == table) for table in {p.table for p in told}
    )


def test_a_third_key_follows_the_second(mother: Person) -> None:
    for version in (2, 3):
        begin()
        assert finish().version == version
    assert signs_in("陈玉兰-19610115-002") == mother.resident_id
    held = [index for found in indexes().values() for index in found]
    assert held and all(index.startswith("3.") for index in held)


def test_one_card_an_account_holds_while_two_keys_do(mother: Person) -> None:
    begin()
    child = {"name": "小宝", "document": "id_card", "phone": "13900000001", "id_number": id_number("20200115", "002")}
    given = {"relation": "child", "guardian": True, **child}
    assert mother.call("post", "people/", given).status_code == 201
    older(-indexing.SWITCH)  # put down with the new key; as if the old one were still written with
    answer = mother.call("post", "people/", given)
    assert answer.status_code == 409 and answer.json()["code"] == "already_there"


def test_who_never_came_again_keeps_the_old_key_alive_until_she_does(mother: Person) -> None:
    ExternalIdentity.objects.update(open_id=None)  # of before open ids were kept
    begin()
    assert (done := finish()).waiting == 1 and not done.ended
    assert signs_in("陈玉兰-19610115-002") == mother.resident_id
    assert (done := finish()).ended and done.rows == 1


def test_an_erased_resident_s_card_is_found_by_nobody_and_hinders_nobody(mother: Person) -> None:
    vault.erase("resident", mother.resident_id)
    signin.forget(mother.resident_id)
    begin()
    done = finish()
    assert done.ended and done.waiting == 0
    (left,) = indexes()["card"]
    assert left not in indexing.blind_indexes("id_number", id_number())


class TestWhatIsKeptNoLonger:
    """Bodies and cards go after a while, and with whoever was erased; the key changes all the same."""

    def test_the_key_ends_though_cards_and_bodies_are_gone(self, clinic: Clinic) -> None:
        slot, she = clinic.slot(capacity=5), uuid4()
        of_old = event(clinic, clinic.book(slot, she, number=7))
        nobody_s = replace(of_old, event_id="e2", appointment_id=str(uuid4()))
        with tenancy.scope(clinic.hospital.id):
            inbox.store(of_old, its_own_id=True)
            with pytest.raises(UnknownAppointment):
                inbox.store(nobody_s, its_own_id=True)
        clinic.settle()
        clinic.told_the_hospital()
        retention.sweep(timezone.now() + timedelta(days=31))
        begin()
        assert (done := finish()).ended and done.waiting == 0
        with tenancy.scope(clinic.hospital.id):
            assert inbox.store(of_old, its_own_id=True).status == "accepted"
            with pytest.raises(UnknownAppointment):  # and not that its id was used for something else
                inbox.store(nobody_s, its_own_id=True)
        assert set(indexes()["event"]) == {""}
        (left,) = indexes()["appointment"]
        assert left.startswith("2.") and left not in indexing.blind_indexes("id_number", card(7).id_number)
        with pytest.raises(AlreadyBooked):
            clinic.book(slot, she, number=7)

    def test_the_key_ends_though_somebody_was_erased(self, clinic: Clinic) -> None:
        life = a_life("林晚照", "甲甲", born="19610115", phone="13900001111")
        a_whole_visit(life, clinic)
        erasure.erase_resident(life.person.resident_id, actor=SERVICE, reason="本人申请")
        vault.forget()
        other = clinic.book(clinic.slot(), number=7)
        begin()
        assert (done := finish()).ended and done.waiting == 0
        with tenancy.scope(clinic.hospital.id):
            kept = Appointment.objects.get(id=other.appointment_id).id_number_index
        assert kept == indexing.blind_index("id_number", card(7).id_number)


def test_with_national_cryptography_the_next_key_is_sm3_s(mother: Person, settings) -> None:
    settings.HOSPITALS_CIPHER = "SM4-GCM"
    begin()
    assert finish().ended
    kind, owner = indexing.OWNER
    alive = DataKey.objects.get(owner_kind=kind, owner_id=owner, destroyed_at=None)
    assert alive.cipher == "HMAC-SM3" and signs_in("陈玉兰-19610115-002") == mother.resident_id


@pytest.mark.parametrize("changing", [False, True])
def test_a_booking_asks_no_more_often_while_two_keys_hold(clinic: Clinic, changing: bool) -> None:
    slot = clinic.slot()
    indexing.blind_index("id_number", "1")
    if changing:
        begin()
    else:
        older(indexing.SWITCH)
    persons = indexing.blind_indexes("id_number", "1")
    assert len(persons) == (2 if changing else 1)
    with tenancy.service("a slot and who wants it"):
        booking_rules.look(slot.id, subject=uuid4(), person=persons)  # put together
        with CaptureQueriesContext(connection) as asked:
            booking_rules.look(slot.id, subject=uuid4(), person=indexing.blind_indexes("id_number", "1"))
    assert len(asked) == 2


def test_the_command_says_what_is_next(mother: Person, capsys) -> None:
    call_command("rotate_keys", index=True)
    assert "一分钟后" in capsys.readouterr().out
    older(indexing.SWITCH)
    call_command("rotate_keys", index=True)
    told = capsys.readouterr().out
    assert "companion_patient 1" in told and "十分钟后" in told
    older(rotation.GRACE)
    call_command("rotate_keys", index=True)
    assert "旧密钥已销毁" in capsys.readouterr().out
    assert Resident.objects.get(id=mother.resident_id).name == "陈玉兰"
