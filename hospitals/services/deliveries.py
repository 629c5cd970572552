"""The log of deliveries: each attempt to hand a command to a hospital's system, how it ended and how long it took.

Neither what was sent nor what the hospital said stands in it: ids, codes and times only.
"""

import time
from typing import Any
from uuid import UUID

from hospitals.connectors.base import Acknowledgement, Command, Connector
from hospitals.exceptions import ConnectorRefused, HospitalsError, NotFound, OutcomeUnknown
from hospitals.models import Delivery, OutboxCommand
from hospitals.models.webhooks import Environment
from hospitals.services import newest

Outcome = Delivery.Outcome


def execute(
    connector: Connector,
    command: Command,
    *,
    of: OutboxCommand | None = None,
    environment: str = Environment.LIVE,
    number: int = 0,
) -> Acknowledgement:
    """Send a command and note how that ended. In its hospital's scope. Raises what the connector raises.

    ``of``: the row that it was made from, whose attempts are counted; otherwise ``number`` says which this is.
    """
    attempt = Delivery(
        hospital_id=command.hospital_id,
        command=of,
        environment=environment,
        kind=command.kind.value,
        idempotency_key=command.idempotency_key,
        appointment_key=UUID(command.appointment_id),
        number=number,
    )
    began = time.monotonic()
    try:
        answer = connector.execute(command)
    except Exception as error:
        note(attempt, began, error=error)
        raise
    note(attempt, began, accepted=answer.accepted, http_status=answer.http_status)
    return answer


def note(
    attempt: Delivery,
    began: float,
    *,
    accepted: bool = True,
    http_status: int | None = None,
    error: Exception | None = None,
) -> Delivery:
    """Keep an attempt, begun at this monotonic second and just ended."""
    attempt.duration_ms = round((time.monotonic() - began) * 1000)
    attempt.outcome, attempt.http_status = Outcome.ACCEPTED if accepted else Outcome.REFUSED, http_status
    if error is not None:
        attempt.outcome = Outcome.FAILED
        attempt.code = error.code[:60] if isinstance(error, HospitalsError) else "connector_failed"
        attempt.http_status = error.extra.get("http_status") if isinstance(error, HospitalsError) else None
        if isinstance(error, ConnectorRefused):
            attempt.outcome = Outcome.REFUSED
        elif isinstance(error, OutcomeUnknown):
            attempt.outcome = Outcome.UNKNOWN
    if attempt.command_id:
        attempt.number = Delivery.objects.filter(command_id=attempt.command_id).count() + 1
    attempt.save(force_insert=True)
    return attempt


# --- reading ----------------------------------------------------------------------------------------------------


def page(
    *, outcome: str = "", appointment_id: UUID | None = None, cursor: UUID | None = None, limit: int = 100
) -> newest.Page:
    """In a scope. ``cursor``: the last delivery that was shown. Raises ``InvalidInput`` when there is none such."""
    rows = Delivery.objects.select_related("command")
    if outcome:
        rows = rows.filter(outcome=outcome)
    if appointment_id:
        rows = rows.filter(appointment_key=appointment_id)
    return newest.page(rows, "at", cursor=cursor, limit=limit)


def find(delivery_id: UUID) -> Delivery:
    """In a scope. Raises ``NotFound``."""
    row = Delivery.objects.select_related("command").filter(id=delivery_id).first()
    if row is None:
        raise NotFound
    return row


_SHOWN = (
    "id",
    "environment",
    "kind",
    "idempotency_key",
    "number",
    "at",
    "outcome",
    "http_status",
    "code",
    "duration_ms",
)


def shown(row: Delivery) -> dict[str, Any]:
    """As its hospital reads it. ``next_attempt_at``: when its command is tried again, if it still waits."""
    command = row.command
    waits = command is not None and command.state == OutboxCommand.State.WAITING
    return {name: getattr(row, name) for name in _SHOWN} | {
        "appointment_id": row.appointment_key,
        "command_state": command.state if command else "",
        "next_attempt_at": command.next_attempt_at if command and waits else None,
    }
