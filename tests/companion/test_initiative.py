"""What the companion brings up by itself: every state's words and card, and when it keeps silent."""

from datetime import date
from uuid import uuid4

import pytest
from django.utils import timezone

from companion import dialogue, prompts, tasks, visits
from companion.events import Ask, Event, Say, ShowCard
from companion.journey import TRANSITIONS, OwnEvent, VisitState
from companion.models import FamilyLink, Patient, Visit, VisitPrompt
from companion.wording import PROMPTS
from hospitals.connectors.base import (
    DiagnosticReport,
    EventType,
    Examination,
    FollowUp,
    HospitalEvent,
    Invoice,
    InvoiceLine,
    MedicationRequest,
    MissedCall,
    Observation,
    Prescription,
    Reason,
    Reference,
)
from tests.companion.clock import at
from tests.companion.hearing import heard

pytestmark = pytest.mark.usefixtures("now")

E = EventType
BILL = Invoice("i1", "检查费", (InvoiceLine("眼压检查", 5000),), 5000, 3000, 2000)
EXAM = Examination("e1", "泪膜检查", "procedure", "7-1-B-02", "检查二室", "7号楼1楼B区", "摘掉隐形眼镜", fasting=True)
DRUGS = Prescription("p1", (MedicationRequest("m1", "玻璃酸钠滴眼液", "每次1滴"),), "7-1-A-09", "7号楼1楼药房")


def report(mark: str = "L") -> DiagnosticReport:
    line = Observation("2823-3", "血钾", "6.8", "mmol/L", 3.5, 5.3, mark)
    return DiagnosticReport("r1", "电解质", timezone.now(), (line,), "", "e1")


# What happened → what is said by itself (a piece of it; "" for nothing), and the card. The hospital's events in order.
STATES: list[tuple[EventType, object, VisitState, str, str]] = [
    (E.APPOINTMENT_BOOKED, None, VisitState.BOOKED, "已确认您", "appointment"),
    (E.APPOINTMENT_REFUSED, Reason("号源已满"), VisitState.REFUSED, "没能确认这次预约:号源已满", "appointment"),
    (E.APPOINTMENT_CANCELLED, Reason("诊室检修"), VisitState.CANCELLED, "预约:诊室检修", "appointment"),
    (E.APPOINTMENT_NO_SHOW, Reason(""), VisitState.NO_SHOW, "医院记为未到", "appointment"),
    (E.SCHEDULE_STOPPED, Reason("医生临时手术"), VisitState.STOPPED, "停诊:医生临时手术", "appointment"),
    (E.ENCOUNTER_CHECKED_IN, 4, VisitState.CHECKED_IN, "取号成功,您是71号", "queue"),
    (E.QUEUE_CHANGED, 3, VisitState.WAITING, "", ""),  # a number that moves is shown, not said
    (E.QUEUE_CHANGED, 2, VisitState.WAITING, "前面还有2人", "queue"),
    (E.ENCOUNTER_CALLED, 0, VisitState.CALLED, "轮到您了", "queue"),
    (E.ENCOUNTER_STARTED, None, VisitState.IN_CONSULTATION, "我先不打扰您", "journey"),
    (E.ENCOUNTER_FINISHED, None, VisitState.CONSULTED, "看诊结束了", "journey"),
    (E.VISIT_CLOSED, None, VisitState.CLOSED, "您辛苦了", "journey"),
    (E.INVOICE_ISSUED, BILL, VisitState.BOOKED, "共50元", "invoice"),
    (E.EXAMINATION_ORDERED, EXAM, VisitState.BOOKED, "检查前要空腹", "examination"),
    (E.REPORT_ISSUED, "report", VisitState.BOOKED, "电解质的报告出来了", "report"),
    (E.PRESCRIPTION_ISSUED, DRUGS, VisitState.BOOKED, "请到7号楼1楼药房取药", "medicine"),
    (E.FOLLOW_UP_PLANNED, FollowUp(date(2026, 12, 8), "眼科"), VisitState.BOOKED, "12月8日到眼科复诊", "follow_up"),
]
# What follows a part that is there: it was paid, done, cancelled, fetched.
PARTS: list[tuple[EventType, object, EventType, str, str]] = [
    (E.INVOICE_ISSUED, BILL, E.INVOICE_PAID, "检查费缴费成功", "invoice"),
    (E.INVOICE_ISSUED, BILL, E.INVOICE_CANCELLED, "已撤销,不用缴了", "invoice"),
    (E.EXAMINATION_ORDERED, EXAM, E.EXAMINATION_COMPLETED, "泪膜检查做完了", "examination"),
    (E.EXAMINATION_ORDERED, EXAM, E.EXAMINATION_CANCELLED, "已取消,不用做了", "examination"),
    (E.PRESCRIPTION_ISSUED, DRUGS, E.PRESCRIPTION_DISPENSED, "药已经取好了", "medicine"),
]


@pytest.fixture()
def relative(resident) -> Patient:
    made = Patient.objects.create(
        keeper=resident, name="周国平", id_number="", phone="", birth_date="1958-01-01", sex="male"
    )
    FamilyLink.objects.create(resident=resident, patient=made, relation="spouse", consented_at=timezone.now())
    return made


@pytest.fixture()
def of_relative(resident, relative) -> Visit:
    made = Visit.objects.create(
        resident=resident,
        patient=relative,
        hospital_id=uuid4(),
        hospital_name="望川市中医院",
        department="中医科",
        start=at("11:00"),
    )
    visits.own_event(made.id, OwnEvent.TRIAGED)
    visits.own_event(made.id, OwnEvent.BOOKED)
    return made


def words(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Say)]


def shown(events: list[Event]) -> list[str]:
    return [event.kind for event in events if isinstance(event, ShowCard)]


@pytest.mark.django_db()
@pytest.mark.parametrize(("kind", "data", "state", "says", "card"), STATES, ids=[f"{s[0]}-{s[1]!s:.8}" for s in STATES])
def test_every_state_has_its_words_its_card_and_its_next_step(
    visit, session, happens, position, kind, data, state, says, card
) -> None:
    given = position(data) if isinstance(data, int) else report() if data == "report" else data
    happens(kind, given)
    visit.refresh_from_db()
    assert visit.state == state.value
    events = heard(session)
    if not says:
        assert events == []
        return
    assert says in words(events)[0]
    assert shown(events) == ([card] if card else [])
    assert words(events)[-1].startswith("下一步")
    assert heard(session) == [], "once"


@pytest.mark.django_db()
@pytest.mark.parametrize(("before", "part", "kind", "says", "card"), PARTS, ids=[str(p[2]) for p in PARTS])
def test_every_part_has_its_words_and_its_card(visit, session, happens, before, part, kind, says, card) -> None:
    happens(before, part)
    heard(session)
    happens(kind, Reference(part.id))
    events = heard(session)
    assert any(says in text for text in words(events))
    assert shown(events) == [card]


@pytest.mark.django_db()
def test_a_report_goes_before_the_medicine_until_that_is_fetched(visit, session, happens) -> None:
    """Then it is said how each is taken, and the card is the one that she needs for it."""
    happens(E.ENCOUNTER_FINISHED, None)
    happens(E.REPORT_ISSUED, report())
    heard(session)
    happens(E.PRESCRIPTION_ISSUED, DRUGS)
    assert shown(heard(session)) == ["report"]
    happens(E.PRESCRIPTION_DISPENSED, Reference(DRUGS.id))
    assert shown(heard(session)) == ["medicine"]


def test_the_matrix_leaves_no_event_out() -> None:
    told = {row[0] for row in STATES} | {row[2] for row in PARTS} | {E.ENCOUNTER_MISSED}
    assert {kind for kind in TRANSITIONS if isinstance(kind, EventType)} == told


@pytest.mark.django_db()
def test_a_passed_number_is_told_calmly_with_the_hospitals_rule(session, happens, position) -> None:
    happens(E.ENCOUNTER_CHECKED_IN, position(1))
    happens(E.ENCOUNTER_CALLED, position(0))
    heard(session)
    happens(E.ENCOUNTER_MISSED, MissedCall("请到诊室门口重新报到。", 3))
    events = heard(session)
    assert "不要着急。请到诊室门口重新报到。" in words(events)[0] and shown(events) == ["queue"]
    happens(E.ENCOUNTER_CALLED, position(0))
    assert "轮到您了" in words(heard(session))[0], "a second call is news"


@pytest.mark.django_db()
@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (E.REPORT_ISSUED, "report"),
        (E.INVOICE_ISSUED, BILL),
        (E.FOLLOW_UP_PLANNED, FollowUp(date(2026, 12, 8), "眼科")),
    ],
)
def test_at_night_she_sleeps_and_hears_of_it_in_the_morning(session, happens, now, monkeypatch, kind, data) -> None:
    told: list[object] = []
    now("23:00")
    happens(kind, report() if data == "report" else data)
    assert heard(session) == []
    monkeypatch.setattr(visits, "notify", lambda *who: told.append(who[0]))
    now("07:29", 1)
    tasks.send_due_reminders()
    assert told == [] and heard(session) == []
    now("07:30", 1)
    tasks.send_due_reminders()
    assert session.resident_id in told, "her open page is woken when the quiet hours end"
    told.clear()
    now("07:30", 3)
    tasks.send_due_reminders()
    assert told == [], "and not every morning for as long as she does not open it"
    assert heard(session)


@pytest.mark.django_db()
def test_at_night_in_the_hospital_everything_is_said(visit, session, happens, position, now) -> None:
    Visit.objects.filter(id=visit.id).update(start=at("22:30"))
    now("22:40")
    happens(E.ENCOUNTER_CHECKED_IN, position(1))
    happens(E.ENCOUNTER_STARTED)
    happens(E.ENCOUNTER_FINISHED)
    happens(E.INVOICE_ISSUED, BILL)
    assert any("检查费" in text for text in words(heard(session)))


@pytest.mark.django_db()
def test_a_critical_value_does_not_wait_for_the_morning(session, happens, now) -> None:
    now("23:00")
    happens(E.REPORT_ISSUED, report("HH"))
    told = words(heard(session))
    assert any("请现在就拿给医生" in text and "马上去急诊" in text for text in told)


@pytest.mark.django_db()
@pytest.mark.parametrize(("start", "said"), [("08:00", True), ("15:00", False)])
def test_a_stopped_clinic_is_told_at_night_only_where_she_would_set_out_for_nothing(
    visit, session, happens, now, start, said
) -> None:
    Visit.objects.filter(id=visit.id).update(start=at(start, 1))
    now("22:30")
    happens(E.SCHEDULE_STOPPED, Reason("医生临时手术"))
    assert bool(heard(session)) is said


@pytest.mark.django_db()
def test_fasting_is_told_in_the_words_of_the_hour(visit, session, happens, now) -> None:
    happens(E.EXAMINATION_ORDERED, EXAM)
    heard(session)
    journey = visits.journey_of(visit)
    now("20:00")
    assert "今晚十点以后不要吃" in words(prompts.events(visit, journey, "fasting", "e1", at("20:00")))[0]
    now("07:31", 1)
    morning = words(prompts.events(visit, journey, "fasting", "e1", at("20:00")))[0]
    assert "早饭先不要吃" in morning and "今晚" not in morning


@pytest.mark.django_db()
def test_a_family_members_prompt_names_him_and_offers_no_button_of_hers(of_relative, session, position) -> None:
    for number, (kind, data) in enumerate([(E.ENCOUNTER_CHECKED_IN, position(1)), (E.ENCOUNTER_CALLED, position(0))]):
        visits.on_hospital_event(_event(of_relative, kind, number + 1, data))
    events = heard(session)
    assert words(events) and all(text.startswith("周国平的就诊:") for text in words(events))
    assert any("轮到他了" in text for text in words(events)) and not any("您" in text for text in words(events))
    assert not any(isinstance(event, Ask) for event in events), "checking in there would be done for the wrong person"


@pytest.mark.django_db()
def test_two_visits_at_once_are_told_apart_and_the_next_step_is_hers(visit, of_relative, session, position) -> None:
    visits.on_hospital_event(_event(visit, E.ENCOUNTER_CHECKED_IN, 1, position(4)))
    visits.on_hospital_event(_event(of_relative, E.ENCOUNTER_CHECKED_IN, 1, position(3, ticket="12")))
    said = words(heard(session))
    assert "您是71号" in said[0]
    assert said[1].startswith("周国平的就诊:") and "他是12号" in said[1]
    assert said[2].startswith("下一步"), "of the patient the conversation is about"


@pytest.mark.django_db()
def test_nobody_is_told_twice_on_two_open_pages(resident, session, happens, position) -> None:
    other = dialogue.open_session(resident.id, None)
    happens(E.ENCOUNTER_CHECKED_IN, position())
    assert words(heard(session))
    assert words(heard(other)) == []


@pytest.mark.django_db()
def test_one_prompt_that_cannot_be_put_into_words_holds_up_no_other(
    visit, of_relative, session, position, monkeypatch
) -> None:
    visits.on_hospital_event(_event(of_relative, E.ENCOUNTER_CHECKED_IN, 1, position(3)))
    visits.on_hospital_event(_event(visit, E.ENCOUNTER_CHECKED_IN, 1, position(4)))
    readable = visits.journey_of

    def unreadable(row: Visit) -> object:
        if row.id == of_relative.id:
            raise ValueError
        return readable(row)

    monkeypatch.setattr(visits, "journey_of", unreadable)
    assert "您是71号" in words(heard(session))[0]
    monkeypatch.undo()
    assert any("周国平的就诊" in text for text in words(heard(session))), "it stayed due"


@pytest.mark.django_db()
def test_what_waited_is_not_said_once_it_is_settled(visit, session, happens, now) -> None:
    now("23:00")
    happens(E.INVOICE_ISSUED, BILL)
    happens(E.INVOICE_CANCELLED, Reference("i1"))
    now("08:00", 1)
    said = words(heard(session))
    assert not any("要缴" in text and "不用缴" not in text for text in said)
    assert VisitPrompt.objects.get(visit=visit, name="invoice_issued").said_at is None


def test_no_prompt_reproaches_or_hurries() -> None:
    for name, wording in PROMPTS.items():
        for word in ("怎么还", "又忘", "已经说过", "再说一次", "赶快", "快点"):
            assert word not in wording.say, name


def _event(visit: Visit, kind: EventType, sequence: int, data: object):
    return HospitalEvent(
        f"{visit.id}:{sequence}", kind, visit.hospital_id, str(visit.id), sequence, timezone.now(), data
    )
