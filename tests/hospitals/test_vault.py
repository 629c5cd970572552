"""Encrypted columns: nothing in clear, nothing that opens elsewhere, nothing after erasure."""

import uuid
from types import SimpleNamespace

import pytest
from django.core import serializers
from django.core.exceptions import FieldError
from django.db import connection, models, transaction
from hypothesis import given
from hypothesis import strategies as st

from hospitals import ciphers, indexing, keys, vault
from hospitals.exceptions import CiphertextInvalid, KeyDestroyed, KeyServiceUnavailable
from hospitals.keys.base import HeldKeyService, parse_masters
from hospitals.keys.environment import EnvironmentKeyService
from hospitals.keys.file import FileKeyService, new_master
from hospitals.models import DataKey
from tests.obedient import ROLE, as_owner

CANARY = "王小明990101196101150028"


class Secret(models.Model):
    """A row with encrypted columns, only here."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    person = models.UUIDField()
    text = vault.EncryptedTextField(owner=("resident", "person"))
    data = vault.EncryptedJSONField(owner=("resident", "person"), null=True)

    class Meta:
        app_label = "hospitals"
        db_table = "test_secret"
        managed = False


@pytest.fixture(autouse=True)
def table(db: None) -> None:
    kind = "uuid" if connection.vendor == "postgresql" else "char(32)"
    blob = "bytea" if connection.vendor == "postgresql" else "blob"
    with as_owner(), connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE test_secret (id {kind} PRIMARY KEY, person {kind}, text {blob}, data {blob})")
        if connection.vendor == "postgresql":
            cursor.execute(f"GRANT ALL ON test_secret TO {ROLE}")


@pytest.fixture(params=ciphers.CIPHERS)
def cipher(request: pytest.FixtureRequest, settings) -> str:
    settings.HOSPITALS_CIPHER = request.param
    return request.param


def raw(row: Secret, column: str) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {column} FROM test_secret WHERE id = %s",
            [row.id if connection.vendor == "postgresql" else row.id.hex],
        )
        return bytes(cursor.fetchone()[0])


def put(row: Secret, column: str, value: bytes) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE test_secret SET {column} = %s WHERE id = %s",
            [value, row.id if connection.vendor == "postgresql" else row.id.hex],
        )


def made(**given) -> Secret:
    return Secret.objects.create(**({"person": uuid.uuid4(), "text": CANARY, "data": {"a": [1, "二"]}} | given))


def test_round_trip_and_nothing_in_clear(cipher: str) -> None:
    row = made()
    again = Secret.objects.get(id=row.id)
    assert again.text == CANARY and again.data == {"a": [1, "二"]}
    stored = raw(row, "text")
    assert CANARY.encode() not in stored and "王小明".encode() not in stored
    assert DataKey.objects.get(owner_id=str(row.person)).cipher == cipher


def test_the_same_text_never_looks_the_same_twice() -> None:
    person = uuid.uuid4()
    assert raw(made(person=person), "text") != raw(made(person=person), "text")


def test_saving_a_row_nobody_looked_into_leaves_it_as_it_is() -> None:
    row = made()
    before = raw(row, "text")
    loaded = Secret.objects.get(id=row.id)
    loaded.save()
    assert raw(row, "text") == before
    loaded.data["a"].append(3)
    loaded.save()
    assert Secret.objects.get(id=row.id).data == {"a": [1, "二", 3]}


def test_null_stays_null_and_deferred_columns_open_late() -> None:
    row = made(data=None)
    assert Secret.objects.get(id=row.id).data is None
    assert Secret.objects.filter(data__isnull=True).exists()
    assert Secret.objects.defer("text").get(id=row.id).text == CANARY
    row.refresh_from_db()
    assert row.text == CANARY


@pytest.mark.parametrize("move", ["row", "column", "tenant"])
def test_a_ciphertext_moved_elsewhere_does_not_open(move: str) -> None:
    here, there = made(), made()
    if move == "row":  # same person, other row
        there = made(person=here.person)
        put(there, "text", raw(here, "text"))
    elif move == "column":
        there = here
        put(there, "text", raw(here, "data"))
    else:
        put(there, "text", raw(here, "text"))
    with pytest.raises(CiphertextInvalid):
        _ = Secret.objects.get(id=there.id).text


@given(position=st.integers(min_value=0, max_value=10_000), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed(position: int, bit: int) -> None:
    with transaction.atomic():
        row = made()
        stored = bytearray(raw(row, "text"))
        stored[position % len(stored)] ^= 1 << bit
        put(row, "text", bytes(stored))
        with pytest.raises(CiphertextInvalid):
            _ = Secret.objects.get(id=row.id).text


def test_erasure_makes_it_unreadable_for_ever() -> None:
    row, other = made(), made()
    assert vault.erase("resident", row.person) == 1
    with pytest.raises(KeyDestroyed):
        _ = Secret.objects.get(id=row.id).text
    with pytest.raises(KeyDestroyed), transaction.atomic():  # and no new key takes the old one's place
        made(person=row.person)
    assert bytes(DataKey.objects.get(owner_id=str(row.person)).wrapped) == b""
    assert Secret.objects.get(id=other.id).text == CANARY


def test_a_key_made_in_a_transaction_that_is_undone_is_not_remembered() -> None:
    person = uuid.uuid4()
    with pytest.raises(RuntimeError), transaction.atomic():
        made(person=person)
        raise RuntimeError
    row = made(person=person)
    vault.forget()
    assert Secret.objects.get(id=row.id).text == CANARY


def test_an_opened_key_that_has_run_out_is_held_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(vault, "time", SimpleNamespace(monotonic=lambda: now[0]))
    kept, key = vault._Remembered(), vault.OpenKey(1, ciphers.AES, bytes(32))
    asked_for, idle, fresh = (("resident", str(n), 1) for n in range(3))
    kept.put(asked_for, key)
    kept.put(idle, key)
    assert kept.get(asked_for) is key
    now[0] = vault.REMEMBERED_S + 1
    assert kept.get(asked_for) is None and list(kept._keys) == [idle]
    kept.put(fresh, key)
    assert list(kept._keys) == [fresh]


def test_older_versions_stay_readable_and_new_values_use_the_newest() -> None:
    row = made()
    vault.new_key("resident", str(row.person), 2)
    vault.forget()
    assert Secret.objects.get(id=row.id).text == CANARY
    newer = made(person=row.person)
    assert vault.Ciphertext(raw(newer, "text")).key_version == 2
    assert Secret.objects.get(id=newer.id).text == CANARY


def test_update_and_filters_by_value_are_refused() -> None:
    row = made()
    with pytest.raises(FieldError):
        Secret.objects.filter(id=row.id).update(text="clear")
    with pytest.raises(FieldError):
        Secret.objects.filter(text=CANARY)
    with pytest.raises(ValueError), transaction.atomic():
        Secret.objects.create(person=None, text="x")


def test_bulk_rows_are_sealed_as_well() -> None:
    person = uuid.uuid4()
    rows = Secret.objects.bulk_create([Secret(person=person, text=f"{CANARY}{n}") for n in range(3)])
    assert CANARY.encode() not in raw(rows[0], "text")
    assert Secret.objects.get(id=rows[2].id).text == f"{CANARY}2"


def test_a_serialised_row_holds_nothing_in_clear() -> None:
    assert "王小明" not in serializers.serialize("json", [made()])


def test_blind_index_is_equal_for_equal_values_of_one_purpose(cipher: str) -> None:
    first = indexing.blind_index("id_number", CANARY)
    assert first == indexing.blind_index("id_number", CANARY) and len(first) == 64
    assert first != indexing.blind_index("phone", CANARY)
    assert first != indexing.blind_index("id_number", CANARY + "x")
    vault.forget()
    assert first == indexing.blind_index("id_number", CANARY)


# --- key services -------------------------------------------------------------------------------------------


def test_the_file_is_made_once_and_only_its_owner_may_read_it(tmp_path) -> None:
    path = tmp_path / "deep" / "master.key"
    service = FileKeyService(str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    name, wrapped = service.wrap(b"k" * 32, context=b"c")
    assert FileKeyService(str(path)).unwrap(name, wrapped, context=b"c") == b"k" * 32
    path.chmod(0o644)
    with pytest.raises(KeyServiceUnavailable):
        FileKeyService(str(path))
    with pytest.raises(KeyServiceUnavailable):
        FileKeyService(str(tmp_path / "none"), create=False)


def test_a_new_master_key_goes_before_the_old_one(tmp_path) -> None:
    path = tmp_path / "master.key"
    name, wrapped = FileKeyService(str(path)).wrap(b"k" * 32, context=b"c")
    path.write_text(new_master() + "\n" + path.read_text())
    service = FileKeyService(str(path))
    assert service.current != name and service.unwrap(name, wrapped, context=b"c") == b"k" * 32


def test_a_wrapped_key_opens_only_for_its_own_owner() -> None:
    service = HeldKeyService(parse_masters(new_master()))
    name, wrapped = service.wrap(b"k" * 32, context=b"hospital|1|1")
    with pytest.raises(CiphertextInvalid):
        service.unwrap(name, wrapped, context=b"hospital|2|1")
    with pytest.raises(KeyServiceUnavailable):
        service.unwrap("other", wrapped, context=b"hospital|1|1")


@pytest.mark.parametrize("text", ["", "a:zz", "a:00"])
def test_bad_master_keys_are_refused(text: str, monkeypatch) -> None:
    monkeypatch.setenv("COMPANION_MASTER_KEYS", text)
    with pytest.raises(KeyServiceUnavailable):
        EnvironmentKeyService()


def test_without_the_master_key_nothing_opens(settings, tmp_path) -> None:
    row = made()
    original = settings.KEY_SERVICE
    settings.KEY_SERVICE = {"BACKEND": "hospitals.keys.file.FileKeyService", "OPTIONS": {"path": str(tmp_path / "k")}}
    vault.forget()
    with pytest.raises(KeyServiceUnavailable):
        _ = Secret.objects.get(id=row.id).text
    settings.KEY_SERVICE = original
    assert keys.key_service() is keys.key_service()
    assert Secret.objects.get(id=row.id).text == CANARY
