"""A scripted visit through a hospital's own connector, judged point by point: only a full pass may go live.

Each look does what is due (a command whose turn has come), reads what the hospital has sent, and judges. Nothing waits in
between: a hospital's engineer works the other side at her own pace, until all is decided or the time is up.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.core.cache import cache
from django.utils import timezone

from hospitals import tenancy
from hospitals.audit import Actor
from hospitals.connectors import codec
from hospitals.connectors.base import Command, CommandKind, EventType, HospitalEvent, Invoice, Reference
from hospitals.connectors.sandbox import desk
from hospitals.exceptions import Conflict, ConnectorRefused, ConnectorUnavailable, NotFound, WrongState
from hospitals.models import Appointment, ConformanceRun, Hospital, InboxEvent
from hospitals.models.webhooks import Environment
from hospitals.services import conformance_points, connecting, deliveries, onboarding, rehearsal
from hospitals.services.booking import card_of
from hospitals.services.conformance_points import Answer, Facts

E = EventType
OPEN_FOR = timedelta(hours=2)
LOOK_S = 300  # longer than all commands of one look may take
NO_SLOT = "no-such-slot"


@dataclass(frozen=True, slots=True)
class Due:
    """A command whose turn has come; ``name`` is how its answer is kept."""

    name: str
    kind: CommandKind
    appointment_id: str
    key: str
    data: dict[str, Any]
    slot: str = ""


def start(*, hospital_id: UUID, actor: Actor) -> ConformanceRun:
    """Begin: two test appointments, and the first commands. Raises ``Conflict`` while a run is under way or commands have no
    address to go to, and what ``rehearsal.create`` raises."""
    hospital = Hospital.objects.get(id=hospital_id)
    if connecting.by_endpoint(hospital):
        connecting.endpoint(hospital_id, Environment.SANDBOX)
    with tenancy.scope(hospital_id):
        open_run = ConformanceRun.objects.filter(finished_at=None, started_at__gt=timezone.now() - OPEN_FOR).first()
        if open_run is not None:
            raise Conflict("上一次测试还没有结束。", code="run_in_progress", run_id=str(open_run.id))
        made = [rehearsal.create(hospital_id=hospital_id, actor=actor, number=n) for n in (1, 2)]
        run = ConformanceRun.objects.create(
            hospital_id=hospital_id,
            connector=hospital.connector,
            record={
                "visit": str(made[0].appointment_id),
                "second": str(made[1].appointment_id),
                "stranger": str(uuid4()),
                "answers": {},
            },
        )
    return look(hospital_id=hospital_id, run_id=run.id, actor=actor)


def read(*, hospital_id: UUID, run_id: UUID) -> ConformanceRun:
    """Raises ``NotFound``."""
    with tenancy.scope(hospital_id):
        run = ConformanceRun.objects.filter(id=run_id).first()
    if run is None:
        raise NotFound
    return run


def look(
    *, hospital_id: UUID, run_id: UUID, actor: Actor, now_s: Callable[[], float] = time.monotonic
) -> ConformanceRun:
    """Do what is due, judge what is there, finish when all is decided. Raises ``NotFound``, ``Conflict`` (two at once)."""
    if not cache.add(f"conformance:{run_id}", 1, timeout=LOOK_S):
        raise Conflict("正在进行这一步,请稍后再看。", code="in_progress")
    try:
        run = read(hospital_id=hospital_id, run_id=run_id)
        if run.finished_at is None:
            _look(run, actor, now_s)
        return run
    finally:
        cache.delete(f"conformance:{run_id}")


def _look(run: ConformanceRun, actor: Actor, now_s: Callable[[], float]) -> None:
    with tenancy.scope(run.hospital_id):
        if run.connector == "sandbox":
            _let_the_sandbox_live(run, _facts(run))
        for due in _due(run, _facts(run)):
            before = run.record["answers"].get(due.name, {})
            attempt = before.get("attempts", 0) + 1
            answer = replace(_execute(run, due, attempt, now_s), attempts=attempt)
            run.record["answers"][due.name] = asdict(answer)
            run.save(update_fields=["record"])
        facts = _facts(run)
        time_is_up = timezone.now() > run.started_at + OPEN_FOR
        run.points = conformance_points.judge(facts, final=time_is_up)
        if all(point["passed"] is not None for point in run.points):
            run.finished_at = timezone.now()
            run.passed = all(point["passed"] for point in run.points)
        run.save(update_fields=["points", "passed", "finished_at"])
    if run.finished_at is not None:
        onboarding.conformance_finished(hospital_id=run.hospital_id, passed=bool(run.passed), actor=actor)


# --- commands -------------------------------------------------------------------------------------------------


def _due(run: ConformanceRun, facts: Facts) -> Iterator[Due]:
    """What is to be sent now, in order, each name once (or again while the hospital did not answer)."""
    for due in _script(run, facts):
        answer = run.record["answers"].get(due.name)
        if answer is None or not Answer(**answer).settled:
            yield due


def _script(run: ConformanceRun, facts: Facts) -> Iterator[Due]:
    visit, second, stranger = (run.record[name] for name in ("visit", "second", "stranger"))
    yield Due("book", CommandKind.BOOK, visit, f"book:{visit}", {})
    yield Due("book_again", CommandKind.BOOK, visit, f"book:{visit}", {})
    yield Due("book_unknown_slot", CommandKind.BOOK, stranger, f"book:{stranger}", {}, slot=NO_SLOT)
    yield Due("unknown_patient", CommandKind.CHECK_IN, stranger, f"check-in:{stranger}", {})
    yield Due("book_second", CommandKind.BOOK, second, f"book:{second}", {})
    if facts.came(E.APPOINTMENT_BOOKED, second=True):
        for name in ("cancel", "cancel_again"):
            yield Due(name, CommandKind.CANCEL, second, f"cancel:{second}", {"reason": "一致性测试"})
    if facts.came(E.APPOINTMENT_BOOKED):
        for name in ("check_in", "check_in_again"):
            yield Due(name, CommandKind.CHECK_IN, visit, f"check-in:{visit}", {})
    bills = [event.data.id for event in facts.of(E.INVOICE_ISSUED) if isinstance(event.data, Invoice)]
    for number, bill in enumerate(bills[:10]):
        if number == 0:
            yield Due(
                "pay_unknown",
                CommandKind.PAY,
                visit,
                f"pay:{visit}:none",
                {"invoice_id": "no-such-bill", "receipt": "TEST"},
            )
        for name in (f"pay:{bill}", f"pay_again:{bill}"):
            yield Due(
                name, CommandKind.PAY, visit, f"pay:{visit}:{bill}"[:160], {"invoice_id": bill, "receipt": "TEST"}
            )
    if facts.came(E.VISIT_CLOSED):
        yield Due("cancel_late", CommandKind.CANCEL, visit, f"cancel:{visit}", {"reason": "一致性测试"})


def _execute(run: ConformanceRun, due: Due, attempt: int, now_s: Callable[[], float]) -> Answer:
    """Send one command by the hospital's connector; what goes wrong is part of the answer."""
    row = Appointment.objects.select_related("slot").get(id=run.record["visit" if due.slot else _whose(run, due)])
    command = Command(
        kind=due.kind,
        idempotency_key=due.key,
        hospital_id=run.hospital_id,
        appointment_id=due.appointment_id,
        slot_identifier=due.slot or row.slot.identifier,
        patient=card_of(row) if due.kind is CommandKind.BOOK else None,
        data=due.data,
    )
    began = now_s()
    try:
        connector = connecting.connector(run.hospital, Environment.SANDBOX)
        got = deliveries.execute(connector, command, environment=Environment.SANDBOX, number=attempt)
        answer = Answer(got.accepted, got.reference, "", 0)
    except ConnectorRefused:
        answer = Answer(False, "", "", 0)
    except ConnectorUnavailable as error:
        answer = Answer(None, "", error.code, 0)
    return replace(answer, took_ms=int((now_s() - began) * 1000))


def _whose(run: ConformanceRun, due: Due) -> str:
    return "second" if due.appointment_id == run.record["second"] else "visit"


# --- what came ------------------------------------------------------------------------------------------------


def _facts(run: ConformanceRun) -> Facts:
    """All that is known of this run, from its rows alone."""
    answers = {name: Answer(**kept) for name, kept in run.record["answers"].items()}
    visit, late, dead = _events(run, "visit")
    second, late_too, dead_too = _events(run, "second")
    return Facts(run.hospital_id, answers, visit, second, late + late_too, dead + dead_too)


def _events(run: ConformanceRun, which: str) -> tuple[list[HospitalEvent], int, int]:
    """(events in the hospital's order, how many had a clock that is off, how many could not be used)."""
    events, off, dead = [], 0, 0
    for row in InboxEvent.objects.filter(appointment_key=run.record[which]).order_by("sequence", "received_at"):
        event = codec.parse_event(run.hospital_id, row.body.encode())
        events.append(event)
        off += abs((event.occurred_at - row.received_at).total_seconds()) > conformance_points.CLOCK_S
        dead += row.state == InboxEvent.State.DEAD
    return events, off, dead


def _let_the_sandbox_live(run: ConformanceRun, facts: Facts) -> None:
    """The pretended hospital has no engineer: its visit goes on by one step with each look."""
    if not facts.came(E.ENCOUNTER_CHECKED_IN) or facts.came(E.VISIT_CLOSED):
        return
    paid = {e.data.id for e in facts.of(E.INVOICE_PAID) if isinstance(e.data, Reference)}
    if facts.came(E.ENCOUNTER_FINISHED) and len(paid) < len(facts.of(E.INVOICE_ISSUED)):
        return
    with suppress(WrongState):  # it is the patient's turn
        desk.advance(run.record["visit"], "tick" if facts.came(E.ENCOUNTER_CALLED) else "call_mine")
