"""The authenticated ciphers and keyed hashes that columns may be protected with, by name; nothing of Django.

AES-256-GCM and HMAC-SHA256 by default; SM4-GCM (GB/T 32907) and HMAC-SM3 (GB/T 32905) where national cryptography is
asked for.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hospitals.exceptions import CiphertextInvalid

NONCE_BYTES = 12
TAG_BYTES = 16
AES, SM4 = "AES-256-GCM", "SM4-GCM"
KEY_BYTES = {AES: 32, SM4: 16, "HMAC-SHA256": 32, "HMAC-SM3": 32}
CIPHERS = (AES, SM4)


def generate(name: str) -> bytes:
    """A fresh key for this cipher or keyed hash."""
    return os.urandom(KEY_BYTES[name])


def derive(name: str, secret: bytes, purpose: bytes) -> bytes:
    """A key for this cipher from a longer secret, so that no two algorithms or purposes share one; with the hash beside it."""
    return HKDF(_hash(mac_for(name)), KEY_BYTES[name], salt=None, info=purpose + b"|" + name.encode()).derive(secret)


def encrypt(name: str, key: bytes, plain: bytes, additional: bytes) -> bytes:
    """nonce | ciphertext | tag."""
    nonce = os.urandom(NONCE_BYTES)
    if name == AES:
        return nonce + AESGCM(key).encrypt(nonce, plain, additional)
    sealing = Cipher(algorithms.SM4(key), modes.GCM(nonce)).encryptor()
    sealing.authenticate_additional_data(additional)
    return nonce + sealing.update(plain) + sealing.finalize() + sealing.tag


def decrypt(name: str, key: bytes, stored: bytes, additional: bytes) -> bytes:
    """Raises ``CiphertextInvalid`` for anything that was not sealed with this key and these additional data."""
    if len(stored) < NONCE_BYTES + TAG_BYTES:
        raise CiphertextInvalid
    nonce, body = stored[:NONCE_BYTES], stored[NONCE_BYTES:]
    try:
        if name == AES:
            return AESGCM(key).decrypt(nonce, body, additional)
        opening = Cipher(algorithms.SM4(key), modes.GCM(nonce, body[-TAG_BYTES:])).decryptor()
        opening.authenticate_additional_data(additional)
        return opening.update(body[:-TAG_BYTES]) + opening.finalize()
    except InvalidTag as error:
        raise CiphertextInvalid from error


def mac_for(cipher: str) -> str:
    """The keyed hash that goes with a cipher."""
    return "HMAC-SM3" if cipher == SM4 else "HMAC-SHA256"


def _hash(mac_name: str) -> hashes.HashAlgorithm:
    return hashes.SM3() if mac_name == "HMAC-SM3" else hashes.SHA256()


def mac(name: str, key: bytes, message: bytes) -> str:
    """64 hex digits."""
    digest = hmac.HMAC(key, _hash(name))
    digest.update(message)
    return digest.finalize().hex()
