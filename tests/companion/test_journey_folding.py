"""The visit's fold: order, repetition and loss of events cannot change where it stands."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from companion.journey import Happened, OwnEvent, VisitState
from companion.journey.folding import fold
from companion.journey.next_step import next_step
from hospitals.connectors.base import (
    MissedCall,
    Reason,
    Reference,
)
from tests.companion.whole_visit import BILL, OWN, WHOLE_VISIT, E, hospital, position


def test_the_whole_visit_passes_its_states_in_order() -> None:
    states = [state for _key, state in fold(WHOLE_VISIT).history]
    assert states == [
        VisitState.BOOKED,
        VisitState.CHECKED_IN,
        VisitState.WAITING,
        VisitState.CALLED,
        VisitState.IN_CONSULTATION,
        VisitState.CONSULTED,
        VisitState.CLOSED,
    ]
    assert fold(WHOLE_VISIT).state is VisitState.FOLLOW_UP


def test_parts_run_in_parallel_with_states_of_their_own() -> None:
    seen = fold(WHOLE_VISIT)
    assert [p.state for p in seen.payments] == ["paid"]
    assert [p.state for p in seen.examinations] == ["reported"]
    assert [p.state for p in seen.prescriptions] == ["dispensed"]


@given(st.permutations(WHOLE_VISIT), st.lists(st.sampled_from(WHOLE_VISIT), max_size=8))
def test_any_order_and_any_repetition_end_in_the_same_journey(order: list, again: list) -> None:
    assert fold([*order, *again]) == fold(WHOLE_VISIT)


@given(st.sets(st.integers(0, len(WHOLE_VISIT) - 1)), st.randoms(use_true_random=False))
def test_dropped_events_that_are_sent_again_heal_the_journey(dropped: set, random) -> None:
    arrived = [event for n, event in enumerate(WHOLE_VISIT) if n not in dropped]
    random.shuffle(arrived)
    fold(arrived)  # whatever is missing, it folds
    assert fold(arrived + [WHOLE_VISIT[n] for n in dropped]) == fold(WHOLE_VISIT)


def test_two_ahead_is_said_once_however_often_the_number_comes() -> None:
    events = OWN + hospital(
        (E.ENCOUNTER_CHECKED_IN, position(4)), (E.QUEUE_CHANGED, position(2)), (E.QUEUE_CHANGED, position(1))
    )
    assert [p.name for p in fold(events).prompts if p.name == "two_ahead"] == ["two_ahead"]


def test_a_late_queue_number_does_not_undo_the_call() -> None:
    events = OWN + hospital(
        (E.ENCOUNTER_CHECKED_IN, position(4)), (E.ENCOUNTER_CALLED, position(0)), (E.QUEUE_CHANGED, position(0))
    )
    assert fold(events).state is VisitState.CALLED


def test_a_prompt_that_is_no_longer_true_is_not_said() -> None:
    """She was called while her phone was off: on return she hears where things stand now."""
    names = [p.name for p in fold(WHOLE_VISIT).prompts]
    assert "called" not in names and "two_ahead" not in names and "invoice_issued" not in names
    assert "closed" in names


def test_a_passed_number_comes_back_and_is_called_again() -> None:
    events = OWN + hospital(
        (E.ENCOUNTER_CHECKED_IN, position(1)),
        (E.ENCOUNTER_CALLED, position(0)),
        (E.ENCOUNTER_MISSED, MissedCall("请到诊室门口重新报到,隔3位再叫您。", 3)),
        (E.QUEUE_CHANGED, position(2)),
        (E.ENCOUNTER_CALLED, replace(position(0), now_serving="70")),
    )
    seen = fold(events)
    assert seen.state is VisitState.CALLED
    assert [p.name for p in seen.prompts].count("called") == 1


def test_cancelled_by_her_stays_cancelled_when_the_hospital_confirms_the_booking_late() -> None:
    events = [*OWN, Happened("own.cancelled", OwnEvent.CANCELLED, 2, Reason("")), *hospital((E.APPOINTMENT_BOOKED,))]
    seen = fold(events)
    assert seen.state is VisitState.CANCELLED
    assert seen.ignored == ("h1",)


def test_a_stopped_clinic_ends_the_visit_with_its_reason() -> None:
    seen = fold(
        [*OWN, *hospital((E.APPOINTMENT_BOOKED,), (E.SCHEDULE_STOPPED, Reason("医生临时手术", "明天上午补诊")))]
    )
    assert seen.state is VisitState.STOPPED and seen.reason == Reason("医生临时手术", "明天上午补诊")
    assert next_step(seen).name == "book_again"


def test_a_paid_bill_is_not_asked_for_again_when_it_is_issued_late() -> None:
    paid_first = [*OWN, *hospital((E.ENCOUNTER_FINISHED,), (E.INVOICE_ISSUED, BILL), (E.INVOICE_PAID, Reference("i1")))]
    assert fold(reversed(paid_first)).unpaid == ()
