"""The sandbox as the contract sees it: commands in, each acted on once; what follows comes back as events."""

from typing import Any
from uuid import UUID

from django.db import transaction

from hospitals.connectors.base import Acknowledgement, Command, CommandKind, EventType, Reference
from hospitals.connectors.sandbox import desk
from hospitals.connectors.sandbox.desk import Stage
from hospitals.connectors.sandbox.models import SandboxClinic, SandboxSystem, SandboxVisit
from hospitals.connectors.sandbox.sending import tell
from hospitals.exceptions import ConnectorUnavailable, OutcomeUnknown, UnknownAppointment, WrongState


class SandboxConnector:
    """``hospitals.connectors.base.Connector`` onto the pretended system of the command's hospital."""

    def execute(self, command: Command) -> Acknowledgement:
        answer = self._execute(command)
        if SandboxSystem.objects.filter(hospital_id=command.hospital_id, broken="slow").exists():
            raise OutcomeUnknown  # done, and the answer comes too late
        return answer

    @transaction.atomic
    def _execute(self, command: Command) -> Acknowledgement:
        system = SandboxSystem.objects.filter(hospital_id=command.hospital_id).first()
        if system is None or system.broken == "down":
            raise ConnectorUnavailable
        if command.kind is CommandKind.BOOK:
            return self._book(system, command)
        try:
            visit = desk.locked(UUID(command.appointment_id))
        except UnknownAppointment as error:
            return Acknowledgement(accepted=False, reason=error.detail)
        if command.idempotency_key in visit.commands:
            return Acknowledgement(accepted=True, reference=str(visit.ticket or ""))
        try:
            if command.kind is CommandKind.CHECK_IN:
                desk.require(visit, Stage.BOOKED, Stage.OFF, Stage.MISSED, because="已经取过号了。")
                desk.take_ticket(visit)
            elif command.kind is CommandKind.CANCEL:
                if visit.stage != Stage.OFF:
                    desk.cancel(visit)
            elif command.kind is CommandKind.PAY:
                self._pay(visit, command.data)
        except WrongState as error:
            return Acknowledgement(
                accepted=False, reason=error.detail
            )  # not remembered: asked again it is refused again
        visit.commands = [*visit.commands, command.idempotency_key]
        visit.save(update_fields=["commands"])
        return Acknowledgement(accepted=True, reference=visit.appointment_id.hex[:12])

    def _book(self, system: SandboxSystem, command: Command) -> Acknowledgement:
        """Its slots are named department.doctor.day.time; it keeps the place and forgets the card."""
        if system.broken == "refuse":
            return Acknowledgement(accepted=False, reason="这个号医院窗口刚刚挂出去了")
        department, _dot, rest = command.slot_identifier.partition(".")
        clinic = SandboxClinic.objects.filter(system=system, department=department).first()
        if clinic is None or command.patient is None:
            return Acknowledgement(accepted=False, reason="医院没有这个号源")
        doctor, day, time = (rest.split(".") + ["", "", ""])[:3]
        half = "am" if time < "1200" else "pm"
        visit, created = SandboxVisit.objects.get_or_create(
            appointment_id=UUID(command.appointment_id),
            defaults={"clinic": clinic, "schedule": f"{department}.{doctor}.{day}.{half}"},
        )
        if created:
            tell(visit, EventType.APPOINTMENT_BOOKED)
        return Acknowledgement(accepted=True, reference=visit.appointment_id.hex[:12])

    @staticmethod
    def _pay(visit: SandboxVisit, paid: dict[str, Any]) -> None:
        invoice_id = str(paid.get("invoice_id", ""))
        due = {bill.id: bill.self_pay_fen for bill in desk.play_of(visit).invoices}
        if invoice_id not in due:
            raise WrongState("没有这笔费用。")
        if paid.get("amount_fen", due[invoice_id]) != due[invoice_id]:
            raise WrongState("这笔费用的金额已经变了。")
        if invoice_id not in visit.paid:
            visit.paid = [*visit.paid, invoice_id]
            visit.save(update_fields=["paid"])
            tell(visit, EventType.INVOICE_PAID, Reference(invoice_id))
