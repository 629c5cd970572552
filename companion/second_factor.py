"""Staff's second factor: codes of an authenticator (TOTP, RFC 6238), each good once, and recovery codes for a lost phone.

Guessing is held back by account: who is here knows the password already.
"""

import base64
import hashlib
import secrets
import time

import structlog
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor import InvalidToken
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from companion.models import StaffFactor
from hospitals import audit
from hospitals.audit import Actor
from hospitals.services import limits
from hospitals.services.limits import Limit

log = structlog.get_logger(__name__)

ISSUER = "Companion"  # letters that are one byte each, so that the QR code stays small
STEP_S, DIGITS, SECRET_BYTES = 30, 6, 20
WRONG_CODES = Limit("staff-code", 5, 900)
RECOVERY_CODES, RECOVERY_BYTES = 8, 15
GIVEN = "second_factor"  # in the session: the factor that was given in it


def required() -> bool:
    """In production for everybody; in the demo for who has set one up."""
    return bool(settings.MODE == "production")


def of(user: User) -> StaffFactor | None:
    """The account's factor, once it is confirmed."""
    return StaffFactor.objects.filter(user_id=user.pk).exclude(confirmed_at=None).first()


def given(request: HttpRequest) -> bool:
    """Whether this session has given the factor that the account has now."""
    factor = of(request.user)  # type: ignore[arg-type]
    return factor is not None and request.session.get(GIVEN) == str(factor.id)


def lacking(request: HttpRequest) -> bool:
    """Whether this session must first give a factor, or set one up."""
    factor = of(request.user)  # type: ignore[arg-type]
    if factor is None:
        return required()
    return request.session.get(GIVEN) != str(factor.id)


def _totp(factor: StaffFactor) -> TOTP:
    # SHA-1 is what every authenticator knows; HMAC does not rest on its collisions.
    key = base64.b32decode(factor.secret)
    return TOTP(key, DIGITS, SHA1(), STEP_S, enforce_key_length=True)


def begin(user: User) -> tuple[str, str]:
    """(key as text, address for a QR code) of the factor that is being set up; the same until it is confirmed."""
    factor = StaffFactor.objects.filter(user_id=user.pk).first()
    if factor is None:
        secret = base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode()
        factor = StaffFactor.objects.create(user_id=user.pk, secret=secret)
    return factor.secret, _totp(factor).get_provisioning_uri(user.get_username(), ISSUER)


def _matches(factor: StaffFactor, code: str) -> bool:
    """Whether this is the code of now, or of the step before or after; each counts once."""
    now = int(time.time()) // STEP_S
    for step in (now - 1, now, now + 1):
        try:
            _totp(factor).verify(code.encode(), step * STEP_S)
        except InvalidToken:
            continue
        return bool(StaffFactor.objects.filter(id=factor.id, last_step__lt=step).update(last_step=step))
    return False


def _digest(code: str) -> str:
    """SHA-256 of 120 random bits: nothing that could be guessed, so no slow hash is needed."""
    return hashlib.sha256(code.replace("-", "").upper().encode()).hexdigest()


def _recovers(factor: StaffFactor, code: str) -> bool:
    """Whether this is a recovery code that was not used; it is used up."""
    with transaction.atomic():
        locked = StaffFactor.objects.select_for_update().get(id=factor.id)
        digest = _digest(code)
        if digest not in locked.recovery:
            return False
        StaffFactor.objects.filter(id=factor.id).update(recovery=[d for d in locked.recovery if d != digest])
        return True


def give(request: HttpRequest, code: str) -> bool:
    """Check a code or recovery code and remember it in the session. False for a wrong one, and after too many."""
    user: User = request.user  # type: ignore[assignment]
    factor, code = of(user), code.strip().replace(" ", "")
    if factor is None or limits.exhausted(WRONG_CODES, str(user.pk)):
        return False
    by_phone = len(code) == DIGITS
    if not (_matches(factor, code) if by_phone else _recovers(factor, code)):
        limits.count(WRONG_CODES, str(user.pk))
        log.warning("staff_sign_in_refused", code="wrong_code")
        return False
    _remember(request, factor, "staff.second_factor" if by_phone else "staff.recovery_code")
    return True


def confirm(request: HttpRequest, code: str) -> list[str]:
    """The first code of a new factor: from now on it is asked for. Returns the recovery codes, shown once; none if wrong."""
    user: User = request.user  # type: ignore[assignment]
    factor = StaffFactor.objects.filter(user_id=user.pk, confirmed_at=None).first()
    if factor is None or limits.exhausted(WRONG_CODES, str(user.pk)):
        return []
    if not _matches(factor, code.strip().replace(" ", "")):
        limits.count(WRONG_CODES, str(user.pk))
        return []
    codes = [base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode() for _ in range(RECOVERY_CODES)]
    StaffFactor.objects.filter(id=factor.id).update(confirmed_at=timezone.now(), recovery=[_digest(c) for c in codes])
    _remember(request, factor, "staff.factor_set_up")
    return ["-".join(code[n : n + 6] for n in range(0, len(code), 6)) for code in codes]


def _remember(request: HttpRequest, factor: StaffFactor, action: str) -> None:
    request.session.cycle_key()
    request.session[GIVEN] = str(factor.id)
    audit.record(action, actor=Actor("commission", request.user.get_username()), entity="account")


@transaction.atomic
def reset(user: User, *, actor: Actor, reason: str) -> bool:
    """Take the factor away, so that a new one can be set up; every session of it must give the new one. False without one."""
    gone, _rows = StaffFactor.objects.filter(user_id=user.pk).delete()
    if gone:
        audit.record("staff.factor_reset", actor=actor, entity="account", entity_id=user.get_username(), why=reason)
    return bool(gone)
