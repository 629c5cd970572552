"""Sending a command once more because somebody asked: the hospital, which lost it, or the commission's staff.

A command that is still on its way is the outbox's, and is only made due. One that was answered is sent again as it was, with
its key, so that a hospital that has it answers as before; what it says is on the log and changes nothing here.
"""

from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from hospitals import audit, tenancy
from hospitals.audit import Actor
from hospitals.dispatch import after_commit
from hospitals.exceptions import ConnectorError, Crowded, WrongState
from hospitals.models import Appointment, Delivery, OutboxCommand
from hospitals.services import circuit, connecting, deliveries, outbox

State = OutboxCommand.State
_HELD = (Appointment.State.PENDING, Appointment.State.BOOKED, Appointment.State.CHECKED_IN)


@transaction.atomic
def replay(*, hospital_id: UUID, delivery_id: UUID, actor: Actor) -> Delivery:
    """Have the command of this delivery sent soon. Raises ``NotFound``; ``WrongState`` for a test call, for what the hospital
    refused, for a booking whose place was given back, and for what is no longer kept."""
    with tenancy.scope(hospital_id):
        found = deliveries.find(delivery_id)
        command = found.command
        if command is None:
            raise WrongState("这是测试,没有可以重新送达的操作。", code="nothing_to_replay")
        if command.state == State.REFUSED:
            raise WrongState("医院已经拒绝这项操作,不能重新送达。", code="command_refused")
        if command.kind == "book" and command.appointment.state not in _HELD:
            raise WrongState("这个预约已经结束,不能重新送达。", code="appointment_ended")
        if not _kept(command.id).exists():
            raise WrongState("这项操作的内容已经清除,不能重新送达。", code="no_longer_kept")
        if command.state == State.GIVEN_UP:
            if not outbox.replay(hospital_id, command.id, actor=actor):
                raise WrongState("号已经退回,或居民后来又办了一次,不能重新送达。", code="given_up_for_good")
        elif command.state == State.WAITING:
            # one that is due sooner may be under way now, and nobody else may send it meanwhile
            far = timezone.now() + timedelta(seconds=outbox.CLAIM_S)
            mine = OutboxCommand.objects.filter(id=command.id, state=State.WAITING, next_attempt_at__gt=far)
            if mine.update(next_attempt_at=timezone.now()):
                after_commit("hospitals.tasks.deliver_command", str(hospital_id), str(command.id))
        else:
            after_commit("hospitals.tasks.redeliver_command", str(hospital_id), str(command.id))
        audit.record("delivery.replay", actor=actor, hospital_id=hospital_id, entity="delivery", entity_id=delivery_id)
        return deliveries.find(delivery_id)


def _kept(command_id: UUID) -> QuerySet[OutboxCommand]:
    """The command while its words are there; a booking's card goes with them (retention, erasure). In the hospital's scope."""
    return OutboxCommand.objects.filter(id=command_id, data__isnull=False)


def send(hospital_id: UUID, command_id: UUID) -> bool:
    """Send an answered command again, once; False when there was no place for another call. What comes of it is on the log."""
    try:
        with tenancy.scope(hospital_id), circuit.place(hospital_id):
            mine = _kept(command_id).filter(state=State.ACCEPTED)
            row = mine.select_related("appointment", "appointment__slot", "hospital").first()
            if row is not None:
                connector, command = connecting.connector(row.hospital), outbox.command_of(row)
                connecting.let_go_of_database()
                deliveries.execute(connector, command, of=row)
    except Crowded:
        return False
    except ConnectorError:
        return True  # it was asked for once, and is not tried again by itself
    return True
