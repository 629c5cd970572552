"""One secret out of two: a value sealed with it opens only while both owners' data keys are there.

A resident's data in a hospital's rows are sealed so (``EncryptedField(also=...)``): whoever of the two is erased, the copies are
unreadable, in backups as well, and no key for each pair has to be made or fetched. HKDF (RFC 5869) over both data keys.
"""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hospitals.ciphers import KEY_BYTES, SM4


def secret(cipher: str, first: bytes, second: bytes) -> bytes:
    """The pair's key for this cipher. The first data key's length is its cipher's, so no two pairs look alike."""
    hash_ = hashes.SM3() if cipher == SM4 else hashes.SHA256()
    return HKDF(hash_, KEY_BYTES[cipher], salt=None, info=b"hospitals.pairs|" + cipher.encode()).derive(first + second)
