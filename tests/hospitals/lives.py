"""A resident who has used everything there is, at two hospitals; each word of hers is known, so that it can be looked for."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from uuid import UUID, uuid4

from django.db import transaction
from django.utils import timezone

from companion import booked, consents, visits
from companion.journey import OwnEvent
from companion.models import Conversation, Incident, PaymentOrder, Turn, TurnReview, Visit
from hospitals import tenancy
from hospitals.connectors.base import (
    DiagnosticReport,
    EventType,
    Examination,
    HospitalEvent,
    Invoice,
    InvoiceLine,
    MedicationRequest,
    Observation,
    PatientCard,
    Prescription,
    QueuePosition,
    Reason,
)
from hospitals.models import OutboxCommand
from hospitals.services import booking, inbox, waiting
from tests.companion.people import Person
from tests.hospitals.clinics import Clinic
from tests.hospitals.paid import paid

E = EventType
NOON = timezone.now().replace(hour=4, minute=0)


@dataclass
class Life:
    """``words``: whatever she, her hospitals and staff have said that is hers."""

    person: Person
    tag: str
    visits: list[UUID] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        given = [self.person.given[name] for name in ("name", "id_number", "phone")]
        return given + [
            f"{self.tag}{what}" for what in ("说的话", "结论", "药", "评语", "缘由", "检查", "账单", "备注")
        ]

    def card(self) -> PatientCard:
        p = self.person.patient
        return PatientCard(p.name, p.id_number, p.phone, date.fromisoformat(p.birth_date), p.sex)


def a_life(name: str, tag: str, *, born: str, phone: str) -> Life:
    person = Person(name, born, filled=False)
    from companion import people

    person.given |= {"phone": phone}
    people.create(resident_id=person.resident_id, relation="self", **person.given)
    return Life(person, tag)


def a_booking(life: Life, clinic: Clinic, *, by: Person | None = None, days: int = 2) -> UUID:
    """A place of hers some days from now, with its visit, as the port takes it."""
    start = (NOON + timedelta(days=days)).replace(second=0, microsecond=0)
    patient = life.person.patient
    wish = booking.wish(
        slot_id=clinic.slot(start=start).id,
        patient=life.card(),
        subject=patient.id,
        keeper=patient.keeper_id,
        idempotency_key=f"{life.person.resident_id}:{uuid4()}",
    )
    with transaction.atomic():
        made = booking.book(wish)
        visit = Visit(
            id=made.appointment_id,
            resident_id=(by or life.person).resident_id,
            patient=patient,
            hospital_id=clinic.hospital.id,
            hospital_name=clinic.hospital.name,
            department="眼科",
            practitioner="钱医生",
            start=start,
        )
        booked.begin(visit)
    life.visits.append(visit.id)
    return visit.id


def a_whole_visit(life: Life, clinic: Clinic, *, by: Person | None = None) -> UUID:
    """Booked, confirmed, checked in, called, examined, paid for, reported on, medicine dispensed; the payment still on its way."""
    visit_id, tag = a_booking(life, clinic, by=by, days=1), life.tag
    clinic.told_the_hospital()
    place = QueuePosition("70", 2, "68", "7-1-B-01", "一诊室", "7号楼", NOON)
    line = Observation("IOP", "眼压", "15", "mmHg", 10, 21)
    told = [
        (E.APPOINTMENT_BOOKED, None),
        (E.ENCOUNTER_CHECKED_IN, place),
        (E.ENCOUNTER_CALLED, place),
        (E.ENCOUNTER_STARTED, None),
        (E.INVOICE_ISSUED, Invoice("i1", f"{tag}账单", (InvoiceLine("眼压", 5000),), 5000, 3000, 2000)),
        (E.EXAMINATION_ORDERED, Examination("e1", f"{tag}检查", "procedure", "7-1-B-02", "二室", "7号楼")),
        (E.REPORT_ISSUED, DiagnosticReport("r1", "眼压报告", NOON, (line,), f"{tag}结论", "e1")),
        (E.PRESCRIPTION_ISSUED, Prescription("p1", (MedicationRequest("m1", f"{tag}药", "每次1滴"),))),
    ]
    for number, (kind, data) in enumerate(told, start=1):
        happens(clinic, visit_id, kind, data, number)
    clinic.settle()
    with transaction.atomic():
        booking.pay(appointment_id=visit_id, paid=paid("i1"))
        order = PaymentOrder.objects.create(visit_id=visit_id, invoice_id="i1", amount_fen=2000, engine="sandbox")
        PaymentOrder.objects.filter(id=order.id).update(state="paid", trade_number="t-1")
    visits.own_event(visit_id, OwnEvent.CANCEL_REFUSED, Reason(f"{tag}缘由"), key=uuid4().hex)
    return visit_id


def happens(clinic: Clinic, visit_id: UUID, kind: EventType, data: object = None, number: int = 1) -> None:
    event = HospitalEvent(uuid4().hex, kind, clinic.hospital.id, str(visit_id), number, NOON, data)  # type: ignore[arg-type]
    with tenancy.scope(clinic.hospital.id):
        inbox.store(event)


def a_talk(life: Life, *, about: Person | None = None) -> Conversation:
    who, tag = life.person, life.tag
    talk = Conversation.objects.create(
        resident=who.resident, patient=(about or who).patient, memory={"said": f"{tag}说的话"}
    )
    turn = Turn.objects.create(
        conversation=talk, resident_id=who.resident_id, number=1, said=f"{tag}说的话", answered=[f"{tag}说的话"]
    )
    TurnReview.objects.create(turn=turn, resident_id=who.resident_id, because="random", note=f"{tag}评语")
    Incident.objects.create(kind="complaint", conversation=talk, note=f"{tag}备注")
    return talk


def waits(life: Life, clinic: Clinic) -> None:
    """She is in line for a place, and another one is held for her."""
    today = timezone.localdate()
    waiting.join(
        department_id=clinic.department.id,
        subject=life.person.patient.id,
        first_day=today,
        last_day=today + timedelta(days=9),
    )
    slot = clinic.slot(of=clinic.schedule(period="evening"), start=NOON + timedelta(days=4))
    booking.hold(slot_id=slot.id, subject=life.person.patient.id)


def full(life: Life, *clinics: Clinic) -> Life:
    """All of it; at the second hospital a booking is still on its way, at the first one it has heard of it."""
    for clinic in clinics:
        a_whole_visit(life, clinic)
    a_booking(life, clinics[0], days=3)
    clinics[0].told_the_hospital()
    a_booking(life, clinics[-1], days=3)
    waits(life, clinics[0])
    a_talk(life)
    return life


def family(who: Life, acts: Life) -> None:
    """``acts`` may act for ``who`` from now on."""
    asked = consents.invite(resident_id=acts.person.resident_id, relation="mother")
    consents.accept(resident_id=who.person.resident_id, code=asked.code)


def waiting_commands(clinic: Clinic) -> dict[str, OutboxCommand]:
    with tenancy.scope(clinic.hospital.id):
        return {row.kind: row for row in OutboxCommand.objects.filter(state="waiting")}
