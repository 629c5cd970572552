"""Hospitals that call us: how their messages are signed and checked (Standard Webhooks), free of Django.

``webhook-signature`` is HMAC-SHA256 over ``id.timestamp.body``; a message older or newer than five minutes is refused, so
that a recorded one cannot be played again later (within them, the event's id makes it once).
"""

import base64
import hmac
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256

from hospitals.exceptions import BadSignature, StaleTimestamp

PREFIX = "whsec_"
WINDOW_S = 300
SECRET_BYTES = 32
ID_MAX = 256


def new_secret() -> str:
    """A fresh shared secret, in the form both sides write it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _signature(secret: str, message_id: str, timestamp: str, body: bytes) -> bytes:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, sha256).digest()


def sign(
    secret: str, message_id: str, body: bytes, *, also: Iterable[str] = (), now: datetime | None = None
) -> dict[str, str]:
    """The three headers to send with this body. ``also``: further secrets that sign it while the secret is changed."""
    timestamp = str(int((now or datetime.now(UTC)).timestamp()))
    made = (base64.b64encode(_signature(each, message_id, timestamp, body)).decode() for each in (secret, *also))
    signatures = " ".join(f"v1,{signature}" for signature in made)
    return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": signatures}


def verify(known: Iterable[str], headers: Mapping[str, str], body: bytes, *, now: datetime | None = None) -> None:
    """Raises ``BadSignature`` unless one of the known secrets signed it, ``StaleTimestamp`` outside the window."""
    lower = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp = lower.get("webhook-id", ""), lower.get("webhook-timestamp", "")
    if not (0 < len(message_id) <= ID_MAX and timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise BadSignature
    given = []
    for part in lower.get("webhook-signature", "").split()[:8]:
        version, _comma, value = part.partition(",")
        if version == "v1":
            given.append(value.encode(errors="replace"))
    # every known secret is tried, so that the time it takes does not tell which one it was
    good = False
    for secret in known:
        expected = base64.b64encode(_signature(secret, message_id, timestamp, body))
        for candidate in given:
            good |= hmac.compare_digest(expected, candidate)
    if not good:
        raise BadSignature
    if abs((now or datetime.now(UTC)).timestamp() - int(timestamp)) > WINDOW_S:
        raise StaleTimestamp("时间戳不在五分钟之内,请校准时钟后重发。")
