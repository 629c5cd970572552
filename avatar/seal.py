"""What is said to somebody is sealed while it waits in Redis: whoever reads a dump of it learns no words.

AES-256-GCM, or SM4-GCM where settings.SEAL_CIPHER asks for it, under a key for each purpose derived from SECRET_KEY, the same
in every process. Which of them it was stands in the first byte. It lives for minutes (an announcement for a day), so after the
secret was changed what cannot be opened is simply asked for again.
"""

import os
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SM3
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from avatar.exceptions import AvatarError

_NONCE, _TAG = 12, 16
_AES, _SM4 = b"\x01", b"\x02"


class Unreadable(AvatarError):
    """Sealed under another secret, or damaged."""

    code = "speech_unreadable"
    detail = "Sealed under another SECRET_KEY, or damaged."


@cache
def _aes(secret: str, purpose: str) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt=None, info=purpose.encode()).derive(secret.encode()))


@cache
def _sm4(secret: str, purpose: str) -> algorithms.SM4:
    return algorithms.SM4(HKDF(SM3(), 16, salt=None, info=purpose.encode()).derive(secret.encode()))


def sealed(data: bytes, *, purpose: str = "avatar.seal") -> bytes:
    """Cipher, nonce, ciphertext and tag. What was sealed for one ``purpose`` does not open for another."""
    nonce = os.urandom(_NONCE)
    if settings.SEAL_CIPHER != "SM4-GCM":
        return _AES + nonce + _aes(settings.SECRET_KEY, purpose).encrypt(nonce, data, None)
    sealing = Cipher(_sm4(settings.SECRET_KEY, purpose), modes.GCM(nonce)).encryptor()
    return _SM4 + nonce + sealing.update(data) + sealing.finalize() + sealing.tag


def opened(data: bytes, *, purpose: str = "avatar.seal") -> bytes:
    """Raises ``Unreadable``."""
    cipher, nonce, body = data[:1], data[1 : 1 + _NONCE], data[1 + _NONCE :]
    if len(body) < _TAG or cipher not in (_AES, _SM4):
        raise Unreadable
    try:
        if cipher == _AES:
            return _aes(settings.SECRET_KEY, purpose).decrypt(nonce, body, None)
        opening = Cipher(_sm4(settings.SECRET_KEY, purpose), modes.GCM(nonce, body[-_TAG:])).decryptor()
        return opening.update(body[:-_TAG]) + opening.finalize()
    except InvalidTag as error:
        raise Unreadable from error
