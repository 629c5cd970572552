"""Whether the key service holds the master key of this database: asked once, before everything fails at every row."""

from hospitals import indexing, vault
from hospitals.audit.chain import AUDIT_OWNER
from hospitals.exceptions import CiphertextInvalid, KeyServiceUnavailable, WrongMasterKey
from hospitals.keys import key_service
from hospitals.models import DataKey

_THE_SERVICE_S = (AUDIT_OWNER, indexing.OWNER)  # nothing is done or looked up without them


def check() -> None:
    """Opens the keys that are the service's own; one that opens is enough, since the others may be damaged.

    A database that nobody has used yet has none, and every master key will do. Raises ``WrongMasterKey``,
    ``KeyServiceUnavailable``.
    """
    newest = [
        next((key for key in vault.versions(*owner) if key.destroyed_at is None), None) for owner in _THE_SERVICE_S
    ]
    found = [key for key in newest if key is not None]
    if found and not any(_opens(key) for key in found):
        raise WrongMasterKey


def _opens(key: DataKey) -> bool:
    try:
        vault.key_version(key.owner_kind, key.owner_id, key.version, row=key)
    except (CiphertextInvalid, KeyServiceUnavailable):
        _ = key_service().current  # raises where more is at fault than this key, or its master
        return False
    return True
