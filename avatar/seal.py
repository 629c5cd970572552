"""What is said to somebody is sealed while it waits in Redis: whoever reads a dump of it learns no words.

AES-256-GCM under a key derived from SECRET_KEY, the same in every process. It lives for minutes (an announcement for a day), so
after the secret was changed what cannot be opened is simply asked for again.
"""

import os
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from avatar.exceptions import AvatarError

_NONCE = 12


class Unreadable(AvatarError):
    """Sealed under another secret, or damaged."""

    code = "speech_unreadable"
    detail = "Sealed under another SECRET_KEY, or damaged."


@cache
def _cipher(secret: str) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt=None, info=b"avatar.seal").derive(secret.encode()))


def sealed(data: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + _cipher(settings.SECRET_KEY).encrypt(nonce, data, None)


def opened(data: bytes) -> bytes:
    """Raises ``Unreadable``."""
    try:
        return _cipher(settings.SECRET_KEY).decrypt(data[:_NONCE], data[_NONCE:], None)
    except (InvalidTag, ValueError) as error:
        raise Unreadable from error
