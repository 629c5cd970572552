"""What a key service does, and the part of it that services holding master keys in memory share.

A key service wraps data keys; it never sees data. Here are master keys in a file or the environment, in a hardware module
(``pkcs11``) and behind a server of Vault's transit engine (``transit``); another one is a class that does what ``KeyService``
says, named in settings.KEY_SERVICE.
"""

from typing import Protocol

from django.conf import settings

from hospitals import ciphers
from hospitals.exceptions import CiphertextInvalid, KeyServiceUnavailable

MASTER_KEY_BYTES = 32
_SM4_PREFIX = "sm4:"  # of a master key's id, where it wraps by SM4


class KeyService(Protocol):
    """Wraps data keys under a master key. ``context`` is bound to the wrapped key and must be the same on unwrapping.

    Safe between threads. A forked process makes one of its own (``hospitals.keys``).
    """

    @property
    def current(self) -> str:
        """The id (at most 64 characters) of the master key that ``wrap`` uses now. Raises ``KeyServiceUnavailable``."""
        ...

    def knows(self, master_id: str) -> bool:
        """Whether a master key of this id would be one of this service's. Asks nobody."""
        ...

    def wrap(self, data_key: bytes, *, context: bytes) -> tuple[str, bytes]:
        """(master key's id, wrapped key). Raises ``KeyServiceUnavailable``."""
        ...

    def unwrap(self, master_id: str, wrapped: bytes, *, context: bytes) -> bytes:
        """Raises ``CiphertextInvalid`` when altered, ``KeyServiceUnavailable`` when the master key is not there."""
        ...


class HeldKeyService:
    """Master keys held in memory, newest first, with the context as additional data.

    AES-256-GCM under the master key itself, or, where settings.HOSPITALS_CIPHER asks for it, SM4-GCM under a key derived from
    it. Which of them wrapped a key stands in the id of its master key, so that keys wrapped before a change still open, and
    count as wrapped by another master until they are wrapped anew.
    """

    def __init__(self, masters: dict[str, bytes]) -> None:
        if not masters or any(len(key) != MASTER_KEY_BYTES for key in masters.values()):
            raise KeyServiceUnavailable("主密钥缺失或长度不对。")
        self._masters = masters
        self._sm4 = {name: ciphers.derive(ciphers.SM4, key, b"hospitals.keys") for name, key in masters.items()}

    @property
    def current(self) -> str:
        newest = next(iter(self._masters))
        return _SM4_PREFIX + newest if settings.HOSPITALS_CIPHER == ciphers.SM4 else newest

    def knows(self, master_id: str) -> bool:
        return master_id.removeprefix(_SM4_PREFIX) in self._masters

    def _master(self, master_id: str) -> tuple[str, bytes]:
        """Cipher and key."""
        sm4 = by_sm4(master_id)
        found = (self._sm4 if sm4 else self._masters).get(master_id.removeprefix(_SM4_PREFIX))
        if found is None:
            raise KeyServiceUnavailable("这把主密钥不在密钥服务里。")
        return ciphers.SM4 if sm4 else ciphers.AES, found

    def wrap(self, data_key: bytes, *, context: bytes) -> tuple[str, bytes]:
        master_id = self.current
        return master_id, ciphers.encrypt(*self._master(master_id), data_key, context)

    def unwrap(self, master_id: str, wrapped: bytes, *, context: bytes) -> bytes:
        return ciphers.decrypt(*self._master(master_id), wrapped, context)


def by_sm4(master_id: str) -> bool:
    """Whether what this master key wrapped was wrapped by SM4."""
    return master_id.startswith(_SM4_PREFIX)


def parse_masters(text: str) -> dict[str, bytes]:
    """``id:hex`` entries, newest first, separated by whitespace or commas."""
    masters = {}
    for entry in text.replace(",", " ").split():
        name, _colon, value = entry.partition(":")
        try:
            masters[name] = bytes.fromhex(value)
        except ValueError as error:
            raise KeyServiceUnavailable("主密钥的格式不对。") from error
    return masters


class MovingKeyService:
    """From one key service to another: ``now`` wraps, ``before`` still opens what it wrapped. See settings.KEY_SERVICE["BEFORE"]."""

    def __init__(self, now: KeyService, before: KeyService) -> None:
        self._now, self._before = now, before

    @property
    def current(self) -> str:
        return self._now.current

    @property
    def alike(self) -> bool:
        """Whether both call the master key that wraps now their own, so that what the old one wrapped is asked of the new one.

        Raises ``KeyServiceUnavailable``.
        """
        return self._before.knows(self._now.current)

    def knows(self, master_id: str) -> bool:
        return self._now.knows(master_id) or self._before.knows(master_id)

    def wrap(self, data_key: bytes, *, context: bytes) -> tuple[str, bytes]:
        return self._now.wrap(data_key, context=context)

    def unwrap(self, master_id: str, wrapped: bytes, *, context: bytes) -> bytes:
        asked = self._before if self._before.knows(master_id) and not self._now.knows(master_id) else self._now
        return asked.unwrap(master_id, wrapped, context=context)


def checked_size(data_key: bytes) -> bytes:
    """What another machine gave back as a data key. Raises ``CiphertextInvalid`` when it cannot be one."""
    if len(data_key) not in ciphers.KEY_BYTES.values():
        raise CiphertextInvalid
    return data_key
