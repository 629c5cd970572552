"""One damaged value holds nobody up when keys change: it is named, its owner keeps the old key, and all others go on."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from companion.models import Patient, Resident
from hospitals import indexing, vault
from hospitals.audit import SERVICE
from hospitals.exceptions import CiphertextInvalid, KeyDestroyed, KeyServiceUnavailable
from hospitals.keys import key_service
from hospitals.models import Appointment, AuditEvent, DataKey
from hospitals.services import reindexing, rotation
from hospitals.services.rotation import Damaged, Rotated
from hospitals.tenancy import scope
from tests.companion.people import Person
from tests.hospitals.clinics import a_clinic
from tests.hospitals.lives import a_booking, a_life
from tests.hospitals.sealed_rows import put, raw

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("only_real_tables")]


def column(row: Any, name: str) -> Any:
    return type(row)._meta.get_field(name)


def flip(row: Any, name: str) -> bytes:
    """Turn one bit of what stands there; returns what stood there before."""
    before = raw(row, column(row, name))
    put(row, column(row, name), before[:-1] + bytes([before[-1] ^ 1]))
    return before


def alive(kind: str, owner: Any) -> list[int]:
    keys = DataKey.objects.filter(owner_kind=kind, owner_id=str(owner), destroyed_at=None)
    return list(keys.order_by("version").values_list("version", flat=True))


def rotate_all(*, later: bool) -> tuple[int, dict[str, Rotated]]:
    """Returns how many are left, and what became of each owner."""
    heard: dict[str, Rotated] = {}
    now = timezone.now() + (rotation.GRACE + timedelta(seconds=1) if later else timedelta())
    left = rotation.rotate_all(actor=SERVICE, each=lambda _kind, owner, done: heard.update({owner: done}), now=now)
    vault.forget()
    return left, heard


def test_a_flipped_bit_is_named_and_everybody_else_s_key_changes(three: list[Resident]) -> None:
    first, hurt, last = three
    before = flip(hurt, "name")
    it = (Damaged("companion_resident", "name", str(hurt.id)),)
    left, heard = rotate_all(later=False)
    assert left == 3 and [done.damaged for _owner, done in sorted(heard.items())] == [(), it, ()]
    left, heard = rotate_all(later=True)
    assert left == 1 and heard[str(hurt.id)].damaged == it
    assert [alive("resident", row.id) for row in three] == [[2], [1, 2], [2]]
    assert Resident.objects.get(id=hurt.id).phone == ""  # what does open is readable as ever
    put(hurt, column(hurt, "name"), before)  # from a backup
    assert rotate_all(later=True) == (0, {str(hurt.id): Rotated(2, 1, 1, 0)})
    assert alive("resident", hurt.id) == [2]
    assert [Resident.objects.get(id=row.id).name for row in three] == [row.name for row in three]
    assert AuditEvent.objects.filter(action=rotation.ENDED).count() == 1


def test_values_that_changed_places_are_both_named(three: list[Resident]) -> None:
    one, other, last = three
    mine, theirs = raw(one, column(one, "name")), raw(other, column(other, "name"))
    put(one, column(one, "name"), theirs)
    put(other, column(other, "name"), mine)
    rotate_all(later=False)
    left, heard = rotate_all(later=True)
    named = {found.row for done in heard.values() for found in done.damaged}
    assert left == 2 and named == {str(one.id), str(other.id)}
    assert [alive("resident", row.id) for row in three] == [[1, 2], [1, 2], [2]]


@pytest.mark.parametrize("damage", [{"wrapped": bytes(60)}, {"master_id": "m0"}])
def test_a_data_key_that_does_not_open_is_named_and_left_as_it_is(three: list[Resident], damage: dict) -> None:
    hurt = three[1]
    key = DataKey.objects.get(owner_id=str(hurt.id))
    before = {name: getattr(key, name) for name in damage}
    DataKey.objects.filter(id=key.id).update(**damage)
    vault.forget()
    rotate_all(later=False)
    left, heard = rotate_all(later=True)
    assert left == 1 and heard[str(hurt.id)] == Rotated(
        1, 0, 0, 0, (Damaged("hospitals_datakey", "wrapped", str(key.id)),)
    )
    assert [alive("resident", row.id) for row in three] == [[2], [1], [2]]
    DataKey.objects.filter(id=key.id).update(**before)  # from a backup
    rotate_all(later=False)
    assert rotate_all(later=True)[0] == 0
    assert Resident.objects.get(id=hurt.id).name == hurt.name


def test_giving_up_a_new_key_that_does_not_open_loses_nothing_that_is_under_the_old_one(three: list[Resident]) -> None:
    hurt = three[0]
    vault.new_key("resident", str(hurt.id), 2)  # of a change that was cut off before its first row
    DataKey.objects.filter(owner_id=str(hurt.id), version=2).update(wrapped=bytes(60))
    vault.forget()
    for later in (timedelta(), rotation.GRACE + timedelta(seconds=1)):
        now = timezone.now() + later
        done = rotation.rotate("resident", hurt.id, actor=SERVICE, now=now, give_up=True)
    assert done.version == 3 and alive("resident", hurt.id) == [3]
    vault.forget()
    assert Resident.objects.get(id=hurt.id).name == hurt.name


def test_a_key_service_that_is_away_ends_it_and_names_nothing(
    three: list[Resident], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_asked: Any, **_more: Any) -> Any:
        raise KeyServiceUnavailable

    service = key_service()
    monkeypatch.setattr(service, "unwrap", away)
    monkeypatch.setattr(type(service), "current", property(away))
    vault.forget()
    heard: list[Any] = []
    with pytest.raises(KeyServiceUnavailable):
        rotation.rotate_all(actor=SERVICE, each=lambda *told: heard.append(told))
    assert heard == []


def test_a_patient_s_damaged_card_in_a_hospital_s_row_keeps_both_old_keys() -> None:
    clinic = a_clinic()
    hers, theirs = (
        a_life(name, tag, born=born, phone="13900001111")
        for name, tag, born in (("林晚照", "甲甲", "19610115"), ("周望舒", "乙乙", "19720220"))
    )
    hurt, whole = a_booking(hers, clinic), a_booking(theirs, clinic, days=3)
    with scope(clinic.hospital.id):
        flip(Appointment.objects.get(id=hurt), "card")
    for later in (False, True):
        left, heard = rotate_all(later=later)
    it = Damaged("hospitals_appointment", "card", str(hurt))
    keepers = hers.person.resident_id, theirs.person.resident_id
    assert left == 2 and it in heard[str(clinic.hospital.id)].damaged and it in heard[str(keepers[0])].damaged
    assert alive("hospital", clinic.hospital.id) == [1, 2] and [alive("resident", k) for k in keepers] == [[1, 2], [2]]
    with scope(clinic.hospital.id):
        assert Appointment.objects.get(id=whole).card["name"] == "周望舒"
        with pytest.raises(CiphertextInvalid):
            _ = Appointment.objects.get(id=hurt).card


def test_one_patient_s_damaged_key_does_not_hold_up_a_hospital_s_others() -> None:
    clinic = a_clinic()
    lives = [
        a_life(name, tag, born=born, phone="13900001111")
        for name, tag, born in (("林晚照", "甲甲", "19610115"), ("周望舒", "乙乙", "19720220"))
    ]
    hurt, whole = (a_booking(life, clinic, days=days) for days, life in enumerate(lives, start=2))
    DataKey.objects.filter(owner_id=str(lives[0].person.resident_id)).update(master_id="m0")
    vault.forget()
    done = rotation.rotate("hospital", clinic.hospital.id, actor=SERVICE)
    named = {found.row for found in done.damaged if found.column == "card"}
    assert named == {str(hurt)} and done.rows > 0
    vault.forget()
    with scope(clinic.hospital.id):
        assert Appointment.objects.get(id=whole).card["name"] == "周望舒"


def test_a_row_with_a_damaged_column_is_still_saved(three: list[Resident]) -> None:
    hurt = three[0]
    flip(hurt, "name")
    rotation.rotate("resident", hurt.id, actor=SERVICE)
    row = Resident.objects.get(id=hurt.id)
    row.phone = "13900000002"
    row.save()
    assert Resident.objects.get(id=hurt.id).phone == "13900000002"
    with pytest.raises(CiphertextInvalid):
        _ = Resident.objects.get(id=hurt.id).name


def test_what_is_given_up_is_on_the_audit_log_and_the_old_key_ends(
    three: list[Resident], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(rotation, "GRACE", timedelta())
    hurt = three[0]
    flip(hurt, "name")
    with pytest.raises(CommandError, match="1 处打不开.*--give-up"):
        call_command("rotate_keys")
    assert f"resident:{hurt.id} companion_resident name {hurt.id}" in capsys.readouterr().err
    assert [alive("resident", row.id) for row in three] == [[1, 2], [2], [2]]
    with pytest.raises(CommandError, match="只能与"):
        call_command("rotate_keys", give_up=True)
    call_command("rotate_keys", owner=f"resident:{hurt.id}", give_up=True)
    assert alive("resident", hurt.id) == [2]
    told = AuditEvent.objects.get(action=rotation.GIVEN_UP)
    assert (told.entity_id, told.detail) == (str(hurt.id), f"companion_resident name {hurt.id}")
    call_command("rotate_keys")
    assert AuditEvent.objects.filter(action=rotation.ENDED).exists()
    vault.forget()
    with pytest.raises(KeyDestroyed):
        _ = Resident.objects.get(id=hurt.id).name


class TestTheBlindIndex:
    def begin(self) -> None:
        assert reindexing.rotate(actor=SERVICE).begun
        kind, owner = indexing.OWNER
        row = DataKey.objects.filter(owner_kind=kind, owner_id=owner).latest("version")
        DataKey.objects.filter(id=row.id).update(created_at=row.created_at - rotation.GRACE)
        vault.forget()

    def test_a_card_that_does_not_open_is_named_and_keeps_the_old_key_alive(self, capsys: Any) -> None:
        hurt, whole = Person("陈玉兰", "19610115", "002"), Person("周敏", "19880115", "006")
        before = flip(hurt.patient, "id_number")
        self.begin()
        with pytest.raises(CommandError, match="1 处打不开.*--index --give-up"):
            call_command("rotate_keys", index=True)
        told = capsys.readouterr()
        assert f"companion_patient id_number {hurt.patient.id}" in told.err and "旧密钥已销毁" not in told.out
        assert alive(*indexing.OWNER) == [1, 2]
        assert Patient.objects.get(id=whole.patient.id).id_number_index.startswith("2.")
        put(hurt.patient, column(hurt.patient, "id_number"), before)
        assert reindexing.rotate(actor=SERVICE).ended

    def test_given_up_it_is_found_by_nobody_and_the_old_key_ends(self) -> None:
        hurt = Person("陈玉兰", "19610115", "002")
        flip(hurt.patient, "id_number")
        self.begin()
        call_command("rotate_keys", index=True, give_up=True)
        assert alive(*indexing.OWNER) == [2]
        assert AuditEvent.objects.get(action=rotation.GIVEN_UP).detail.endswith(str(hurt.patient.id))

    @pytest.mark.parametrize("damage", [{"wrapped": bytes(60)}, {"master_id": "m0"}])
    def test_one_keeper_s_damaged_key_holds_no_other_card_up(self, damage: dict) -> None:
        hurt, whole = Person("陈玉兰", "19610115", "002"), Person("周敏", "19880115", "006")
        DataKey.objects.filter(owner_id=str(hurt.resident_id)).update(**damage)
        self.begin()
        done = reindexing.rotate(actor=SERVICE)
        assert not done.ended and {found.row for found in done.damaged} >= {str(hurt.patient.id)}
        assert Patient.objects.get(id=whole.patient.id).id_number_index.startswith("2.")


def test_a_damaged_key_among_many_that_are_opened_at_once_is_the_one_that_is_asked_for(three: list[Resident]) -> None:
    hurt = three[0]
    DataKey.objects.filter(owner_id=str(hurt.id)).update(wrapped=bytes(60))
    vault.forget()
    vault.open_keys("resident", {row.id for row in three})
    assert Resident.objects.get(id=three[1].id).name == three[1].name
    with pytest.raises(CiphertextInvalid):
        _ = Resident.objects.get(id=hurt.id).name
