"""Sessions: a super-app's code in, a short-lived signed token out; tickets for sockets that send no Origin."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.core.cache import cache
from django.db import transaction
from django.utils import timezone

from companion.exceptions import NotSignedIn
from companion.identity.base import Identity
from companion.models import ExternalIdentity, Reminder, Resident, ResidentSession
from hospitals import vault
from hospitals.compiled import Compiled

SALT = "companion.resident"
_sessions = Compiled(  # every request of a resident begins with it
    lambda session: ResidentSession.objects.filter(id=session).values_list("resident_id", "expires_at", "revoked_at"),
    shared=True,
)


@dataclass(frozen=True, slots=True)
class SignedIn:
    resident_id: UUID
    session_id: UUID
    expires_at: datetime


@transaction.atomic
def open_session(identity: Identity) -> tuple[str, SignedIn]:
    """A token for this identity; the first time, a resident is made. The open id is kept as a blind index only."""
    index = vault.blind_index(f"identity:{identity.provider}:{identity.app_id}", identity.open_id)
    found = ExternalIdentity.objects.filter(
        provider=identity.provider, app_id=identity.app_id, open_id_index=index
    ).first()
    if found is None:
        resident = Resident(name="")
        resident.save(force_insert=True)
        found, created = ExternalIdentity.objects.get_or_create(
            provider=identity.provider, app_id=identity.app_id, open_id_index=index, defaults={"resident": resident}
        )
        if not created:  # two first sign-ins at once: the other one's resident stands
            resident.delete()
    expires = timezone.now() + timedelta(seconds=settings.RESIDENT_TOKEN_TTL_S)
    session = ResidentSession.objects.create(resident_id=found.resident_id, expires_at=expires)
    token = signing.dumps({"s": session.id.hex}, salt=SALT, compress=False)
    return token, SignedIn(found.resident_id, session.id, expires)


def verify(token: str) -> SignedIn:
    """Who this token signs in. Raises ``NotSignedIn`` (expired, revoked, forged)."""
    if not isinstance(token, str) or len(token) > 512:
        raise NotSignedIn
    try:
        claims = signing.loads(token, salt=SALT, max_age=settings.RESIDENT_TOKEN_TTL_S)
        session_id = UUID(hex=str(claims["s"]))
    except signing.SignatureExpired as error:
        raise NotSignedIn(code="token_expired") from error
    except (signing.BadSignature, KeyError, ValueError, TypeError) as error:
        raise NotSignedIn from error
    found = _sessions.rows(session=session_id)
    if not found or found[0][2]:
        raise NotSignedIn(code="token_revoked")
    resident_id, expires_at, _revoked_at = found[0]
    if expires_at <= timezone.now():
        raise NotSignedIn(code="token_expired")
    return SignedIn(resident_id, session_id, expires_at)


def revoke(session_id: UUID) -> None:
    ResidentSession.objects.filter(id=session_id, revoked_at=None).update(revoked_at=timezone.now())


@transaction.atomic
def forget(resident_id: UUID) -> None:
    """She was erased: her sessions end at once, no super-app leads to her any more, and nothing is brought up to her.

    Who comes again with the same super-app is somebody new.
    """
    ResidentSession.objects.filter(resident_id=resident_id, revoked_at=None).update(revoked_at=timezone.now())
    ExternalIdentity.objects.filter(resident_id=resident_id).delete()
    Reminder.objects.filter(visit__resident_id=resident_id, sent_at=None).delete()


def issue_ticket(session_id: UUID) -> str:
    """A one-time ticket (30 s) with which a mini-program, which sends no Origin, may open its socket."""
    ticket = secrets.token_urlsafe(24)
    cache.set(f"ticket:{ticket}", session_id.hex, timeout=settings.WEBSOCKET_TICKET_TTL_S)
    return ticket


def redeem_ticket(ticket: str) -> None:
    """Use up a ticket. Raises ``NotSignedIn`` when it is unknown, used or too old."""
    if not isinstance(ticket, str) or len(ticket) > 64 or not cache.delete(f"ticket:{ticket}"):
        raise NotSignedIn(code="ticket_invalid")
