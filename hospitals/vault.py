"""Columns that are encrypted where they rest: a key per owner, bound to the row and the column they stand in.

A stored value is ``format | key version | nonce | ciphertext and tag``; its additional data are owner, table, primary key
and column, so that a ciphertext moved to another row, column or tenant does not open. A value of two owners (a resident's in a
hospital's row) has both key versions, and opens only while both keys are there (hospitals.pairs). Data keys are made by
hospitals.ciphers' chosen cipher, wrapped by settings.KEY_SERVICE and kept in DataKey; a process remembers opened keys for
a short while. Rows need a primary key before they are saved (UUIDs are made on the client).
"""

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.core.exceptions import FieldError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DEFAULT_DB_ALIAS, IntegrityError, models, transaction
from django.db.models.constants import LOOKUP_SEP
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_migrate
from django.utils import timezone

from hospitals import ciphers, compiled, pairs
from hospitals.compiled import Compiled
from hospitals.exceptions import CiphertextInvalid, KeyDestroyed
from hospitals.keys import key_service

if TYPE_CHECKING:
    from hospitals.models import DataKey

FORMAT, PAIRED = 1, 2
_HEADER_BYTES = {FORMAT: 5, PAIRED: 9}
Owner = tuple[str, str]
REMEMBERED_KEYS = 4096
REMEMBERED_S = 30.0  # an erased owner's key opens nothing in any process after this
_SURELY_COMMITTED_S = 300.0


@dataclass(frozen=True, slots=True)
class OpenKey:
    """A data key ready for use."""

    version: int
    cipher: str
    secret: bytes


class Ciphertext(bytes):
    """Bytes as they stand in the database, not yet opened."""

    @property
    def key_version(self) -> int:
        return int.from_bytes(self[1:5], "big")

    @property
    def versions(self) -> tuple[int, ...]:
        """Of each owner's key, the first owner's first."""
        return (
            (self.key_version, int.from_bytes(self[5:9], "big")) if self[:1] == bytes([PAIRED]) else (self.key_version,)
        )


# --- keys ---------------------------------------------------------------------------------------------------


class _Remembered:
    """Opened keys of this process: bounded in number and age, safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: OrderedDict[tuple[str, str, int], tuple[float, OpenKey]] = OrderedDict()

    def get(self, name: tuple[str, str, int]) -> OpenKey | None:
        with self._lock:
            found = self._keys.get(name)
            if found is None:
                return None
            if found[0] < time.monotonic():
                del self._keys[name]
                return None
            return found[1]

    def put(self, name: tuple[str, str, int], key: OpenKey) -> None:
        """Those that have run out go: they stand in front, in order of age."""
        with self._lock:
            now = time.monotonic()
            self._keys[name] = (now + REMEMBERED_S, key)
            self._keys.move_to_end(name)
            while len(self._keys) > REMEMBERED_KEYS or next(iter(self._keys.values()))[0] < now:
                self._keys.popitem(last=False)

    def forget(self, owner: tuple[str, str] | None = None) -> None:
        with self._lock:
            for name in [n for n in self._keys if owner is None or n[:2] == owner]:
                del self._keys[name]


_remembered = _Remembered()
on_forget: list[Callable[[], None]] = []  # what else of this process remembers keys
CURRENT = 0  # stands for the newest version where keys are remembered


def forget(owner: tuple[str, str] | None = None) -> None:
    """Drop this owner's opened keys of this process, or all."""
    _remembered.forget(owner)
    for too in on_forget:
        too()


post_migrate.connect(lambda **_kwargs: forget(), dispatch_uid="hospitals.vault", weak=False)


def _rows() -> "models.Manager[DataKey]":
    model: type[DataKey] = apps.get_model("hospitals", "DataKey")
    return model._default_manager


_versions = Compiled(  # everybody's first word of the day opens her key
    lambda kind, owner: _rows().filter(owner_kind=kind, owner_id=owner).order_by("-version").values_list(),
    shared=True,
)


def versions(kind: str, owner_id: str) -> "list[DataKey]":
    """All versions of an owner's key, the newest first."""
    model = _rows().model
    names = [field.attname for field in model._meta.concrete_fields]
    return [model.from_db(DEFAULT_DB_ALIAS, names, row) for row in _versions.rows(kind=kind, owner=owner_id)]


def _context(kind: str, owner_id: str, version: int) -> bytes:
    return f"{kind}|{owner_id}|{version}".encode()


def _open(row: "DataKey") -> OpenKey:
    if row.destroyed_at is not None:
        raise KeyDestroyed
    context = _context(row.owner_kind, row.owner_id, row.version)
    return OpenKey(row.version, row.cipher, key_service().unwrap(row.master_id, bytes(row.wrapped), context=context))


def _remember(row: "DataKey", key: OpenKey, *, current: bool) -> None:
    """Keep it; a key that this transaction may have made only once it is committed, or it would outlive a rollback."""
    versions = (row.version, CURRENT) if current else (row.version,)

    def keep() -> None:
        for version in versions:
            _remembered.put((row.owner_kind, row.owner_id, version), key)

    if (timezone.now() - row.created_at).total_seconds() > _SURELY_COMMITTED_S:
        keep()
    else:
        transaction.on_commit(keep)


def new_key(kind: str, owner_id: str, version: int, cipher: str = "") -> OpenKey:
    """Make and store a key; another process's key of the same version stands when it was quicker."""
    if compiled.in_flight():  # a race would be noticed too late to be mended
        raise RuntimeError("a key is made before its rows are sent in one go")
    cipher = cipher or settings.HOSPITALS_CIPHER
    secret = ciphers.generate(cipher)
    master_id, wrapped = key_service().wrap(secret, context=_context(kind, owner_id, version))
    try:
        with transaction.atomic():
            row = _rows().create(
                owner_kind=kind, owner_id=owner_id, version=version, cipher=cipher, master_id=master_id, wrapped=wrapped
            )
            key = _open(row)  # a key that cannot be opened again is not kept
    except IntegrityError:
        row = _rows().get(owner_kind=kind, owner_id=owner_id, version=version)
        key = _open(row)
    _remember(row, key, current=True)
    return key


def current_key(kind: str, owner_id: str, *, cipher: str = "") -> OpenKey:
    """The owner's newest key, made on first use. Raises ``KeyDestroyed``."""
    found = _remembered.get((kind, owner_id, CURRENT))
    if found is not None:
        return found
    rows = versions(kind, owner_id)
    if not rows:
        return new_key(kind, owner_id, 1, cipher)
    key = _open(rows[0])
    _remember(rows[0], key, current=True)
    return key


def open_keys(kind: str, owner_ids: Iterable[UUID]) -> None:
    """Open the keys of many owners with one query, where each will be asked for; erased ones are left out, and damaged ones:
    whoever asks for such a key hears of it, the others go on."""
    shut = [str(owner) for owner in owner_ids if _remembered.get((kind, str(owner), CURRENT)) is None]
    if len(shut) < 2:
        return
    newest: set[str] = set()
    for row in _rows().filter(owner_kind=kind, owner_id__in=shut, destroyed_at=None).order_by("-version"):
        current = row.owner_id not in newest
        newest.add(row.owner_id)
        with suppress(CiphertextInvalid):
            _remember(row, _open(row), current=current)


def key_version(kind: str, owner_id: str, version: int, *, row: "DataKey | None" = None) -> OpenKey:
    """The owner's key of that version, from its ``row`` where that is at hand. Raises ``KeyDestroyed``, ``CiphertextInvalid``."""
    found = _remembered.get((kind, owner_id, version))
    if found is not None:
        return found
    row = row or next((row for row in versions(kind, owner_id) if row.version == version), None)
    if row is None:
        raise CiphertextInvalid
    key = _open(row)
    _remember(row, key, current=False)
    return key


def rewrap(row: "DataKey") -> bool:
    """Wrap a data key anew under today's master key; False when another process did, or it was destroyed meanwhile."""
    context = _context(row.owner_kind, row.owner_id, row.version)
    secret = key_service().unwrap(row.master_id, bytes(row.wrapped), context=context)
    master_id, wrapped = key_service().wrap(secret, context=context)
    if (
        key_service().unwrap(master_id, wrapped, context=context) != secret
    ):  # before it takes the place of one that opens
        raise CiphertextInvalid
    here = _rows().filter(id=row.id, master_id=row.master_id, destroyed_at=None)
    return bool(here.update(master_id=master_id, wrapped=wrapped))


def erase(kind: str, owner_id: UUID | str) -> int:
    """Destroy all keys of an owner: what was encrypted with them can never be read again. Returns how many there were."""
    owner = (kind, str(owner_id))
    hers = _rows().filter(owner_kind=kind, owner_id=str(owner_id))
    with transaction.atomic():
        # Whoever holds them may be making the next one, which only a statement that begins after that sees.
        list(hers.select_for_update().order_by("-version").values_list("id"))
        count = hers.filter(destroyed_at=None).update(wrapped=b"", destroyed_at=timezone.now())
        transaction.on_commit(lambda: _remembered.forget(owner))
    _remembered.forget(owner)
    return count


# --- sealing ------------------------------------------------------------------------------------------------


def seal(plain: bytes, *, owner: Owner, bound_to: bytes, also: Owner | None = None) -> Ciphertext:
    """Encrypt under the current key of the owner, or of two. ``bound_to`` names the place it is for."""
    key = current_key(*owner)
    header, secret = bytes([FORMAT]) + key.version.to_bytes(4, "big"), key.secret
    if also is not None:
        second = current_key(*also)
        header = bytes([PAIRED]) + header[1:] + second.version.to_bytes(4, "big")
        secret, bound_to = pairs.secret(key.cipher, secret, second.secret), _bound(bound_to, also)
    return Ciphertext(header + ciphers.encrypt(key.cipher, secret, plain, header + bound_to))


def unseal(stored: bytes, *, owner: Owner, bound_to: bytes, also: Owner | None = None) -> bytes:
    """Raises ``CiphertextInvalid`` when it was altered or belongs elsewhere, ``KeyDestroyed`` when an owner was erased.

    What was sealed before its row had a second owner opens with the first one's key.
    """
    size = _HEADER_BYTES.get(stored[0] if stored else 0, 0)
    if not size or len(stored) < size:
        raise CiphertextInvalid
    header, versions = bytes(stored[:size]), Ciphertext(stored).versions
    key = key_version(*owner, versions[0])
    secret = key.secret
    if header[0] == PAIRED:
        if also is None:
            raise CiphertextInvalid
        second = key_version(*also, versions[1])
        secret, bound_to = pairs.secret(key.cipher, secret, second.secret), _bound(bound_to, also)
    return ciphers.decrypt(key.cipher, secret, stored[size:], header + bound_to)


def _bound(bound_to: bytes, also: Owner) -> bytes:
    return bound_to + "|".join(("", *also)).encode()


# --- fields -------------------------------------------------------------------------------------------------


class _Opening(DeferredAttribute):
    """Opens a stored value when it is first looked at; a row that nobody looks into costs no decryption."""

    field: "EncryptedField"

    def __get__(self, instance: models.Model | None, cls: type | None = None) -> Any:
        if instance is None:
            return self
        value = super().__get__(instance, cls)
        if isinstance(value, Ciphertext):
            value = self.field.open(instance, value)
            instance.__dict__[self.field.attname] = value
        return value

    def __set__(self, instance: models.Model, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


class EncryptedField(models.Field):
    """The part that text and JSON share. ``owner``: (kind, name of the attribute that holds the owner's id); ``patient__keeper_id``
    is a related row's.

    ``also``: the same of a second owner, without whose key it does not open either; where the attribute is None there is none.
    """

    descriptor_class = _Opening
    empty_strings_allowed = False

    def __init__(self, *args: Any, owner: Owner, also: Owner | None = None, **kwargs: Any) -> None:
        self.owner = tuple(owner)
        self.also = tuple(also) if also else None
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "owner": self.owner} | ({"also": self.also} if self.also else {})

    def get_internal_type(self) -> str:
        return "BinaryField"

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name != "isnull":
            raise FieldError(f"{self.name} is encrypted: look it up by a blind index")
        return super().get_lookup(lookup_name)

    def to_bytes(self, value: Any) -> bytes:
        raise NotImplementedError

    def from_bytes(self, plain: bytes) -> Any:
        raise NotImplementedError

    def _place(self, instance: models.Model) -> dict[str, Any]:
        kind, attribute = self.owner
        owner_id = reduce(getattr, attribute.split(LOOKUP_SEP), cast("Any", instance))
        if owner_id is None or instance.pk is None:
            raise ValueError(
                f"{self.model.__name__}.{self.name} needs {attribute} and a primary key before it is saved"
            )
        parts = (kind, str(owner_id), self.model._meta.db_table, str(instance.pk), str(self.column))
        second = getattr(instance, self.also[1]) if self.also else None
        also = (self.also[0], str(second)) if self.also and second else None
        return {"owner": (kind, str(owner_id)), "bound_to": "|".join(parts).encode(), "also": also}

    def open(self, instance: models.Model, stored: Ciphertext) -> Any:
        return self.from_bytes(unseal(stored, **self._place(instance)))

    def seal(self, instance: models.Model, value: Any) -> Ciphertext:
        return seal(self.to_bytes(value), **self._place(instance))

    def is_current(self, instance: models.Model, stored: Ciphertext) -> bool:
        """Whether it may stay: a version that a rotation is about to retire must not be written back."""
        place = self._place(instance)
        try:
            return stored.versions == tuple(current_key(*o).version for o in (place["owner"], place["also"]) if o)
        except KeyDestroyed:
            return True  # nobody can read it either way; the rest of the row may still change

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = model_instance.__dict__.get(self.attname)
        if isinstance(value, Ciphertext) and not add:  # loaded and never looked at: it stays as it is
            if self.is_current(model_instance, value):
                return value
            try:
                self.open(model_instance, value)
            except CiphertextInvalid:
                return value  # damaged: nobody can read it, but the rest of the row may still change
        value = getattr(model_instance, self.attname)
        return None if value is None else self.seal(model_instance, value)

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        if value is not None and not isinstance(value, Ciphertext):
            raise FieldError(f"{self.name} is encrypted: save the row instead of update()")
        return None if value is None else connection.Database.Binary(bytes(value))

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return None if value is None else Ciphertext(value)

    def value_to_string(self, obj: models.Model) -> str:
        """A serialised row keeps the value sealed: a dump never holds it in clear."""
        value = getattr(obj, self.attname)
        return "" if value is None else self.seal(obj, value).hex()


class EncryptedTextField(EncryptedField):
    """Text."""

    def to_bytes(self, value: Any) -> bytes:
        return str(value).encode()

    def from_bytes(self, plain: bytes) -> str:
        return plain.decode()

    def formfield(self, **kwargs: Any) -> None:
        """Not edited in forms."""


class EncryptedJSONField(EncryptedField):
    """Anything JSON can say; dates and UUIDs become strings."""

    def to_bytes(self, value: Any) -> bytes:
        return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False, separators=(",", ":")).encode()

    def from_bytes(self, plain: bytes) -> Any:
        return json.loads(plain)

    def formfield(self, **kwargs: Any) -> None:
        """Not edited in forms."""
