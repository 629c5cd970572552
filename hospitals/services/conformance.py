"""A scripted visit through a hospital's own connector, judged point by point: only a full pass may go live.

Each look does what is due (a command whose turn has come), reads what the hospital has sent, and judges. Nothing waits in
between: a hospital's engineer works the other side at her own pace, until all is decided or the time is up. Over HTTP a look
is only asked for; a worker does it, since a hospital may let each command wait.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import structlog
from django.core.cache import cache
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from hospitals import tenancy
from hospitals.audit import Actor
from hospitals.connectors import codec
from hospitals.connectors.base import Command, CommandKind, EventType, HospitalEvent, Invoice, PaidBill
from hospitals.connectors.sandbox import desk
from hospitals.dispatch import after_commit
from hospitals.exceptions import Conflict, ConnectorRefused, ConnectorUnavailable, HospitalsError, NotFound, WrongState
from hospitals.models import Appointment, ConformanceRun, Hospital, InboxEvent
from hospitals.models.webhooks import Environment
from hospitals.services import (
    conformance_checks,
    conformance_points,
    connecting,
    deliveries,
    newest,
    onboarding,
    rehearsal,
)
from hospitals.services.booking import card_of
from hospitals.services.conformance_checks import Answer, Facts

log = structlog.get_logger(__name__)

E = EventType
OPEN_FOR = timedelta(hours=2)
SEND_FOR_S = 60.0  # a look begins no further command after this; the next one goes on
LOOK_S = 150  # longer than that and one command
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
    """Begin with two test appointments; nothing is sent before the first look. Raises ``Conflict`` while a run is under way or
    commands have no address to go to, and what ``rehearsal.create`` raises."""
    with tenancy.scope(hospital_id), transaction.atomic():
        hospital = Hospital.objects.select_for_update(no_key=True).get(
            id=hospital_id
        )  # two starts at once wait for each other
        if connecting.by_endpoint(hospital):
            connecting.endpoint(hospital_id, Environment.SANDBOX)
        for open_run in ConformanceRun.objects.filter(finished_at=None):
            if open_run.started_at > timezone.now() - OPEN_FOR:
                raise Conflict(
                    "上一次测试还没有结束:请继续查看(look),或者中止它(abort)。",
                    code="run_in_progress",
                    run_id=str(open_run.id),
                )
            _finish(open_run, actor, final=True)
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
        run.points = conformance_points.judge(_facts(run))
        run.save(update_fields=["points"])
        return run


def read(*, hospital_id: UUID, run_id: UUID) -> ConformanceRun:
    """Raises ``NotFound``."""
    with tenancy.scope(hospital_id):
        run = ConformanceRun.objects.filter(id=run_id).first()
    if run is None:
        raise NotFound
    return run


def page(*, cursor: UUID | None = None, limit: int = 20) -> newest.Page:
    """In a scope. ``cursor``: the last run that was shown. Raises ``InvalidInput`` when there is none such."""
    return newest.page(ConformanceRun.objects.all(), "started_at", cursor=cursor, limit=limit)


def ask(*, hospital_id: UUID, run_id: UUID, actor: Actor) -> ConformanceRun:
    """Have a worker look; nothing more when one is asked already. Returns the run as it stands. Raises ``NotFound``."""
    run = read(hospital_id=hospital_id, run_id=run_id)
    if run.finished_at is None and cache.add(_asked(run_id), 1, timeout=LOOK_S):
        after_commit("hospitals.tasks.look_at_run", str(hospital_id), str(run_id), actor.kind, actor.name)
    return run


def looking(run: ConformanceRun) -> bool:
    """Whether a worker is looking, or is asked to: the report is worth reading again soon."""
    return run.finished_at is None and any(key in cache for key in (_asked(run.id), _busy(run.id)))


def _asked(run_id: UUID) -> str:
    return f"conformance:{run_id}:asked"


def _busy(run_id: UUID) -> str:
    return f"conformance:{run_id}"


def look(
    *, hospital_id: UUID, run_id: UUID, actor: Actor, now_s: Callable[[], float] = time.monotonic
) -> ConformanceRun:
    """Do what is due, judge what is there, finish when all is decided. Raises ``NotFound``, ``Conflict`` (two at once)."""
    if not cache.add(_busy(run_id), 1, timeout=LOOK_S):
        raise Conflict("正在进行这一步,请稍后再看。", code="in_progress")
    cache.delete(_asked(run_id))
    try:
        run = read(hospital_id=hospital_id, run_id=run_id)
        if run.finished_at is None:
            _look(run, actor, now_s)
        return run
    finally:
        cache.delete(_busy(run_id))


def abort(*, hospital_id: UUID, run_id: UUID, actor: Actor) -> ConformanceRun:
    """End a run now: what is not decided has failed. A run that has ended stays as it is. Raises ``NotFound``."""
    run = read(hospital_id=hospital_id, run_id=run_id)
    if run.finished_at is None:
        with tenancy.scope(hospital_id):
            _finish(run, actor, final=True, aborted=True)
    return read(hospital_id=hospital_id, run_id=run_id)


def _look(run: ConformanceRun, actor: Actor, now_s: Callable[[], float]) -> None:
    with tenancy.scope(run.hospital_id):
        if run.connector == "sandbox":
            _let_the_sandbox_live(run, _facts(run))
        ends = time.monotonic() + SEND_FOR_S
        for due in _due(run, _facts(run)):
            before = run.record["answers"].get(due.name, {})
            attempt = before.get("attempts", 0) + 1
            answer = replace(_execute(run, due, attempt, now_s), attempts=attempt)
            run.record["answers"][due.name] = asdict(answer)
            run.points = conformance_points.judge(_facts(run))
            if not _open(run).update(record=run.record, points=run.points):  # it was ended meanwhile
                break
            if time.monotonic() > ends:
                break
        _finish(run, actor, final=timezone.now() > run.started_at + OPEN_FOR)


def _open(run: ConformanceRun) -> "QuerySet[ConformanceRun]":
    return ConformanceRun.objects.filter(id=run.id, finished_at=None)


@transaction.atomic
def _finish(run: ConformanceRun, actor: Actor, *, final: bool, aborted: bool = False) -> None:
    """Judge; when all is decided the run is over and its places are free again. Once, whoever comes first. In its scope."""
    # The hospital before its run, as whoever ends runs from above does (onboarding): else each would wait for the other.
    Hospital.objects.select_for_update(no_key=True).get(id=run.hospital_id)
    run.points = conformance_points.judge(_facts(run), final=final, aborted=aborted)
    if all(point["passed"] is not None for point in run.points):
        run.finished_at, run.passed = timezone.now(), all(point["passed"] for point in run.points)
    if not _open(run).update(points=run.points, finished_at=run.finished_at, passed=run.passed):
        run.refresh_from_db()  # somebody else ended it
        return
    if run.finished_at is None:
        return
    rehearsal.clear(run.record["visit"], run.record["second"])
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
    bills = {event.data.id: event.data for event in facts.of(E.INVOICE_ISSUED) if isinstance(event.data, Invoice)}
    for number, bill in enumerate(list(bills.values())[:10]):
        if number == 0:
            nowhere = _paid(run, replace(bill, id="no-such-bill"))
            yield Due("pay_unknown", CommandKind.PAY, visit, f"pay:{visit}:none", nowhere)
            other = _paid(run, replace(bill, self_pay_fen=bill.self_pay_fen + 100), "OTHER")
            yield Due("pay_other_sum", CommandKind.PAY, visit, f"pay:{visit}:other-sum", other)
            if not facts.settled("pay_other_sum"):
                break  # a bill that was paid is refused whatever the sum
        for name in (f"pay:{bill.id}", f"pay_again:{bill.id}"):
            yield Due(name, CommandKind.PAY, visit, f"pay:{visit}:{bill.id}"[:160], _paid(run, bill))
    if facts.came(E.VISIT_CLOSED):
        yield Due("cancel_late", CommandKind.CANCEL, visit, f"cancel:{visit}", {"reason": "一致性测试"})


def _paid(run: ConformanceRun, bill: Invoice, number: str = "TEST") -> dict[str, Any]:
    """With invented money, the same however often the run is looked at."""
    at = timezone.localtime(run.started_at)
    return PaidBill(bill.id, number, bill.self_pay_fen, f"{number}-{run.id.hex}"[:32], "sandbox", at).as_data()


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
        connecting.let_go_of_database()
        got = deliveries.execute(connector, command, environment=Environment.SANDBOX, number=attempt)
        answer = Answer(got.accepted, got.reference, "", 0)
    except ConnectorRefused:
        answer = Answer(False, "", "", 0)
    except ConnectorUnavailable as error:
        wrong_settings = error.code in conformance_checks.BROKEN
        answer = Answer(None, "", error.code, 0, final=wrong_settings)
    except HospitalsError as error:
        answer = Answer(None, "", error.code, 0, final=True)
    except Exception:  # noqa: BLE001  a connector's own bug is a finding like any other
        log.exception("connector_failed", hospital=str(run.hospital_id), event_type=due.kind.value)
        answer = Answer(None, "", "connector_failed", 0, final=True)
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
    came = InboxEvent.objects.filter(appointment_key=run.record[which], body__isnull=False)
    for row in came.order_by("sequence", "received_at"):
        event = codec.parse_event(run.hospital_id, row.body.encode())
        events.append(event)
        off += abs((event.occurred_at - row.received_at).total_seconds()) > conformance_checks.CLOCK_S
        dead += row.state == InboxEvent.State.DEAD
    return events, off, dead


def _let_the_sandbox_live(run: ConformanceRun, facts: Facts) -> None:
    """The pretended hospital has no engineer: its visit goes on by one step with each look."""
    if not facts.settled("check_in_again"):
        return
    try:
        desk.advance(run.record["visit"], "call_mine")
    except WrongState:  # she is past that
        with suppress(WrongState):  # it is the patient's turn
            desk.advance(run.record["visit"], "tick")
