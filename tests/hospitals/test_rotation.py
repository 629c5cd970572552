"""Keys change while rows are read and written, and a change that was cut off goes on where it was."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from companion.models import Patient, Resident
from hospitals import indexing, vault
from hospitals.audit import SERVICE
from hospitals.exceptions import InvalidInput, KeyDestroyed
from hospitals.keys import key_service
from hospitals.keys.file import new_master
from hospitals.models import AuditEvent, DataKey, Hospital, HospitalApplication
from hospitals.services import onboarding, rotation
from hospitals.tenancy import scope

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("only_real_tables")]


@pytest.fixture
def resident() -> Resident:
    row = Resident.objects.create(name="林小棠", phone="13900000001")
    for n in range(5):
        Patient.objects.create(
            keeper=row, name=f"家人{n}", id_number=f"编号{n}", phone="1", birth_date="1950-01-01", sex="male"
        )
    return row


def after() -> dict:
    return {"now": timezone.now() + rotation.GRACE + timedelta(seconds=1), "actor": SERVICE}


def versions(resident: Resident) -> set[int]:
    return {row.__dict__["name"].key_version for row in Patient.objects.filter(keeper=resident)}


def readable(resident: Resident) -> None:
    vault.forget()
    assert Resident.objects.get(id=resident.id).name == "林小棠"
    assert {p.name for p in Patient.objects.filter(keeper=resident)} == {f"家人{n}" for n in range(5)}


def test_every_row_is_sealed_anew_and_the_old_key_goes_after_the_grace(resident: Resident) -> None:
    first = rotation.rotate("resident", resident.id, actor=SERVICE, batch=2)
    assert (first.version, first.rows, first.retired, first.waiting) == (2, 6, 0, 1)
    readable(resident)
    second = rotation.rotate("resident", resident.id, **after())
    assert (second.version, second.rows, second.retired, second.waiting) == (2, 0, 1, 0)
    assert versions(resident) == {2}
    assert bytes(DataKey.objects.get(owner_id=str(resident.id), version=1).wrapped) == b""
    readable(resident)
    assert AuditEvent.objects.filter(action="keys.rotated", entity_id=str(resident.id)).count() == 1


def test_killed_in_the_middle_it_goes_on_where_it_was(resident: Resident) -> None:
    def die(progress: rotation.Progress) -> None:
        if progress.table == Patient._meta.db_table and progress.rows >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotation.rotate("resident", resident.id, actor=SERVICE, batch=2, tell=die)
    assert versions(resident) == {1, 2}
    readable(resident)
    done = rotation.rotate("resident", resident.id, **after())
    assert done.version == 2 and done.retired == 1 and 0 < done.rows < 6
    readable(resident)


def test_a_row_loaded_before_and_saved_after_does_not_bring_the_old_key_back(resident: Resident) -> None:
    loaded = Resident.objects.get(id=resident.id)
    rotation.rotate("resident", resident.id, actor=SERVICE)
    loaded.save()
    rotation.rotate("resident", resident.id, **after())
    readable(resident)


def test_a_hospital_s_rows_are_found_in_its_own_scope() -> None:
    contact = onboarding.Contact("沈一帆", "0571-1", "a@example.org")
    made = onboarding.apply(code="h1", name="甲医院", city="杭州", licence_number="L", contact=contact)
    done = rotation.rotate("hospital", made.hospital_id, **after())
    assert done.version == 2 and done.rows >= 1
    vault.forget()
    with scope(made.hospital_id):
        assert HospitalApplication.objects.get().contact["name"] == "沈一帆"
    assert Hospital.objects.count() == 1


def test_an_erased_owner_gets_no_new_key_and_a_blind_index_keeps_its_own(resident: Resident) -> None:
    vault.erase("resident", resident.id)
    with pytest.raises(KeyDestroyed):
        rotation.rotate("resident", resident.id, actor=SERVICE)
    with pytest.raises(InvalidInput):
        rotation.rotate(*indexing.OWNER, actor=SERVICE)


def test_a_new_master_key_wraps_every_data_key_and_the_old_one_may_go(resident: Resident, settings, tmp_path) -> None:
    file = tmp_path / "master.key"
    service = {"BACKEND": "hospitals.keys.file.FileKeyService", "OPTIONS": {"path": str(file)}}
    settings.KEY_SERVICE = service
    DataKey.objects.all().delete()
    other = Resident.objects.create(name="周岚")
    fresh = new_master() + "\n"
    file.write_text(fresh + file.read_text())
    settings.KEY_SERVICE = dict(service)
    held = DataKey.objects.count()  # before the audit log has made its own
    assert rotation.rewrap_all(actor=SERVICE).keys == held > 0
    assert rotation.rewrap_all(actor=SERVICE) == rotation.Rewrapped(0, ())
    file.write_text(fresh)
    settings.KEY_SERVICE = dict(service)
    vault.forget()
    assert Resident.objects.get(id=other.id).name == "周岚"


def test_keys_wrapped_by_aes_still_open_with_sm4_and_are_wrapped_anew(resident: Resident, settings) -> None:
    DataKey.objects.all().delete()
    other = Resident.objects.create(name="周岚")
    settings.HOSPITALS_CIPHER = "SM4-GCM"
    vault.forget()
    assert Resident.objects.get(id=other.id).name == "周岚"
    held = DataKey.objects.count()  # before the audit log has made its own
    assert rotation.rewrap_all(actor=SERVICE).keys == held > 0
    assert all(row.master_id.startswith("sm4:") for row in DataKey.objects.all())
    vault.forget()
    assert Resident.objects.get(id=other.id).name == "周岚"
    rotation.rotate("resident", other.id, actor=SERVICE)
    assert DataKey.objects.get(owner_id=str(other.id), version=2).cipher == "SM4-GCM"


def test_the_command_tells_where_it_is(resident: Resident, capsys) -> None:
    call_command("rotate_keys", owner=f"resident:{resident.id}")
    assert "companion_patient 5" in capsys.readouterr().out


# --- everybody ----------------------------------------------------------------------------------------------


def living() -> list[list[int]]:
    """Versions alive of each resident, in the order in which they have their turn."""
    keys = DataKey.objects.filter(owner_kind="resident", destroyed_at=None).order_by("owner_id", "version")
    owners: dict[str, list[int]] = {}
    for key in keys:
        owners.setdefault(key.owner_id, []).append(key.version)
    return list(owners.values())


def unheard(*_told: Any) -> None:
    """Nobody listens."""


def cut(*_told: Any) -> None:
    raise KeyboardInterrupt


def test_who_had_no_turn_before_a_cut_has_it_in_the_next_run(three: list[Resident]) -> None:
    with pytest.raises(KeyboardInterrupt):
        rotation.rotate_all(actor=SERVICE, each=cut)
    assert living() == [[1, 2], [1], [1]]
    assert rotation.rotate_all(each=unheard, **after()) == 0
    assert living() == [[2], [2], [2]]
    told = AuditEvent.objects.filter(entity="keys").order_by("number")
    assert [event.action for event in told] == [rotation.BEGUN, rotation.ENDED]


def test_everybody_has_one_turn_though_a_few_are_looked_up_at_a_time(three: list[Resident], monkeypatch: Any) -> None:
    monkeypatch.setattr(rotation, "BATCH", 2)
    turns: list[str] = []
    assert rotation.rotate_all(actor=SERVICE, each=lambda _kind, owner_id, _done: turns.append(owner_id)) == 3
    assert turns == sorted(str(row.id) for row in three)


def test_who_is_done_when_the_end_is_cut_is_not_changed_again(three: list[Resident]) -> None:
    assert rotation.rotate_all(actor=SERVICE, each=unheard) == 3
    with pytest.raises(KeyboardInterrupt):
        rotation.rotate_all(each=cut, **after())
    assert living() == [[2], [1, 2], [1, 2]]
    assert rotation.rotate_all(each=unheard, **after()) == 0
    assert living() == [[2], [2], [2]]


def test_who_is_erased_before_her_turn_holds_nobody_up(three: list[Resident]) -> None:
    first, second, last = (str(row.id) for row in three)
    turns = []

    def erase_the_second(_kind: str, owner_id: str, _done: rotation.Rotated) -> None:
        turns.append(owner_id)
        vault.erase("resident", second)

    assert rotation.rotate_all(actor=SERVICE, each=erase_the_second) == 2
    assert turns == [first, last] and living() == [[1, 2], [1, 2]]


def test_one_owner_s_change_is_ended_before_everybody_s_begins(three: list[Resident], capsys) -> None:
    rotation.rotate("resident", three[0].id, actor=SERVICE)
    assert rotation.rotate_all(each=unheard, **after()) == 0
    assert living() == [[2], [1], [1]] and not AuditEvent.objects.filter(action=rotation.BEGUN).exists()
    call_command("rotate_keys")
    assert "还有 3 个没有换完" in capsys.readouterr().out and living() == [[2, 3], [1, 2], [1, 2]]


# --- the master key -----------------------------------------------------------------------------------------


@pytest.fixture
def masters(settings, tmp_path: Path) -> Any:
    """Called, a new master key stands before the others."""
    file = tmp_path / "master.key"
    service = {"BACKEND": "hospitals.keys.file.FileKeyService", "OPTIONS": {"path": str(file)}}
    settings.KEY_SERVICE = service
    DataKey.objects.all().delete()

    def new() -> None:
        file.write_text(f"{new_master()}\n{file.read_text()}")
        settings.KEY_SERVICE = dict(service)

    return new


def test_keys_that_do_not_open_are_named_and_the_others_are_wrapped(
    masters: Any, three: list[Resident], capsys
) -> None:
    first, second = DataKey.objects.filter(owner_kind="resident").order_by("id")[:2]
    DataKey.objects.filter(id=first.id).update(wrapped=bytes(60))
    DataKey.objects.filter(id=second.id).update(master_id="m0")
    masters()
    held = DataKey.objects.count()
    lost = tuple(("resident", row.owner_id, 1) for row in (first, second))
    assert rotation.rewrap_all(actor=SERVICE, batch=1) == rotation.Rewrapped(held - 2, lost)
    with pytest.raises(CommandError, match="2 个密钥打不开"):
        call_command("rotate_keys", master=True)
    said = capsys.readouterr().err
    assert all(f"resident:{owner_id} v1" in said for _kind, owner_id, _version in lost)
    vault.forget()
    (whole,) = (row for row in three if str(row.id) not in (first.owner_id, second.owner_id))
    assert Resident.objects.get(id=whole.id).name == whole.name


def test_a_master_key_made_meanwhile_wraps_all_of_them(masters: Any, three: list[Resident]) -> None:
    masters()
    told: list[rotation.Progress] = []

    def another(progress: rotation.Progress) -> None:
        told.append(progress)
        assert len(told) < 50
        if len(told) == 2:
            masters()

    rotation.rewrap_all(actor=SERVICE, batch=1, tell=another)
    wrapped_by = set(DataKey.objects.filter(owner_kind="resident").values_list("master_id", flat=True))
    assert wrapped_by == {key_service().current}
    assert AuditEvent.objects.get(action="keys.rewrapped").entity_id == key_service().current
