"""How a hospital joins: applied → verified → sandbox → conformance passed → live, and suspended or left.

Every move is one conditional UPDATE with a row of history (who, when, why) and an audit record in the same transaction.
The commission verifies, opens and suspends; the hospital fetches its own credentials with the claim it got when it applied.
"""

import hmac
import secrets
from dataclasses import dataclass
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from hospitals import audit, tenancy
from hospitals.audit import Actor
from hospitals.exceptions import Conflict, InvalidInput, Unauthenticated, UnknownHospital, WrongState
from hospitals.models import ApiClient, ConformanceRun, Hospital, HospitalApplication, OnboardingStep
from hospitals.personal import numbers_hidden
from hospitals.services import access, connecting, names, rehearsal
from hospitals.services.access import Environment, NewClient

State = Hospital.State
# From where each state may be reached.
_FROM: dict[str, tuple[str, ...]] = {
    State.APPLIED: (State.VERIFIED,),
    State.VERIFIED: (State.APPLIED,),
    State.SANDBOX: (State.VERIFIED, State.CONFORMANCE_PASSED, State.LIVE, State.SUSPENDED),
    State.CONFORMANCE_PASSED: (State.SANDBOX,),
    State.LIVE: (State.CONFORMANCE_PASSED, State.SUSPENDED),
    State.SUSPENDED: (State.LIVE, State.CONFORMANCE_PASSED, State.SANDBOX, State.VERIFIED),
    State.LEFT: (State.APPLIED, State.VERIFIED, State.SANDBOX, State.CONFORMANCE_PASSED, State.LIVE, State.SUSPENDED),
}
APPLICANT = Actor("hospital", "applicant")


@dataclass(frozen=True, slots=True)
class Contact:
    """Whom to call at the hospital; stored under its key."""

    name: str
    phone: str
    email: str


@dataclass(frozen=True, slots=True)
class Application:
    """``claim``: the secret for everything that follows, shown once; empty when read again."""

    hospital_id: UUID
    code: str
    state: str
    claim: str = ""


@dataclass(frozen=True, slots=True)
class Claimed:
    """Credentials of one environment, shown once. ``signing_secret``: for the hospital's events; empty once it is live,
    since it holds for both."""

    client: NewClient
    signing_secret: str


def apply(
    *,
    code: str,
    name: str,
    city: str,
    licence_number: str,
    contact: Contact,
    level: str = "",
    address: str = "",
    phone: str = "",
    connector: str = "push",
) -> Application:
    """A hospital asks to join. Raises ``Conflict`` when the code or the name is taken, or the name is another's nickname."""
    claim = access.new_claim()
    try:
        with transaction.atomic():
            row = Hospital(
                code=code, name=name, city=city, level=level, address=address, phone=phone, connector=connector
            )
            names.check_name(row.id, name)
            with tenancy.scope(row.id):
                row.save(force_insert=True)
                HospitalApplication.objects.create(
                    hospital=row,
                    licence_number=licence_number,
                    contact={"name": contact.name, "phone": contact.phone, "email": contact.email},
                    claim_digest=access.digest(claim),
                )
            _history(row.id, "", State.APPLIED, APPLICANT, "")
    except IntegrityError as error:
        raise Conflict("这个医院代码或名称已经有人申请。", code="already_applied") from error
    return Application(row.id, row.code, row.state, claim)


def applicant(hospital_id: UUID, claim: str) -> Application:
    """The application that this claim opens. Raises ``Unauthenticated``: a wrong id and a wrong claim look alike."""
    row = Hospital.objects.filter(id=hospital_id).first()
    with tenancy.scope(hospital_id):
        written = HospitalApplication.objects.filter(hospital_id=hospital_id).first()
    known = written.claim_digest if written else "0" * 64
    if not hmac.compare_digest(known, access.digest(claim)) or row is None:
        raise Unauthenticated
    return Application(row.id, row.code, row.state)


def claim_credentials(*, hospital_id: UUID, environment: str) -> Claimed:
    """The credentials of an environment, once it is open for this hospital. The first ones begin the sandbox.

    Raises ``WrongState`` before verification or going live, ``Conflict`` the second time.
    """
    with tenancy.scope(hospital_id), transaction.atomic():
        row = _locked(hospital_id)
        signing = ""
        if environment == Environment.SANDBOX:
            if row.state in (State.APPLIED, State.SUSPENDED, State.LEFT):
                raise WrongState("申请还没有通过核验。", code="not_verified")
            client = access.create_client(hospital_id=row.id, environment=environment, actor=APPLICANT)
            if row.state != State.LIVE:  # else it signs real events already
                signing = access.rotate_signing_secret(
                    hospital_id=row.id, environment=environment, actor=APPLICANT
                ).secret
            if row.state == State.VERIFIED:
                move(hospital_id=row.id, target=State.SANDBOX, actor=APPLICANT, reason="领取联调账号")
        else:
            if row.state != State.LIVE:
                raise WrongState("医院还没有上线。", code="not_live")
            client = access.create_client(hospital_id=row.id, environment=environment, actor=APPLICANT)
        return Claimed(client, signing)


# --- moves ----------------------------------------------------------------------------------------------------


def _locked(hospital_id: UUID) -> Hospital:
    """Locked in its scope, whatever the caller's: outside it the database shows no row that could be changed."""
    with tenancy.scope(hospital_id):
        # no_key: who writes a row of the hospital's need not wait
        row = Hospital.objects.select_for_update(no_key=True).filter(id=hospital_id).first()
    if row is None:
        raise UnknownHospital
    return row


def _history(hospital_id: UUID, source: str, target: str, actor: Actor, reason: str, action: str = "") -> None:
    """``action``: what it is on the audit log when it is no step from one state to another."""
    with tenancy.scope(hospital_id):
        OnboardingStep.objects.create(
            hospital_id=hospital_id,
            source=source,
            target=target,
            actor=(actor.name or actor.kind)[:150],
            reason=numbers_hidden(reason)[:300],
        )
    audit.record(
        f"onboarding.{action or target}",
        actor=actor,
        hospital_id=hospital_id,
        entity="hospital",
        entity_id=hospital_id,
        why=reason,
    )


@transaction.atomic
def move(*, hospital_id: UUID, target: str, actor: Actor, reason: str) -> str:
    """Take one step; returns the state it came from. Raises ``WrongState`` for a step that does not exist."""
    with tenancy.scope(hospital_id):
        row = _locked(hospital_id)
        source = row.state
        if source not in _FROM.get(target, ()):
            raise WrongState(f"现在是「{row.get_state_display()}」,不能这样操作。", code="no_such_step", state=source)
        row.state = target
        row.save(update_fields=["state", "changed_at"])
    _history(hospital_id, source, target, actor, reason)
    return source


def _because(reason: str) -> str:
    if not reason.strip():
        raise InvalidInput("请写明理由。", code="reason_missing")
    return reason.strip()


def verify(*, hospital_id: UUID, actor: Actor, reason: str) -> None:
    """The commission has checked the licence: the hospital may fetch its sandbox credentials."""
    move(hospital_id=hospital_id, target=State.VERIFIED, actor=actor, reason=_because(reason))


@transaction.atomic
def take_back_verification(*, hospital_id: UUID, actor: Actor, reason: str) -> None:
    """It was verified by mistake. Raises ``WrongState`` once the hospital has fetched credentials."""
    _locked(hospital_id)
    if ApiClient.objects.filter(hospital_id=hospital_id).exists():
        raise WrongState("医院已经领取过账号,不能撤回核验;可以暂停。", code="credentials_claimed")
    move(hospital_id=hospital_id, target=State.APPLIED, actor=actor, reason=_because(reason))


def _passes_today(row: Hospital) -> bool:
    """Whether the newest finished conformance run passed in full, with the connector that it has now."""
    with tenancy.scope(row.id):
        last = ConformanceRun.objects.exclude(finished_at=None).order_by("-started_at").first()
    return last is not None and bool(last.passed) and last.connector == row.connector


@transaction.atomic
def go_live(*, hospital_id: UUID, actor: Actor, reason: str) -> None:
    """Open to residents; what was rehearsed gives its places back.

    Raises ``WrongState`` unless the newest conformance run, with today's connector, passed in full, and what residents do has
    an address to go to.
    """
    with tenancy.scope(hospital_id):
        row = _locked(hospital_id)
        if not _passes_today(row):
            raise WrongState("还没有全部通过一致性测试。", code="conformance_not_passed")
        if connecting.by_endpoint(row):
            connecting.endpoint(hospital_id, Environment.LIVE)
        rehearsal.clear()
        ConformanceRun.objects.filter(finished_at=None).update(finished_at=timezone.now(), passed=False)
    move(hospital_id=hospital_id, target=State.LIVE, actor=actor, reason=_because(reason))


def conformance_finished(*, hospital_id: UUID, passed: bool, actor: Actor) -> None:
    """What a finished run means: a pass opens the way to going live, a failure before that closes it again."""
    state = Hospital.objects.values_list("state", flat=True).get(id=hospital_id)
    if passed and state == State.SANDBOX:
        move(hospital_id=hospital_id, target=State.CONFORMANCE_PASSED, actor=actor, reason="一致性测试全部通过")
    elif not passed and state == State.CONFORMANCE_PASSED:
        move(hospital_id=hospital_id, target=State.SANDBOX, actor=actor, reason="一致性测试未通过")


def suspend(*, hospital_id: UUID, actor: Actor, reason: str) -> None:
    """Not offered and not heard until it is resumed; its tokens and events are refused at once."""
    move(hospital_id=hospital_id, target=State.SUSPENDED, actor=actor, reason=_because(reason))


@transaction.atomic
def resume(*, hospital_id: UUID, actor: Actor, reason: str) -> None:
    """Open again where it was live until then and has passed with the connector it has now, else back to the sandbox.

    Out of rehearsals it goes live by ``go_live`` alone, which ends them.
    """
    row = _locked(hospital_id)
    suspended = OnboardingStep.objects.filter(hospital_id=hospital_id, target=State.SUSPENDED)
    last = suspended.exclude(source=State.SUSPENDED).last()
    target = State.LIVE if last and last.source == State.LIVE and _passes_today(row) else State.SANDBOX
    move(hospital_id=hospital_id, target=target, actor=actor, reason=_because(reason))


@transaction.atomic
def leave(*, hospital_id: UUID, actor: Actor, reason: str) -> None:
    """It is gone for good, or was never let in: credentials end; a name that was never verified is free again."""
    source = move(hospital_id=hospital_id, target=State.LEFT, actor=actor, reason=_because(reason))
    access.revoke_all(hospital_id)
    if source == State.APPLIED:
        mark = secrets.token_hex(4)
        with tenancy.scope(hospital_id):
            row = _locked(hospital_id)
            row.code, row.name = f"refused-{mark}", f"{row.name[:80]}(未通过 {mark})"
            row.save(update_fields=["code", "name", "changed_at"])


# --- mending --------------------------------------------------------------------------------------------------


@transaction.atomic
def set_connector(*, hospital_id: UUID, name: str, actor: Actor, reason: str) -> None:
    """How commands reach it from now on. A hospital that had passed, or is live, must pass again with the new one.

    Raises ``InvalidInput`` for a name that is not set up here, ``WrongState`` when it has left or has this one already.
    """
    row, why = _locked(hospital_id), _because(reason)
    if name not in connecting.known():
        raise InvalidInput("没有设置过这种对接方式。", code="connector_unknown")
    if row.state == State.LEFT:
        raise WrongState("医院已经退出。", code="no_such_step", state=row.state)
    if row.connector == name:
        raise WrongState("已经是这种对接方式。", code="connector_unchanged")
    source, why = row.state, f"对接方式:{row.connector} → {name}。{why}"
    row.connector = name
    if source in (State.CONFORMANCE_PASSED, State.LIVE):
        row.state = State.SANDBOX
    with tenancy.scope(hospital_id):
        row.save(update_fields=["connector", "state", "changed_at"])
        # a run that is under way has tried the old one
        ConformanceRun.objects.filter(finished_at=None).update(finished_at=timezone.now(), passed=False)
    _history(hospital_id, source, row.state, actor, why, action="connector")


@transaction.atomic
def correct(*, hospital_id: UUID, name: str, city: str, actor: Actor, reason: str) -> None:
    """Mend what was written wrongly in the application. Raises ``InvalidInput``, ``Conflict`` for another's name or nickname."""
    row, why = _locked(hospital_id), _because(reason)
    name, city = name.strip(), city.strip()
    if not name or not city:
        raise InvalidInput("名称和城市不能为空。")
    changed = [f"{old} → {new}" for old, new in ((row.name, name), (row.city, city)) if old != new]
    if not changed:
        raise InvalidInput("没有要更正的内容。", code="nothing_changed")
    if name != row.name:
        names.check_name(hospital_id, name)
    row.name, row.city = name, city
    try:
        with tenancy.scope(hospital_id), transaction.atomic():
            row.save(update_fields=["name", "city", "changed_at"])
    except IntegrityError as error:  # also where another takes the name at this moment
        raise Conflict("这个名称已经有人用了。", code="name_taken") from error
    _history(hospital_id, row.state, row.state, actor, f"更正:{';'.join(changed)}。{why}", action="corrected")


@transaction.atomic
def reissue_claim(*, hospital_id: UUID, actor: Actor, reason: str) -> str:
    """A new claim, shown once, in place of one that was lost or seen by others; the old one opens nothing any more.

    Raises ``WrongState`` when the hospital has left, ``UnknownHospital`` when it never applied.
    """
    row, why = _locked(hospital_id), _because(reason)
    if row.state == State.LEFT:
        raise WrongState("医院已经退出。", code="no_such_step", state=row.state)
    claim = access.new_claim()
    with tenancy.scope(hospital_id):
        if not HospitalApplication.objects.update(claim_digest=access.digest(claim)):
            raise UnknownHospital
    _history(hospital_id, row.state, row.state, actor, f"重发领取凭证。{why}", action="claim")
    return claim


@transaction.atomic
def end_client(*, hospital_id: UUID, environment: str, actor: Actor, reason: str) -> None:
    """The client of this environment and its tokens hold no longer; the claim fetches a new one.

    Raises ``InvalidInput`` when there is none.
    """
    row, why = _locked(hospital_id), _because(reason)
    access.end_client(hospital_id=hospital_id, environment=environment)
    label = Environment(environment).label
    _history(hospital_id, row.state, row.state, actor, f"停用{label}账号。{why}", action="client_ended")


@transaction.atomic
def end_signing_secrets(*, hospital_id: UUID, actor: Actor, reason: str) -> None:
    """The hospital's events are refused until it has fetched or rotated a new secret."""
    row, why = _locked(hospital_id), _because(reason)
    access.end_signing_secrets(hospital_id)
    _history(hospital_id, row.state, row.state, actor, f"停用事件签名密钥。{why}", action="signing_ended")


def history(hospital_id: UUID) -> list[OnboardingStep]:
    """Every move, oldest first."""
    return list(OnboardingStep.objects.filter(hospital_id=hospital_id))
