"""Blind indexes: keyed hashes that columns nobody can read are looked up by. Their key can be changed while they are in use.

A new key is looked up with at once and written with a minute after it was made, when every process has heard of it; until
all rows are under it (``services.reindexing``) there are two. Which key it was stands before an index, as ``2.``; indexes of
the first are bare digits.
"""

import time
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone

from hospitals import ciphers, vault
from hospitals.vault import OpenKey

OWNER = ("blind-index", "")
SWITCH = timedelta(seconds=2 * vault.REMEMBERED_S)
LENGTH = 64

_remembered: tuple[float, list[tuple[datetime, OpenKey]]] | None = None  # until when, and those in force, newest first


def _forget() -> None:
    global _remembered
    _remembered = None


vault.on_forget.append(_forget)


def mac_name() -> str:
    """The keyed hash that a new key is for."""
    return ciphers.mac_for(settings.HOSPITALS_CIPHER)


def _in_force() -> list[tuple[datetime, OpenKey]]:
    """When each was made, and the key; the newest first."""
    global _remembered
    known = _remembered
    if known is not None and known[0] > time.monotonic():
        return known[1]
    rows = [row for row in vault.versions(*OWNER) if row.destroyed_at is None]
    if not rows:
        return [(timezone.now(), vault.current_key(*OWNER, cipher=mac_name()))]
    found = [(row.created_at, vault.key_version(*OWNER, row.version, row=row)) for row in rows]
    if not connection.in_atomic_block or timezone.now() - found[0][0] > SWITCH:  # not one that may be rolled back
        _remembered = time.monotonic() + vault.REMEMBERED_S, found
    return found


def _keys() -> list[OpenKey]:
    """The one to write with, then, while it is being changed, the other."""
    found, known_by_all = _in_force(), timezone.now() - SWITCH
    write = next((key for made_at, key in found if made_at <= known_by_all), found[-1][1])
    return [write, *(key for _made_at, key in found if key is not write)]


def mark(version: int) -> str:
    """What every index under that version of the key begins with."""
    return f"{version}." if version > 1 else ""


def blind_indexes(purpose: str, value: str) -> tuple[str, ...]:
    """For exact look-ups: 64 characters that are equal for equal values of one purpose and tell nothing else.

    The first is the one to write. While the key is being changed there is a second, and rows stand under either.
    """
    message = f"{purpose}\x00{value}".encode()
    return tuple((mark(key.version) + ciphers.mac(key.cipher, key.secret, message))[:LENGTH] for key in _keys())


def blind_index(purpose: str, value: str) -> str:
    """The one to write: see ``blind_indexes``."""
    return blind_indexes(purpose, value)[0]
