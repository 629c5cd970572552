"""What a key service does, and the part of it that services holding master keys in memory share.

A key service wraps data keys; it never sees data. In production it is a hardware module or a cloud service: a class with
``wrap``, ``unwrap`` and ``current`` that calls it, named in settings.KEY_SERVICE.
"""

import os
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hospitals.exceptions import CiphertextInvalid, KeyServiceUnavailable

NONCE_BYTES = 12
MASTER_KEY_BYTES = 32


class KeyService(Protocol):
    """Wraps data keys under a master key. ``context`` is bound to the wrapped key and must be the same on unwrapping."""

    @property
    def current(self) -> str:
        """The id of the master key that ``wrap`` uses now."""
        ...

    def wrap(self, data_key: bytes, *, context: bytes) -> tuple[str, bytes]:
        """(master key's id, wrapped key). Raises ``KeyServiceUnavailable``."""
        ...

    def unwrap(self, master_id: str, wrapped: bytes, *, context: bytes) -> bytes:
        """Raises ``CiphertextInvalid`` when altered, ``KeyServiceUnavailable`` when the master key is not there."""
        ...


class HeldKeyService:
    """Master keys held in memory, newest first: AES-256-GCM with the context as additional data."""

    def __init__(self, masters: dict[str, bytes]) -> None:
        if not masters or any(len(key) != MASTER_KEY_BYTES for key in masters.values()):
            raise KeyServiceUnavailable("主密钥缺失或长度不对。")
        self._masters = masters

    @property
    def current(self) -> str:
        return next(iter(self._masters))

    def wrap(self, data_key: bytes, *, context: bytes) -> tuple[str, bytes]:
        nonce = os.urandom(NONCE_BYTES)
        return self.current, nonce + AESGCM(self._masters[self.current]).encrypt(nonce, data_key, context)

    def unwrap(self, master_id: str, wrapped: bytes, *, context: bytes) -> bytes:
        master = self._masters.get(master_id)
        if master is None:
            raise KeyServiceUnavailable
        try:
            return AESGCM(master).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], context)
        except (InvalidTag, ValueError) as error:
            raise CiphertextInvalid from error


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
