"""What the resident is to do now."""

from dataclasses import dataclass

from companion.journey import AT_THE_DOOR, BEFORE_CHECK_IN, Journey, VisitState

S = VisitState


@dataclass(frozen=True, slots=True)
class NextStep:
    """What to do now. ``name`` is a key of data/journey/prompts.yaml's ``next``; ``part_id`` what it is about."""

    name: str
    part_id: str = ""


def next_step(journey: Journey) -> NextStep:
    """The one thing to do next: bills before what they pay for, then examinations, reports, medicine, follow-up."""
    if journey.awaits and journey.state in (S.BOOKED, S.REMINDED, S.CANCELLING):
        return NextStep("cancelling" if journey.state is S.CANCELLING else "unconfirmed")
    if journey.state in BEFORE_CHECK_IN or journey.state in AT_THE_DOOR or journey.state is S.IN_CONSULTATION:
        return NextStep(journey.state.value)
    if journey.state in {S.REFUSED, S.STOPPED, S.CANCELLED, S.NO_SHOW}:
        return NextStep("book_again")
    for payment in journey.payments:
        if payment.state == "issued":
            return NextStep("pay", payment.invoice.id)
    for part in journey.examinations:
        if part.state == "ordered":
            return NextStep("examination", part.examination.id)
    for report in journey.reports:
        if report.state == "issued":
            return NextStep("read_report", report.report.id)
    if any(part.state == "completed" for part in journey.examinations):
        return NextStep("await_report")
    for prescription in journey.prescriptions:
        if prescription.state == "issued":
            return NextStep("collect_medicine", prescription.prescription.id)
    if journey.state is S.CONSULTED:
        return NextStep("await_orders")
    return NextStep("follow_up" if journey.follow_up else "home")
