"""The one contract between this service and a hospital's system: commands go out, events come in.

All values are frozen and name no model; only ``hospitals.services`` turns them into rows. Money is integer fen
(1/100 yuan), times are aware datetimes, rooms are named by the hospital's own codes on its indoor map.
``appointment_id`` is *our* Appointment's id as a string, spelt as ``str(UUID)`` spells it; it is the visit's key on both sides.
"""

from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID


class EventType(StrEnum):
    """What a hospital tells us. The journey (companion.journey) names a transition for each."""

    APPOINTMENT_BOOKED = "appointment.booked"  # data: None
    APPOINTMENT_REFUSED = "appointment.refused"  # Reason
    APPOINTMENT_CANCELLED = "appointment.cancelled"  # Reason
    APPOINTMENT_NO_SHOW = "appointment.no_show"  # Reason
    SCHEDULE_STOPPED = "schedule.stopped"  # Reason
    ENCOUNTER_CHECKED_IN = "encounter.checked_in"  # QueuePosition
    QUEUE_CHANGED = "queue.changed"  # QueuePosition
    ENCOUNTER_CALLED = "encounter.called"  # QueuePosition
    ENCOUNTER_MISSED = "encounter.missed"  # MissedCall
    ENCOUNTER_STARTED = "encounter.started"  # None
    ENCOUNTER_FINISHED = "encounter.finished"  # None: the consultation is over
    INVOICE_ISSUED = "invoice.issued"  # Invoice
    INVOICE_PAID = "invoice.paid"  # Reference
    INVOICE_CANCELLED = "invoice.cancelled"  # Reference
    EXAMINATION_ORDERED = "examination.ordered"  # Examination
    EXAMINATION_COMPLETED = "examination.completed"  # Reference
    EXAMINATION_CANCELLED = "examination.cancelled"  # Reference
    REPORT_ISSUED = "report.issued"  # DiagnosticReport
    PRESCRIPTION_ISSUED = "prescription.issued"  # Prescription
    PRESCRIPTION_DISPENSED = "prescription.dispensed"  # Reference
    FOLLOW_UP_PLANNED = "follow_up.planned"  # FollowUp
    VISIT_CLOSED = "visit.closed"  # None: nothing more comes from the hospital but follow-up


@dataclass(frozen=True, slots=True)
class Reason:
    """Why, in the hospital's words for the resident; ``alternative`` may name what it offers instead."""

    text: str
    alternative: str = ""


@dataclass(frozen=True, slots=True)
class Reference:
    """Points at an invoice, examination or prescription by the hospital's own id."""

    id: str


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """Where the resident stands. ``wait_low_min``..``wait_high_min`` is an honest interval in minutes; None: unknown."""

    ticket: str  # 「70号」 is ticket "70"
    ahead: int
    now_serving: str
    room_code: str
    room_name: str  # 眼科检查一区
    place: str  # 7号楼1楼B区
    as_of: datetime
    wait_low_min: int | None = None
    wait_high_min: int | None = None


@dataclass(frozen=True, slots=True)
class MissedCall:
    """A passed number (过号). ``rule`` is the hospital's own: what she must do and how many go before her then."""

    rule: str
    requeue_after: int


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    name: str
    amount_fen: int


@dataclass(frozen=True, slots=True)
class Invoice:
    """``total_fen`` = ``insurance_fen`` + ``self_pay_fen`` = the sum of the lines (checked on parsing)."""

    id: str
    title: str
    lines: tuple[InvoiceLine, ...]
    total_fen: int
    insurance_fen: int
    self_pay_fen: int


@dataclass(frozen=True, slots=True)
class Examination:
    id: str
    name: str
    kind: str  # "laboratory" | "imaging" | "procedure"
    room_code: str
    room_name: str
    place: str
    preparation: str = ""
    fasting: bool = False
    invoice_id: str = ""  # must be paid first, if given


@dataclass(frozen=True, slots=True)
class Observation:
    """One line of a report. ``interpretation``: HL7 v3 codes N H L HH LL A; HH, LL and ``critical`` are panic values."""

    code: str  # LOINC or the hospital's own
    name: str
    value: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    interpretation: str = "N"


@dataclass(frozen=True, slots=True)
class DiagnosticReport:
    id: str
    name: str
    issued_at: datetime
    observations: tuple[Observation, ...] = ()
    conclusion: str = ""
    examination_id: str = ""


@dataclass(frozen=True, slots=True)
class MedicationRequest:
    """One medicine as the doctor prescribed it; the words of ``dosage`` are the prescription's, never ours."""

    id: str
    medicine: str
    dosage: str  # 每次1滴,每日4次
    route: str = ""
    days: int | None = None
    quantity: str = ""
    instructions: str = ""


@dataclass(frozen=True, slots=True)
class Prescription:
    id: str
    items: tuple[MedicationRequest, ...]
    pickup_room_code: str = ""
    pickup_place: str = ""
    invoice_id: str = ""


@dataclass(frozen=True, slots=True)
class FollowUp:
    due_on: date
    department: str
    instruction: str = ""


EventData = (
    Reason
    | Reference
    | QueuePosition
    | MissedCall
    | Invoice
    | Examination
    | DiagnosticReport
    | Prescription
    | FollowUp
    | None
)


@dataclass(frozen=True, slots=True)
class HospitalEvent:
    """One thing that happened in a hospital.

    ``event_id`` is unique within the hospital; ``sequence`` grows within one appointment (the hospital's order, whatever
    the order of arrival); ``occurred_at`` is the hospital's clock and is only ever shown, never used to order.
    """

    event_id: str
    type: EventType
    hospital_id: UUID
    appointment_id: str
    sequence: int
    occurred_at: datetime
    data: EventData = None


class CommandKind(StrEnum):
    BOOK = "book"
    CANCEL = "cancel"
    CHECK_IN = "check_in"
    PAY = "pay"


@dataclass(frozen=True, slots=True)
class PatientCard:
    """The real-name card a hospital needs to book. Never logged; encrypted wherever it is stored."""

    name: str
    id_number: str
    phone: str
    birth_date: date
    sex: str  # "male" | "female" | "unknown"


@dataclass(frozen=True, slots=True)
class PaidBill:
    """What PAY tells: a bill's self-pay part, paid online in one sum. A bill that has another sum by now is to be refused.

    ``receipt``: the payment gateway's own number of the transaction, under which its statement of account names it;
    ``order_number``: ours, which the gateway's statement names beside it.
    """

    invoice_id: str
    receipt: str
    amount_fen: int
    order_number: str
    gateway: str  # "alipay" | "wechat"; "": a bill of nothing, which no gateway saw; "sandbox" pays with invented money
    paid_at: datetime  # by the gateway's clock
    currency: str = "CNY"

    def as_data(self) -> dict[str, Any]:
        """As ``Command.data`` and as it is sent."""
        return {**asdict(self), "paid_at": self.paid_at.isoformat(timespec="seconds")}


@dataclass(frozen=True, slots=True)
class Command:
    """What the resident did, to be done in the hospital's system exactly once (``idempotency_key``)."""

    kind: CommandKind
    idempotency_key: str
    hospital_id: UUID
    appointment_id: str
    slot_identifier: str = ""  # the hospital's own id of the slot
    patient: PatientCard | None = None
    data: dict[str, Any] = field(default_factory=dict)  # PAY: PaidBill's; CANCEL: {"reason"}


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The hospital's answer to a command: ``accepted`` or not, its own reference, and its words when it refuses.

    Half an emoji in these becomes "?" and NUL is left out: an answer that no database can hold would be asked for again and
    again. ``http_status``: where it came by HTTP, for the log of deliveries alone.
    """

    accepted: bool
    reference: str = ""
    reason: str = ""
    http_status: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name in ("reference", "reason"):
            said: str = getattr(self, name)
            object.__setattr__(self, name, said.encode(errors="replace").decode().replace("\0", ""))


class Connector(Protocol):
    """One hospital's system. Raises ``hospitals.exceptions.ConnectorUnavailable`` (retryable) or ``ConnectorRefused``."""

    def execute(self, command: Command) -> Acknowledgement: ...
