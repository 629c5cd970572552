"""A resident who asked is gone from everywhere: no row of any model tells of her, no copy made before does, nobody else loses."""

import importlib
from copy import copy
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.utils import timezone

from companion import visits
from companion.models import Conversation, Incident, Patient, PaymentOrder, Reminder, Visit, VisitEvent, VisitPrompt
from companion.tasks import send_due_reminders
from hospitals import indexing, tenancy, vault
from hospitals.audit import SERVICE
from hospitals.connectors.base import EventType, Reason
from hospitals.exceptions import HospitalsError, KeyDestroyed
from hospitals.models import Appointment, DataKey, InboxEvent, OutboxCommand, SlotHold, WaitingEntry
from hospitals.services import copies, erasure, inbox, onboarding, rotation
from tests.hospitals.clinics import Clinic, a_clinic
from tests.hospitals.lives import (
    Life,
    a_booking,
    a_life,
    a_talk,
    a_whole_visit,
    family,
    full,
    happens,
    waiting_commands,
)
from tests.hospitals.paid import paid
from tests.hospitals.walking import clear, opened, rows, sealed, told

pytestmark = pytest.mark.django_db
# What stays: an id that leads nowhere by itself, or what the log and the books must keep (docs/security.md).
LOG = {"AuditEvent", "AuditChain", "DataKey"}


@pytest.fixture()
def clinics() -> tuple[Clinic, Clinic]:
    return a_clinic("lake"), a_clinic("hill")


@pytest.fixture()
def hers(clinics: tuple[Clinic, Clinic]) -> Life:
    return full(a_life("林晚照", "甲甲", born="19610115", phone="13900001111"), *clinics)


@pytest.fixture()
def other(clinics: tuple[Clinic, Clinic]) -> Life:
    return full(a_life("周望舒", "乙乙", born="19720220", phone="13900002222"), *clinics)


def erase(life: Life) -> int:
    count = erasure.erase_resident(life.person.resident_id, actor=SERVICE, reason="本人申请")
    vault.forget()
    return count


def indexes(life: Life) -> list[str]:
    return [indexing.blind_index("id_number", life.person.given["id_number"])]


def found(life: Life, text: list[str]) -> set[str]:
    """Which of her words stand there."""
    return {word for word in life.words if any(word in line for line in text)}


def test_after_an_erasure_no_row_of_any_model_tells_of_her(hers: Life, other: Life) -> None:
    number = indexes(hers)
    before = told()
    assert found(hers, before) == set(hers.words) and any(number[0] in line for line in before)
    kept_of_the_other = [line for line in before if found(other, [line])]
    assert erase(hers) == 1
    after = told()
    assert found(hers, after) == set() and not [line for line in after if number[0] in line]
    assert [line for line in after if found(other, [line])] == kept_of_the_other


def test_her_ids_lead_from_no_hospital_s_row_to_her(hers: Life, other: Life) -> None:
    ids = {str(hers.person.resident_id), str(hers.person.patient.id)}

    def leading() -> set[str]:
        kept = [row for row in rows() if row._meta.app_label == "hospitals" and type(row).__name__ not in LOG]
        return {row._meta.db_table for row in kept if any(one in value for value in clear(row).values() for one in ids)}

    assert {"hospitals_appointment", "hospitals_waitingentry"} <= leading()
    erase(hers)
    assert leading() == set()


def test_a_copy_made_before_does_not_open_with_the_keys_of_today(hers: Life, other: Life) -> None:
    copy = [row for row in rows() if sealed(row)]
    before = [line for row in copy for line in opened(row).values()]
    assert found(hers, before) == set(hers.words) and found(other, before) == set(other.words)
    erase(hers)
    after = [line for row in copy for line in opened(row).values()]
    assert found(hers, after) == set() and found(other, after) == set(other.words)


def test_a_hospital_that_is_erased_takes_the_copies_of_everybody_along(
    hers: Life, other: Life, clinics: tuple[Clinic, Clinic]
) -> None:
    lake, hill = (clinic.hospital.id for clinic in clinics)
    copy = [row for row in rows() if sealed(row)]
    onboarding.leave(hospital_id=lake, actor=SERVICE, reason="退出")
    erasure.erase_hospital(lake, actor=SERVICE, reason="退出")
    vault.forget()
    for row in copy:
        if getattr(row, "hospital_id", None) == lake and not isinstance(row, Visit | Incident):
            assert not opened(row), row._meta.db_table
    with tenancy.scope(hill):
        assert {row.card["name"] for row in Appointment.objects.all()} == {"林晚照", "周望舒"}
    assert visits.journey_of(Visit.objects.get(id=hers.visits[0])).payments


def test_once_more_changes_nothing(hers: Life, other: Life) -> None:
    erase(hers)
    after = sorted(line for line in told() if "audit" not in line)
    assert erase(hers) == 0
    assert sorted(line for line in told() if "audit" not in line) == after


@pytest.mark.parametrize("dies_at", [("booking", "cancel"), ("copies", "of"), ("vault", "erase"), ("audit", "record")])
def test_killed_anywhere_nothing_is_half_done_and_it_goes_on(
    hers: Life, other: Life, monkeypatch: pytest.MonkeyPatch, dies_at: tuple[str, str]
) -> None:
    module, name = dies_at
    real, calls = getattr(getattr(erasure, module), name), []

    def dies(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        if len(calls) > (1 if name in ("cancel", "of") else 0):  # the first place is given back, the second is not
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(f"hospitals.services.erasure.{module}.{name}", dies)
        erase(hers)
    vault.forget()
    assert found(hers, told()) == set(hers.words)  # nothing of hers is lost before all of it goes
    assert erase(hers) == 1
    assert found(hers, told()) == set()


class TestWhatIsUnderWay:
    def test_her_places_are_given_back(self, hers: Life, clinics: tuple[Clinic, Clinic]) -> None:
        lake, hill = clinics
        erase(hers)
        assert set(waiting_commands(lake)) == {"cancel", "pay"}  # it has heard of the booking: it is asked
        assert set(waiting_commands(hill)) == {"pay"}  # it has not: the booking was withdrawn
        lake.answers("cancel", accepted=True)
        assert [clinic.states().count("cancelled") for clinic in clinics] == [1, 1]
        assert not Visit.objects.filter(id=hers.visits[2], state="booked").exists()

    def test_nobody_waits_any_more_and_the_held_place_is_on_sale(
        self, hers: Life, clinics: tuple[Clinic, Clinic]
    ) -> None:
        with tenancy.scope(clinics[0].hospital.id):
            slot = SlotHold.objects.select_related("slot").get().slot
        assert slot.free == 0
        erase(hers)
        slot.refresh_from_db()
        assert slot.free == 1
        with tenancy.scope(clinics[0].hospital.id):
            assert not SlotHold.objects.exists() and not WaitingEntry.objects.exists()

    def test_what_she_paid_still_reaches_the_hospital_and_then_is_forgotten(
        self, hers: Life, clinics: tuple[Clinic, Clinic]
    ) -> None:
        lake, hill = clinics
        erase(hers)
        assert waiting_commands(lake)["pay"].data == paid("i1").as_data()
        lake.answers("pay", accepted=True)
        hill.answers("pay", accepted=False)  # the money goes back, and nobody is told
        states = dict(PaymentOrder.objects.values_list("visit__hospital_id", "state"))
        assert states == {lake.hospital.id: "paid", hill.hospital.id: "refund_due"}
        erasure.finish()
        with tenancy.scope(lake.hospital.id):
            assert OutboxCommand.objects.get(kind="pay").data is None

    def test_what_the_hospital_still_tells_is_taken_and_not_kept(
        self, hers: Life, clinics: tuple[Clinic, Clinic]
    ) -> None:
        erase(hers)
        happens(clinics[0], hers.visits[0], EventType.APPOINTMENT_CANCELLED, Reason("甲甲缘由"))
        with tenancy.scope(clinics[0].hospital.id):
            assert not InboxEvent.objects.filter(appointment_key=str(hers.visits[0])).exists()
        assert found(hers, told()) == set()

    def test_nothing_is_brought_up_to_her(self, hers: Life) -> None:
        assert Reminder.objects.exists()
        erase(hers)
        assert not Reminder.objects.exists() and not VisitPrompt.objects.exists()
        assert send_due_reminders() == 0

    def test_what_somebody_wrote_at_that_moment_goes_with_the_next_look(
        self, hers: Life, clinics: tuple[Clinic, Clinic]
    ) -> None:
        """Another process had begun before the erasure was committed, and remembered her key."""
        lake, visit = clinics[0], Visit.objects.get(id=hers.visits[0])
        with tenancy.scope(lake.hospital.id):
            late = Appointment.objects.get(id=visit.id)
            event = InboxEvent.objects.filter(appointment_key=str(visit.id)).first()
        erase(hers)
        with tenancy.scope(lake.hospital.id):
            late.save()
            assert event is not None
            event.body = None  # sealed with the key that is gone, it would not open either
            event.save(force_insert=True)
        late_event = VisitEvent(
            visit=visit, resident_id=visit.resident_id, key="late", type="own.cancelled", sequence=9
        )
        late_event.occurred_at = late_event.received_at = timezone.now()
        late_event.save()
        number = indexes(hers)[0]
        assert [line for line in told() if number in line]
        assert erasure.finish() == 1
        assert not [line for line in told() if number in line] and not VisitEvent.objects.exists()
        with tenancy.scope(lake.hospital.id):
            assert not InboxEvent.objects.exists()
        assert erasure.finish(timezone.now() + erasure.SETTLED_AFTER + timedelta(minutes=1)) == 0


class TestFamily:
    def test_what_somebody_did_for_her_goes_with_her_and_what_she_did_for_others_stays(
        self, clinics: tuple[Clinic, Clinic]
    ) -> None:
        mother = a_life("林晚照", "甲甲", born="19610115", phone="13900001111")
        daughter = a_life("周望舒", "乙乙", born="19880220", phone="13900002222")
        family(mother, acts=daughter)
        for_her = a_whole_visit(mother, clinics[0], by=daughter.person)
        talk = a_talk(daughter, about=mother.person)
        copy = [row for row in rows() if sealed(row)]
        erase(mother)
        assert found(mother, told() + [line for row in copy for line in opened(row).values()]) == set()
        assert Visit.objects.get(id=for_her).resident_id == mother.person.resident_id  # nobody's list has it any more
        talk.refresh_from_db()
        assert talk.patient is None and talk.memory == {"said": "乙乙说的话"}
        erase(daughter)
        assert found(daughter, told()) == set()

    def test_where_her_queue_was_is_under_her_key_whoever_booked_for_her(self, clinics: tuple[Clinic, Clinic]) -> None:
        mother = a_life("林晚照", "甲甲", born="19610115", phone="13900001111")
        daughter = a_life("周望舒", "乙乙", born="19880220", phone="13900002222")
        family(mother, acts=daughter)
        visit_id = a_whole_visit(mother, clinics[0], by=daughter.person)
        later = timezone.now() + rotation.GRACE + timedelta(seconds=1)
        for now in (None, later):  # her own change of keys finds it
            rotation.rotate("resident", mother.person.resident_id, actor=SERVICE, now=now)
        copy = Visit.objects.get(id=visit_id)
        assert copy.__dict__["snapshot"].key_version == 2 and "一诊室" in opened(copy)["snapshot"]
        erase(mother)
        assert not opened(copy) and not opened(Visit.objects.get(id=visit_id))

    def test_visits_that_she_booked_for_others_become_theirs(self, clinics: tuple[Clinic, Clinic]) -> None:
        mother = a_life("林晚照", "甲甲", born="19610115", phone="13900001111")
        daughter = a_life("周望舒", "乙乙", born="19880220", phone="13900002222")
        family(mother, acts=daughter)
        over = a_whole_visit(mother, clinics[0], by=daughter.person)
        Visit.objects.filter(id=over).update(state="closed")
        ahead = a_booking(mother, clinics[1], by=daughter.person)
        words = found(mother, told())
        erase(daughter)
        assert found(mother, told()) == words and found(daughter, told()) == set()
        assert set(Visit.objects.values_list("resident_id", flat=True)) == {mother.person.resident_id}
        assert visits.visit_for(mother.person.resident_id, ahead).state == "booked"
        assert visits.journey_of(Visit.objects.get(id=over)).reports


class TestRotation:
    def test_copies_go_along_with_the_key_of_either(
        self, hers: Life, other: Life, clinics: tuple[Clinic, Clinic]
    ) -> None:
        before = found(hers, told()) | found(other, told())
        later = timezone.now() + rotation.GRACE + timedelta(minutes=1)
        for kind, owner in (("resident", hers.person.resident_id), ("hospital", clinics[0].hospital.id)):
            done = rotation.rotate(kind, owner, actor=SERVICE, now=later, batch=3)
            assert done.version == 2 and done.rows > 10 and done.retired == 1
            vault.forget()
            assert found(hers, told()) | found(other, told()) == before
        with tenancy.scope(clinics[0].hospital.id):
            stored = {row.__dict__["card"].versions for row in Appointment.objects.all()}
        assert stored == {(2, 2), (2, 1)}

    def test_what_was_under_the_hospital_s_key_alone_stays_readable_and_is_under_both_with_the_next_change(
        self, hers: Life, clinics: tuple[Clinic, Clinic]
    ) -> None:
        lake = clinics[0].hospital.id
        with tenancy.scope(lake):
            row = Appointment.objects.get(id=hers.visits[0])
            card, keeper = row.card, row.keeper_id
            row.keeper_id = None
            row.save()  # as it was kept before
            Appointment.objects.filter(id=row.id).update(keeper_id=keeper)  # as the migration tells whose it is
            of_old = Appointment.objects.get(id=row.id)
            assert of_old.__dict__["card"].versions == (1,) and of_old.card == card
            copy = Appointment.objects.get(id=row.id)
        later = timezone.now() + rotation.GRACE + timedelta(minutes=1)
        rotation.rotate("hospital", lake, actor=SERVICE, now=later)
        with tenancy.scope(lake):
            anew = Appointment.objects.get(id=row.id)
            assert anew.__dict__["card"].versions == (2, 1) and anew.card == card
        vault.forget()
        with pytest.raises(KeyDestroyed):
            _ = copy.card  # a backup of old, once the hospital's key was changed

    def test_a_hospital_s_key_changes_though_somebody_was_erased(
        self, hers: Life, other: Life, clinics: tuple[Clinic, Clinic]
    ) -> None:
        lake = clinics[0].hospital.id
        vault.erase("resident", hers.person.resident_id)  # and the process died: her rows still stand
        later = timezone.now() + rotation.GRACE + timedelta(minutes=1)
        assert rotation.rotate("hospital", lake, actor=SERVICE, now=later).retired == 1
        assert found(other, told()) == set(other.words)


class TestPairs:
    def test_a_value_of_two_owners_opens_only_in_its_own_place(
        self, hers: Life, other: Life, clinics: tuple[Clinic, Clinic]
    ) -> None:
        with tenancy.scope(clinics[0].hospital.id):
            mine = Appointment.objects.get(id=hers.visits[0])
            theirs = Appointment.objects.get(id=other.visits[0])
        field, stored = Appointment._meta.get_field("card"), mine.__dict__["card"]
        assert stored.versions == (1, 1) and field.open(mine, stored)["name"] == "林晚照"
        for name, value in (
            ("keeper_id", theirs.keeper_id),
            ("keeper_id", None),
            ("id", theirs.id),
            ("hospital_id", clinics[1].hospital.id),
        ):
            kept = getattr(mine, name)
            setattr(mine, name, value)
            with pytest.raises(HospitalsError):
                field.open(mine, stored)
            setattr(mine, name, kept)
        for changed in (b"", b"\x02", stored[:8], b"\x01" + stored[1:], stored[:9] + b"x" + stored[10:]):
            with pytest.raises(HospitalsError):
                field.open(mine, vault.Ciphertext(changed))

    @pytest.mark.parametrize("cipher", ["AES-256-GCM", "SM4-GCM"])
    def test_both_ciphers_have_pairs(self, settings: Any, cipher: str) -> None:
        settings.HOSPITALS_CIPHER = cipher
        owners = {"owner": ("hospital", "h"), "also": ("resident", "r"), "bound_to": b"here"}
        stored = vault.seal(b"words", **owners)
        assert vault.unseal(stored, **owners) == b"words"
        vault.erase("resident", "r")
        with pytest.raises(KeyDestroyed):
            vault.unseal(stored, **owners)
        assert DataKey.objects.filter(owner_kind="hospital", destroyed_at=None).count() == 1


class TestRowsOfOld:
    """As they were before copies had two owners: what the migration makes of them."""

    MIGRATION = importlib.import_module("companion.migrations.0009_whose_copies")

    def test_it_is_told_whose_they_are_and_what_was_handled_is_not_kept(
        self, hers: Life, clinics: tuple[Clinic, Clinic]
    ) -> None:
        for clinic in clinics:
            with tenancy.scope(clinic.hospital.id):
                for model in (Appointment, OutboxCommand, InboxEvent):
                    for row in model.objects.all():
                        for field, value in sealed(row):
                            setattr(row, field.name, field.open(row, value))
                        row.keeper_id = None
                        row.save()
                InboxEvent.objects.filter(sequence=1).update(state="dead")
        self.MIGRATION.tell_whose(apps, None)
        vault.forget()
        for clinic in clinics:
            with tenancy.scope(clinic.hospital.id):
                for model in (Appointment, OutboxCommand):
                    assert {row.keeper_id for row in model.objects.all()} == {hers.person.resident_id}
                assert {row.card["name"] for row in Appointment.objects.all()} == {"林晚照"}
                assert [row.sequence for row in InboxEvent.objects.filter(body__isnull=False)] == [1]

    def test_events_of_a_visit_that_somebody_booked_for_her_are_under_her_key(self, hers: Life, other: Life) -> None:
        row = VisitEvent.objects.filter(visit_id=hers.visits[0], data__isnull=False).latest("received_at")
        said = row.data
        row.resident_id = other.person.resident_id
        row.data = said
        row.save()
        self.MIGRATION.seal_under_the_patient_s_key(apps, None)
        vault.erase("resident", other.person.resident_id)
        vault.forget()
        anew = VisitEvent.objects.get(id=row.id)
        assert anew.resident_id == hers.person.resident_id and anew.data == said


def test_a_queue_s_place_of_old_is_sealed_under_the_patient_s_key_not_the_booker_s(
    clinics: tuple[Clinic, Clinic],
) -> None:
    migration = importlib.import_module("companion.migrations.0013_visits_under_the_patient_s_key")
    mother = a_life("林晚照", "甲甲", born="19610115", phone="13900001111")
    daughter = a_life("周望舒", "乙乙", born="19880220", phone="13900002222")
    family(mother, acts=daughter)
    of_old = Visit.objects.get(id=a_whole_visit(mother, clinics[0], by=daughter.person))
    unreadable = Visit.objects.get(id=a_booking(mother, clinics[1], by=daughter.person))
    as_it_was = copy(Visit._meta.get_field("snapshot"))
    as_it_was.owner = ("resident", "resident_id")
    Visit.objects.filter(id=of_old.id).update(snapshot=as_it_was.seal(of_old, of_old.snapshot))
    Visit.objects.filter(id=unreadable.id).update(snapshot=vault.Ciphertext(bytes(40)))
    migration.seal_under_the_patient_s_key(apps, None)
    vault.erase("resident", daughter.person.resident_id)
    vault.forget()
    assert Visit.objects.get(id=of_old.id).snapshot == of_old.snapshot != {}
    assert Visit.objects.get(id=unreadable.id).snapshot == {}


def test_every_column_of_two_owners_is_found_when_one_of_them_changes_keys() -> None:
    models = {m for m in apps.get_models() if any(getattr(f, "also", None) for f in m._meta.concrete_fields)}
    with tenancy.scope("00000000-0000-0000-0000-000000000001"):
        assert models == {rows.model for rows in copies.rows([])}


def test_a_talk_about_an_erased_person_s_incident_is_nobody_s(hers: Life) -> None:
    erase(hers)
    incident = Incident.objects.get(kind="complaint")
    assert incident.conversation is None
    with pytest.raises(KeyDestroyed):
        _ = incident.note
    assert not Conversation.objects.exclude(patient=None).exists()
    assert set(Patient.objects.values_list("id_number_index", "sex")) == {("", "")}
    assert inbox.sweep() == 0
