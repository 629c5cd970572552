"""What a hospital with connector "push" sets up itself: where its commands go, what signs them, and whether they arrive."""

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpcore
from django.db import transaction

from hospitals import audit, tenancy
from hospitals.addresses import addresses, system_resolve
from hospitals.audit import Actor
from hospitals.connectors import push
from hospitals.connectors.webhook import PING
from hospitals.exceptions import ConnectorUnavailable, NotFound, Outdated
from hospitals.models import Delivery, Hospital, WebhookEndpoint
from hospitals.outgoing import deadline
from hospitals.services import access, connecting, deliveries, feed
from hospitals.services.access import NewSecret

PING_S = 5.0  # a person waits for it, and a thread that serves residents
_SHOWN = ("environment", "url", "enabled", "created_at", "changed_at", "previous_until")


@dataclass(frozen=True, slots=True)
class Written:
    """``secret``: of a new endpoint, shown once; empty when it was there before."""

    told: dict[str, Any]
    secret: str


def read(environment: str) -> dict[str, Any]:
    """The endpoint as its hospital reads it. In a scope. Raises ``NotFound``."""
    return {name: getattr(_row(environment), name) for name in _SHOWN}


def _row(environment: str) -> WebhookEndpoint:
    row = WebhookEndpoint.objects.filter(environment=environment).first()
    if row is None:
        raise NotFound("还没有登记这个环境的接收地址。")
    return row


def check_url(environment: str, url: str) -> None:
    """Raises ``AddressRefused`` for what is never called. A name that is not known yet may still become known."""
    allowed = connecting.policy(environment)
    parsed = allowed.check_url(url)
    try:
        addresses(allowed, parsed.raw_host.decode("ascii"), parsed.port or 443, system_resolve)
    except httpcore.ConnectError:
        return


def write(*, hospital_id: UUID, environment: str, url: str, enabled: bool, if_match: str, actor: Actor) -> Written:
    """Make or change the endpoint. In its scope. Raises ``AddressRefused``, ``Outdated``."""
    check_url(environment, url)
    with transaction.atomic():
        _lock(hospital_id)
        row = WebhookEndpoint.objects.filter(environment=environment).first()
        if row is not None:
            feed.check_tag(read(environment), if_match)
        elif if_match:
            raise Outdated
        if row is not None and (row.url, row.enabled) == (url, enabled):
            return Written(read(environment), "")
        secret = "" if row else push.new_secret()
        if row is None:
            row = WebhookEndpoint(hospital_id=hospital_id, environment=environment, secret=secret)
        row.url, row.enabled = url, enabled
        row.save()
        _record("webhook.write", row, actor)
        return Written(read(environment), secret)


@transaction.atomic
def rotate(*, hospital_id: UUID, environment: str, overlap_s: int, actor: Actor) -> NewSecret:
    """A new secret; the one before signs as well for ``overlap_s`` more seconds. In its scope. Raises ``NotFound``."""
    _lock(hospital_id)
    row = _row(environment)
    made = NewSecret(push.new_secret(), access.end_of_old(overlap_s))
    row.secret, row.previous_secret, row.previous_until = made.secret, row.secret, made.old_until
    row.save()
    _record("webhook.rotate", row, actor)
    return made


def _lock(hospital_id: UUID) -> None:
    Hospital.objects.select_for_update(no_key=True).get(id=hospital_id)


def _record(action: str, row: WebhookEndpoint, actor: Actor) -> None:
    audit.record(action, actor=actor, hospital_id=row.hospital_id, entity="webhook", entity_id=row.id)


def ping(*, environment: str) -> Delivery:
    """Send one message that asks for nothing; how it went is on the log. In a scope. Raises ``WrongState`` without an
    endpoint in use."""
    hospital_id = tenancy.current()
    connector = connecting.of_endpoint(connecting.endpoint(hospital_id, environment))
    key = f"{PING}:{uuid4().hex}"
    attempt = Delivery(hospital_id=hospital_id, environment=environment, kind=PING, idempotency_key=key, number=1)
    connecting.let_go_of_database()
    began = time.monotonic()
    try:
        with deadline(PING_S):
            status = connector.ping(key)
    except ConnectorUnavailable as error:
        return deliveries.note(attempt, began, error=error)
    return deliveries.note(attempt, began, http_status=status)
