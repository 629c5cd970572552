"""Master keys inside a hardware module or any other PKCS#11 token: they are made there and never leave it.

A data key is wrapped by CKM_AES_GCM in the token, with the context as additional data. Master keys share a label; which one
it is stands in CKA_ID as a number, and the highest wraps. The library initialises modules as used by one thread only, so that
calls are made one after the other in a process. Needs the package python-pkcs11 (extra ``pkcs11``).
"""

import contextlib
import hashlib
import os
import re
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pkcs11

from hospitals.ciphers import NONCE_BYTES, TAG_BYTES
from hospitals.exceptions import CiphertextInvalid, KeyServiceUnavailable
from hospitals.keys.base import MASTER_KEY_BYTES, checked_size

T = TypeVar("T")
LOOKED_AGAIN_S = 60.0  # a master key that was made by another process wraps after this
_PREFIX = "p11:"
_LABEL = re.compile(r"[A-Za-z0-9._-]{1,40}")
_PROBE = b"hospitals.keys.pkcs11"

# Of a process and not of an instance, as a module's state is. Handles of before an initialisation may mean other keys after
# it, so each has a number.
_lock = threading.RLock()
_initialised: dict[str, int] = {}
_initialisations = count(1)


def _forked() -> None:
    """The child owns none of its parent's sessions, and whoever held the lock is not there to release it."""
    global _lock
    _lock = threading.RLock()
    _initialised.clear()


os.register_at_fork(after_in_child=_forked)


class Pkcs11KeyService:
    """``module``: path of the vendor's library; ``token``: its label; ``pin_file``: holds the user's PIN; ``label``: of the
    master keys. Nothing is asked of the token before it is needed.
    """

    def __init__(
        self,
        module: str,
        token: str,
        pin_file: str,
        label: str = "health-companion",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not _LABEL.fullmatch(label):
            raise KeyServiceUnavailable("主密钥的标签只能用字母、数字和 . _ -,最多40个。")
        self._module, self._token, self._pin_file, self._label = module, token, Path(pin_file), label
        self._session: pkcs11.Session | None = None
        self._keys: dict[int, pkcs11.SecretKey] = {}
        self._initialisation = 0
        self._clock, self._looked_at = clock, float("-inf")
        self._refused_pin = b""

    # --- what a key service does --------------------------------------------------------------------------------

    @property
    def current(self) -> str:
        return self._name(self._with_token(self._newest))

    def knows(self, master_id: str) -> bool:
        return self._number(master_id) is not None

    def wrap(self, data_key: bytes, *, context: bytes) -> tuple[str, bytes]:
        def inside() -> tuple[str, bytes]:
            number = self._newest()
            return self._name(number), self._encrypt(self._keys[number], data_key, context)

        return self._with_token(inside)

    def unwrap(self, master_id: str, wrapped: bytes, *, context: bytes) -> bytes:
        number = self._number(master_id)
        if number is None:
            raise KeyServiceUnavailable("这把主密钥不是令牌里的。")
        if len(wrapped) <= NONCE_BYTES + TAG_BYTES:
            raise CiphertextInvalid
        return checked_size(self._with_token(lambda: self._decrypt(self._key(number), wrapped, context)))

    def make_master(self) -> str:
        """Make a master key in the token, which wraps from now on: 256 bits that cannot be read or taken out. Returns its id."""

        def inside() -> str:
            self._look()
            number = max(self._keys, default=0) + 1
            with self._token_itself().open(rw=True) as session:
                made = session.generate_key(
                    pkcs11.KeyType.AES,
                    MASTER_KEY_BYTES * 8,
                    id=number.to_bytes(4, "big"),
                    label=self._label,
                    store=True,
                    capabilities=pkcs11.MechanismFlag.ENCRYPT | pkcs11.MechanismFlag.DECRYPT,
                    template={
                        pkcs11.Attribute.PRIVATE: True,
                        pkcs11.Attribute.SENSITIVE: True,
                        pkcs11.Attribute.EXTRACTABLE: False,
                        pkcs11.Attribute.MODIFIABLE: False,
                    },
                )
                if made[pkcs11.Attribute.EXTRACTABLE] or not made[pkcs11.Attribute.SENSITIVE]:
                    made.destroy()
                    raise KeyServiceUnavailable("令牌造出的主密钥可以被读出,不能使用。")
            self._look()
            return self._name(number)

        return self._with_token(inside)

    # --- keys ---------------------------------------------------------------------------------------------------

    def _name(self, number: int) -> str:
        return f"{_PREFIX}{self._label}:{number}"

    def _number(self, master_id: str) -> int | None:
        label, _colon, number = master_id.removeprefix(_PREFIX).rpartition(":")
        mine = master_id.startswith(_PREFIX) and label == self._label
        return int(number) if mine and number.isascii() and number.isdigit() else None

    def _look(self) -> None:
        """Find the master keys. Two with one number would be a coin tossed at every wrapping."""
        wanted = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY, pkcs11.Attribute.LABEL: self._label}
        assert self._session is not None
        found: dict[int, pkcs11.SecretKey] = {}
        for key in list(self._session.get_objects(wanted)):
            assert isinstance(key, pkcs11.SecretKey)
            number = int.from_bytes(key.id, "big")
            if number in found:
                raise KeyServiceUnavailable(f"令牌里有两把编号为{number}的主密钥,请删去没有用过的那一把。")
            found[number] = key
        self._keys, self._looked_at = found, self._clock()

    def _newest(self) -> int:
        if self._clock() - self._looked_at > LOOKED_AGAIN_S:
            self._look()
        if not self._keys:
            raise KeyServiceUnavailable("令牌里没有主密钥,请先运行 manage.py new_master_key --in-token。")
        return max(self._keys)

    def _key(self, number: int) -> pkcs11.SecretKey:
        if number not in self._keys:
            self._look()
        if number not in self._keys:
            raise KeyServiceUnavailable("这把主密钥不在令牌里。")
        return self._keys[number]

    @staticmethod
    def _encrypt(key: Any, plain: bytes, context: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        how = pkcs11.GCMParams(nonce, context, TAG_BYTES * 8)
        return nonce + bytes(key.encrypt(plain, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=how))

    def _decrypt(self, key: Any, wrapped: bytes, context: bytes) -> bytes:
        """Modules disagree about what they say to a wrong tag; so after any failure the token is asked to open something
        that it has just sealed. If it can, the ciphertext is at fault."""

        def opened(sealed: bytes, bound_to: bytes) -> bytes:
            how = pkcs11.GCMParams(sealed[:NONCE_BYTES], bound_to, TAG_BYTES * 8)
            return bytes(key.decrypt(sealed[NONCE_BYTES:], mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=how))

        try:
            return opened(wrapped, context)
        except pkcs11.PKCS11Error as error:
            if opened(self._encrypt(key, _PROBE, context), context) != _PROBE:
                raise
            raise CiphertextInvalid from error

    # --- the token ----------------------------------------------------------------------------------------------

    def _with_token(self, deed: Callable[[], T]) -> T:
        """Do it in a session of a user who is signed in; once more in a new one where the token was reset meanwhile."""
        with _lock:
            for last in (False, True):
                try:
                    if self._session is None or _initialised.get(self._module) != self._initialisation:
                        self._sign_in()
                    return deed()
                except (pkcs11.PKCS11Error, OSError) as error:
                    self._session = None
                    if _initialised.get(self._module) == self._initialisation:
                        del _initialised[self._module]
                    if last or isinstance(error, pkcs11.PinIncorrect | pkcs11.PinLocked):
                        raise KeyServiceUnavailable("加密机(PKCS#11)没有应答,请稍后再试。") from error
        raise AssertionError("the loop has returned or raised")

    def _token_itself(self) -> pkcs11.Token:
        return pkcs11.lib(self._module).get_token(token_label=self._token)

    def _sign_in(self) -> None:
        """Who is signed in is a matter of the whole process: where another service is, no PIN is asked for."""
        if self._module not in _initialised:
            library = pkcs11.lib(self._module)
            with contextlib.suppress(pkcs11.PKCS11Error):  # ends every session of this process, also those that hang
                library.finalize()
            library.initialize()
            _initialised[self._module] = next(_initialisations)
        self._initialisation = _initialised[self._module]
        pin = self._pin_file.read_text(encoding="utf-8").strip()
        digest = hashlib.sha256(pin.encode()).digest()
        if digest == self._refused_pin:
            raise KeyServiceUnavailable("令牌拒绝了这个 PIN。请改正 PIN 文件;再试会把令牌锁上。")
        token = self._token_itself()
        try:
            self._session = token.open(user_pin=pin)
        except pkcs11.UserAlreadyLoggedIn:
            self._session = token.open()
        except (pkcs11.PinIncorrect, pkcs11.PinLocked):
            self._refused_pin = digest
            raise
        self._look()
