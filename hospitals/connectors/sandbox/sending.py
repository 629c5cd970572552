"""How the sandbox speaks: events are written with what happened, then signed and sent in order, until they are taken."""

from uuid import UUID

import httpx
import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from hospitals.connectors import codec, push
from hospitals.connectors.base import EventData, EventType
from hospitals.connectors.sandbox.models import SandboxMessage, SandboxSystem, SandboxVisit
from hospitals.dispatch import after_commit
from hospitals.exceptions import HospitalsError

log = structlog.get_logger(__name__)

DOOR = "/api/hospitals/v1/events/"
# Named by path: the door stands above the connectors.
ACCEPT = "hospitals.services.inbox.accept"
TIMEOUT_S = 10.0
BATCH = 200


def tell(visit: SandboxVisit, kind: EventType, data: EventData = None) -> None:
    """Something happened: write the event down with the visit's next number. In a transaction."""
    visit.sequence += 1
    visit.save(update_fields=["sequence"])
    hospital_id = visit.clinic.system_id
    now = timezone.now()
    event_id = f"{visit.appointment_id.hex}.{visit.sequence}"
    body = codec.encode(event_id, kind, str(visit.appointment_id), visit.sequence, now, data)
    SandboxMessage.objects.create(
        visit=visit, hospital_id=hospital_id, sequence=visit.sequence, type=kind.value, body=body.decode()
    )
    if settings.SANDBOX_HTTP:
        after_commit("hospitals.tasks.send_sandbox_events", str(hospital_id))
    else:
        transaction.on_commit(lambda: flush(hospital_id), robust=True)


def flush(hospital_id: UUID | None = None) -> int:
    """Send what is written and not yet taken, each visit's events in order. Returns how many were taken."""
    rows = SandboxMessage.objects.filter(sent_at=None)
    if hospital_id is not None:
        rows = rows.filter(hospital_id=hospital_id)
    stuck: set[UUID] = set()
    taken = 0
    for row in rows.order_by("created_at", "sequence")[:BATCH]:
        if row.visit_id in stuck:
            continue
        system = SandboxSystem.objects.get(hospital_id=row.hospital_id)
        try:
            _send(system, row)
        except (httpx.HTTPError, HospitalsError) as error:
            if isinstance(error, HospitalsError) and not error.retryable:
                log.warning("sandbox_event_refused", event_type=row.type, code=error.code)
            else:
                stuck.add(row.visit_id)
                SandboxMessage.objects.filter(id=row.id).update(attempts=row.attempts + 1)
                continue
        SandboxMessage.objects.filter(id=row.id).update(sent_at=timezone.now(), body=None)
        taken += 1
    return taken


def _send(system: SandboxSystem, row: SandboxMessage) -> None:
    """Raises ``httpx.HTTPError`` (no answer, 5xx, 429) or ``HospitalsError`` (refused)."""
    body = str(row.body).encode()
    headers = push.sign(system.secret, str(row.id), body)
    if not settings.SANDBOX_HTTP:
        import_string(ACCEPT)(hospital_id=row.hospital_id, body=body, headers=headers)
        return
    answer = httpx.post(
        settings.PUBLIC_URL + DOOR,
        content=body,
        headers={**headers, "hospital-code": system.code, "content-type": "application/json"},
        timeout=TIMEOUT_S,
    )
    if answer.status_code >= 500 or answer.status_code == 429:
        answer.raise_for_status()
    if answer.is_error:
        raise HospitalsError(code=f"http_{answer.status_code}")
