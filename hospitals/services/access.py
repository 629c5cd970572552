"""What a hospital calls us with: OAuth2 clients, their secrets and short-lived tokens. Only digests are kept.

A secret and a token are shown once, when they are made. Two secrets of a client may hold at once for a while, so that a
hospital changes them without a gap. A token holds only while its hospital may call: suspending one shuts its tokens too.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from hospitals import audit, tenancy
from hospitals.audit import Actor
from hospitals.connectors import push
from hospitals.exceptions import Conflict, Forbidden, InvalidInput, Unauthenticated
from hospitals.models import AccessToken, ApiClient, ApiSecret, Hospital, HospitalCredential, WebhookEndpoint

Environment = ApiClient.Environment
State = Hospital.State

TOKEN_TTL_S = 900
OVERLAP_S, LONGEST_OVERLAP_S = 86_400, 7 * 86_400
MOST_SECRETS = 2
# What each scope lets a client do; the token endpoint and the developer page read it.
SCOPES = {
    "directory:read": "读取本院目录",
    "directory:write": "写入本院目录",
    "conformance:run": "创建测试预约、运行一致性测试",
    "credentials:rotate": "更换本院的密钥",
    "webhooks:read": "查看接收地址和送达记录",
    "webhooks:write": "登记接收地址、重新送达",
}
# In which states of the hospital a client of this environment may call at all.
_OPEN = {
    Environment.SANDBOX: (State.VERIFIED, State.SANDBOX, State.CONFORMANCE_PASSED, State.LIVE),
    Environment.LIVE: (State.LIVE,),
}
_CLIENT_ID = re.compile(r"[a-z0-9-]{1,64}")
_SANDBOX_AFTER_LIVE = frozenset({"directory:read", "conformance:run", "credentials:rotate"})


@dataclass(frozen=True, slots=True)
class Credential:
    """Who calls: the only source of the hospital a request works for."""

    client_id: str
    hospital_id: UUID
    hospital_code: str
    environment: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class NewClient:
    """Shown once."""

    client_id: str
    client_secret: str
    environment: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NewSecret:
    """Shown once. ``old_until``: when the one before stops."""

    secret: str
    old_until: datetime


def digest(secret: str) -> str:
    """SHA-256 of 256 random bits: nothing that could be guessed, so no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_token() -> str:
    return "hct_" + secrets.token_urlsafe(32)


def new_claim() -> str:
    return "hcc_" + secrets.token_urlsafe(32)


def _new_secret() -> str:
    return "hcs_" + secrets.token_urlsafe(32)


@transaction.atomic
def create_client(*, hospital_id: UUID, environment: str, actor: Actor) -> NewClient:
    """The hospital's client in this environment, with its first secret. Raises ``Conflict`` when it has one."""
    if ApiClient.objects.filter(hospital_id=hospital_id, environment=environment, revoked_at=None).exists():
        raise Conflict("这个环境的账号已经领取过了,需要新密钥请更换。", code="already_claimed")
    secret = _new_secret()
    with tenancy.scope(hospital_id):
        row = ApiClient.objects.create(
            id=f"hc-{environment}-{secrets.token_hex(8)}",
            hospital_id=hospital_id,
            environment=environment,
            scopes=list(SCOPES),
        )
        ApiSecret.objects.create(client=row, digest=digest(secret))
    audit.record("client.create", actor=actor, hospital_id=hospital_id, entity="client", entity_id=row.id)
    return NewClient(row.id, secret, environment, tuple(row.scopes))


def _valid() -> Q:
    return Q(expires_at=None) | Q(expires_at__gt=timezone.now())


def client(client_id: str) -> ApiClient | None:
    """A client that may ask for tokens now; None for unknown, revoked, or of a hospital that may not call."""
    if not _CLIENT_ID.fullmatch(client_id):  # a database may not be able to look for it at all
        return None
    row = ApiClient.objects.select_related("hospital").filter(id=client_id, revoked_at=None).first()
    if row is None or row.hospital.state not in _OPEN[Environment(row.environment)]:
        return None
    return row


def check_secret(row: ApiClient, given: str) -> bool:
    """Whether this is one of the client's secrets that hold now; each is compared, in constant time."""
    offered = digest(given)
    good = False
    for known in ApiSecret.objects.filter(_valid(), client=row).values_list("digest", flat=True):
        good |= hmac.compare_digest(known, offered)
    return good


def keep_token(row: ApiClient, token: str, scopes: list[str]) -> None:
    """Remember an access token by its digest, and forget this client's expired ones."""
    now = timezone.now()
    with tenancy.scope(row.hospital_id):
        AccessToken.objects.filter(client=row, expires_at__lte=now).delete()
        AccessToken.objects.create(
            digest=digest(token), client=row, scopes=scopes, expires_at=now + timedelta(seconds=TOKEN_TTL_S)
        )


def credential(token: str) -> Credential:
    """Whose token this is. Raises ``Unauthenticated`` for unknown, expired, revoked, or of a hospital that may not call."""
    found = (
        AccessToken.objects.select_related("client__hospital")
        .filter(digest=digest(token), expires_at__gt=timezone.now(), client__revoked_at=None)
        .first()
    )
    if found is None:
        raise Unauthenticated
    owner, hospital = found.client, found.client.hospital
    if hospital.state not in _OPEN[Environment(owner.environment)]:
        raise Unauthenticated
    scopes = frozenset(found.scopes)
    if owner.environment == Environment.SANDBOX and hospital.state == State.LIVE:
        scopes &= _SANDBOX_AFTER_LIVE  # what residents see is changed by the live client alone
    return Credential(owner.id, hospital.id, hospital.code, owner.environment, scopes)


def require(who: Credential, scope: str) -> None:
    """Raises ``Forbidden`` without the scope."""
    if scope not in who.scopes:
        raise Forbidden(code="insufficient_scope", scope=scope)


def end_of_old(overlap_s: int) -> datetime:
    """When a secret stops that is changed now: in so many seconds, a week at most."""
    return timezone.now() + timedelta(seconds=max(0, min(overlap_s, LONGEST_OVERLAP_S)))


@transaction.atomic
def rotate_client_secret(*, client_id: str, overlap_s: int = OVERLAP_S, actor: Actor) -> NewSecret:
    """A new secret; the one before holds ``overlap_s`` longer, any older one stops at once."""
    secret, until = _new_secret(), end_of_old(overlap_s)
    with tenancy.scope(ApiClient.objects.values_list("hospital_id", flat=True).get(id=client_id)):
        row = ApiClient.objects.select_for_update().get(id=client_id)
        held = list(ApiSecret.objects.filter(_valid(), client=row).order_by("-created_at", "-id"))
        for number, old in enumerate(held):
            old.expires_at = min(filter(None, (old.expires_at, until))) if number < MOST_SECRETS - 1 else timezone.now()
            old.save(update_fields=["expires_at"])
        ApiSecret.objects.create(client=row, digest=digest(secret))
    audit.record("client.rotate", actor=actor, hospital_id=row.hospital_id, entity="client", entity_id=row.id)
    return NewSecret(secret, until)


@transaction.atomic
def rotate_signing_secret(
    *, hospital_id: UUID, environment: str, overlap_s: int = OVERLAP_S, actor: Actor
) -> NewSecret:
    """A new secret for the hospital's events, in the same manner. ``environment``: of the client that asks.

    Raises ``Forbidden`` to the sandbox's once the hospital is live: real events are signed with this secret.
    """
    kind = HospitalCredential.Kind.EVENTS
    secret, until = push.new_secret(), end_of_old(overlap_s)
    with tenancy.scope(hospital_id):
        row = Hospital.objects.select_for_update().get(id=hospital_id)
        if environment == Environment.SANDBOX and row.state in (State.LIVE, State.SUSPENDED):
            raise Forbidden("医院上线以后,事件签名密钥只能用正式账号更换。", code="live_credentials")
        held = HospitalCredential.objects.filter(_valid(), kind=kind).order_by("-created_at")
        for number, old in enumerate(list(held)):
            ends = min(filter(None, (old.expires_at, until))) if number < MOST_SECRETS - 1 else timezone.now()
            HospitalCredential.objects.filter(id=old.id).update(expires_at=ends)
        HospitalCredential.objects.create(hospital_id=hospital_id, kind=kind, secret=secret)
        audit.record(
            "signing_secret.rotate", actor=actor, hospital_id=hospital_id, entity="hospital", entity_id=hospital_id
        )
    return NewSecret(secret, until)


def end_client(*, hospital_id: UUID, environment: str) -> None:
    """This client and its tokens hold no longer. In a transaction. Raises ``InvalidInput`` when there is none."""
    with tenancy.scope(hospital_id):
        mine = ApiClient.objects.filter(hospital_id=hospital_id, environment=environment)
        if not mine.filter(revoked_at=None).update(revoked_at=timezone.now()):
            raise InvalidInput("这个环境没有在用的账号。", code="no_client")
        AccessToken.objects.filter(client__in=mine).delete()


def end_signing_secrets(hospital_id: UUID) -> None:
    """No secret signs this hospital's events any more."""
    kind = HospitalCredential.Kind.EVENTS
    with tenancy.scope(hospital_id):
        HospitalCredential.objects.filter(_valid(), kind=kind).update(expires_at=timezone.now())


def revoke_all(hospital_id: UUID) -> None:
    """No client, token, signing secret or endpoint of this hospital holds any more. In a transaction."""
    now = timezone.now()
    with tenancy.scope(hospital_id):
        AccessToken.objects.filter(client__hospital_id=hospital_id).delete()
        ApiClient.objects.filter(hospital_id=hospital_id, revoked_at=None).update(revoked_at=now)
        HospitalCredential.objects.filter(_valid()).update(expires_at=now)
        WebhookEndpoint.objects.update(enabled=False)
