"""Keys change while rows are read and written, and a change that was cut off goes on where it was."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.core.management import call_command
from django.utils import timezone

from companion.models import Patient, Resident
from hospitals import indexing, vault
from hospitals.audit import SERVICE
from hospitals.exceptions import InvalidInput, KeyDestroyed
from hospitals.keys.file import new_master
from hospitals.models import AuditEvent, DataKey, Hospital, HospitalApplication
from hospitals.services import onboarding, rotation
from hospitals.tenancy import scope

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def only_real_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests' own models, whose tables are not there, stay out."""
    real = [model for model in apps.get_models() if not model._meta.db_table.startswith("test_")]
    monkeypatch.setattr(rotation, "apps", SimpleNamespace(get_models=lambda: real))


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
    assert rotation.rewrap_all(actor=SERVICE) == held > 0
    assert rotation.rewrap_all(actor=SERVICE) == 0
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
    assert rotation.rewrap_all(actor=SERVICE) == held > 0
    assert all(row.master_id.startswith("sm4:") for row in DataKey.objects.all())
    vault.forget()
    assert Resident.objects.get(id=other.id).name == "周岚"
    rotation.rotate("resident", other.id, actor=SERVICE)
    assert DataKey.objects.get(owner_id=str(other.id), version=2).cipher == "SM4-GCM"


def test_the_command_tells_where_it_is(resident: Resident, capsys) -> None:
    call_command("rotate_keys", owner=f"resident:{resident.id}")
    assert "companion_patient 5" in capsys.readouterr().out
