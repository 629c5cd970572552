"""What became of a resident's deed at her hospital: recorded in her visit, so that she is told by itself.

What a hospital accepts it also tells by events of its own; recorded here is that it agreed to a cancellation, that it refused
something, and that something never reached it.
"""

import structlog
from django.db import transaction

from companion import paying, visits
from companion.journey import OwnData, OwnEvent, Refusal
from companion.models import Incident, Visit
from hospitals.connectors.base import CommandKind, EventData, Reason
from hospitals.exceptions import CiphertextInvalid, KeyDestroyed
from hospitals.services.settling import CommandAnswered

log = structlog.get_logger(__name__)


@transaction.atomic
def on_command_answered(answer: CommandAnswered) -> None:
    """settings.HOSPITALS_ANSWER_SINK; in the transaction that ends the command."""
    if answer.outcome == "given_up":
        kind = Incident.Kind.UNDELIVERED
        Incident.objects.create(kind=kind, hospital_id=answer.hospital_id, codes=[f"command:{answer.kind}"])
    recorded = _recorded(answer)
    if recorded is None or not Visit.objects.filter(id=answer.appointment_id).exists():
        return
    happened, data = recorded
    try:
        visits.own_event(answer.appointment_id, happened, data, key=f"{happened.value}:{answer.command_id}")
    except KeyDestroyed:  # she was erased: nothing is put down about her any more
        return
    except CiphertextInvalid:  # something of the visit is damaged: what became of the command stands without it
        log.error("visit_unreadable", visit=str(answer.appointment_id), event_type=happened.value)
        return
    log.info("visit_event", visit=str(answer.appointment_id), event_type=happened.value, outcome=answer.outcome)


def _recorded(answer: CommandAnswered) -> tuple[OwnEvent, EventData | OwnData] | None:
    """None for what the hospital's own events tell: that it booked, refused to book, checked in, was paid."""
    because = answer.reason or "医院没有说明原因"
    if answer.kind is CommandKind.CANCEL:
        accepted = answer.outcome == "accepted"
        return (OwnEvent.CANCELLED, Reason("")) if accepted else (OwnEvent.CANCEL_REFUSED, Reason(because))
    invoice_id, receipt = str(answer.data.get("invoice_id", "")), str(answer.data.get("receipt", ""))
    if answer.outcome == "accepted" or answer.kind is CommandKind.BOOK:
        if answer.kind is CommandKind.PAY:
            paying.acknowledged(answer.appointment_id, invoice_id, receipt)
        return None
    if answer.kind is CommandKind.CHECK_IN:
        return OwnEvent.CHECK_IN_REFUSED, Reason(because)
    if answer.outcome == "refused" and paying.give_back(answer.appointment_id, invoice_id, receipt):
        because += "。已付的钱会原路退回"
    # Never delivered, it may be in the hospital's books all the same: a person looks, and the money stays until then.
    elif answer.outcome == "given_up" and (held := paying.hold(answer.appointment_id, invoice_id, receipt)):
        return OwnEvent.PAYMENT_HELD, Refusal(held, because)
    return OwnEvent.PAYMENT_REFUSED, Refusal(invoice_id, because)
