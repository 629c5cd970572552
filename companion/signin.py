"""Sessions: a super-app's code in, a short-lived signed token out; tickets for sockets that send no Origin."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog
from django.conf import settings
from django.core import signing
from django.core.cache import cache
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from redis import RedisError

from companion import fanout
from companion.exceptions import NotFound, NotSignedIn
from companion.identity.base import Identity
from companion.models import ExternalIdentity, FamilyLink, Invitation, Resident, ResidentSession
from hospitals import indexing
from hospitals.compiled import Compiled

log = structlog.get_logger(__name__)

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


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token with a good signature says. Whether it still holds, the session's row says."""

    session_id: UUID
    resident_id: UUID


def index_purpose(provider: str, app_id: str) -> str:
    """What the blind index of an open id is for."""
    return f"identity:{provider}:{app_id}"


@transaction.atomic
def open_session(identity: Identity) -> tuple[str, SignedIn]:
    """A token for this identity; the first time, a resident is made. The open id is found by a blind index."""
    indexes = indexing.blind_indexes(index_purpose(identity.provider, identity.app_id), identity.open_id)
    found = ExternalIdentity.objects.filter(
        provider=identity.provider, app_id=identity.app_id, open_id_index__in=indexes
    ).first()
    if found is None:
        resident = Resident(name="")
        resident.save(force_insert=True)
        found, created = ExternalIdentity.objects.get_or_create(
            provider=identity.provider,
            app_id=identity.app_id,
            open_id_index=indexes[0],
            defaults={"resident": resident},
        )
        if not created:  # two first sign-ins at once: the other one's resident stands
            resident.delete()
    if found.__dict__["open_id"] is None:  # it is bound to the row's key, which the database has just made
        found.open_id = identity.open_id
        found.save(update_fields=["open_id"])
    expires = timezone.now() + timedelta(seconds=settings.RESIDENT_TOKEN_TTL_S)
    session = ResidentSession.objects.create(
        resident_id=found.resident_id, provider=identity.provider, expires_at=expires
    )
    token = signing.dumps({"s": session.id.hex, "r": found.resident_id.hex}, salt=SALT, compress=False)
    return token, SignedIn(found.resident_id, session.id, expires)


def claims(token: str) -> Claims:
    """Raises ``NotSignedIn`` (expired, forged)."""
    if not isinstance(token, str) or len(token) > 512:
        raise NotSignedIn
    try:
        said = signing.loads(token, salt=SALT, max_age=settings.RESIDENT_TOKEN_TTL_S)
        return Claims(UUID(hex=str(said["s"])), UUID(hex=str(said["r"])))
    except signing.SignatureExpired as error:
        raise NotSignedIn(code="token_expired") from error
    except (signing.BadSignature, KeyError, ValueError, TypeError) as error:
        raise NotSignedIn from error


def verify(token: str) -> SignedIn:
    """Who this token signs in. Raises ``NotSignedIn`` (expired, revoked, forged)."""
    return check(claims(token))


def check(claims: Claims) -> SignedIn:
    """Whether what a token says still holds. Raises ``NotSignedIn`` (expired, revoked)."""
    session_id = claims.session_id
    found = _sessions.rows(session=session_id)
    if not found or found[0][2]:
        raise NotSignedIn(code="token_revoked")
    resident_id, expires_at, _revoked_at = found[0]
    if expires_at <= timezone.now():
        raise NotSignedIn(code="token_expired")
    return SignedIn(resident_id, session_id, expires_at)


@transaction.atomic
def revoke(session_id: UUID) -> None:
    """She signed out: this token is worth nothing any more, and the pages it opened are closed."""
    session = ResidentSession.objects.filter(id=session_id, revoked_at=None).first()
    if session is not None:
        session.revoked_at = timezone.now()
        session.save(update_fields=["revoked_at"])
        transaction.on_commit(partial(_close_pages, session.resident_id, session_id))


@dataclass(frozen=True, slots=True)
class OpenSignIn:
    """A sign-in of hers that still holds. ``app``: the super-app's provider name; ``current``: the one that asks."""

    id: UUID
    app: str
    since: datetime
    expires_at: datetime
    current: bool


def open_ones(resident_id: UUID, *, current: UUID | None = None) -> list[OpenSignIn]:
    """Where she is signed in, newest first."""
    rows = ResidentSession.objects.filter(resident_id=resident_id, revoked_at=None, expires_at__gt=timezone.now())
    return [
        OpenSignIn(row.id, row.provider, row.created_at, row.expires_at, row.id == current)
        for row in rows.order_by("-created_at", "id")
    ]


def end_one(resident_id: UUID, session_id: UUID) -> None:
    """End a sign-in of hers, on this phone or another. Raises ``NotFound``."""
    if not ResidentSession.objects.filter(id=session_id, resident_id=resident_id, revoked_at=None).exists():
        raise NotFound("没有找到这次登录,可能已经退出了。")
    revoke(session_id)


def end_others(resident_id: UUID, *, current: UUID) -> int:
    """End all of hers but the one that asks. Returns how many."""
    others = [found.id for found in open_ones(resident_id) if found.id != current]
    for session_id in others:
        revoke(session_id)
    return len(others)


def _close_pages(resident_id: UUID, session_id: UUID | None) -> None:
    """Her open pages hear that this sign-in has ended; None: every one of hers."""
    try:
        fanout.publish(resident_id, {"ended": session_id.hex if session_id else ""})
    except (RedisError, OSError):  # Redis is away: a page that asks for anything is refused all the same
        log.warning("close_pages_failed")


@transaction.atomic
def forget(resident_id: UUID) -> None:
    """She was erased: her sessions end at once and no super-app leads to her any more.

    Nobody acts with her card any more, nor she with anybody's. Who comes again with the same super-app is somebody new.
    """
    hers = Q(resident_id=resident_id) | Q(patient__keeper_id=resident_id)
    FamilyLink.objects.filter(hers, withdrawn_at=None).update(withdrawn_at=timezone.now())
    Invitation.objects.filter(resident_id=resident_id).delete()
    ResidentSession.objects.filter(resident_id=resident_id, revoked_at=None).update(revoked_at=timezone.now())
    ExternalIdentity.objects.filter(resident_id=resident_id).delete()
    transaction.on_commit(partial(_close_pages, resident_id, None))


def issue_ticket(session_id: UUID) -> str:
    """A one-time ticket (30 s) with which a mini-program, which sends no Origin, may open its socket."""
    ticket = secrets.token_urlsafe(24)
    cache.set(f"ticket:{ticket}", session_id.hex, timeout=settings.WEBSOCKET_TICKET_TTL_S)
    return ticket


def redeem_ticket(ticket: str) -> None:
    """Use up a ticket. Raises ``NotSignedIn`` when it is unknown, used or too old."""
    if not isinstance(ticket, str) or len(ticket) > 64 or not cache.delete(f"ticket:{ticket}"):
        raise NotSignedIn(code="ticket_invalid")
