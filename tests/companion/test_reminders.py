"""What is brought up later: at which time, in which words, once, and only while it still helps."""

from dataclasses import replace
from datetime import date, timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from companion import conversation, reminders, tasks, visits
from companion.events import Say, ShowCard
from companion.journey import Choice, Journey, OwnEvent, PrescriptionPart, Travel, VisitState
from companion.models import FamilyLink, Patient, Reminder, Visit, VisitPrompt
from companion.understanding.durations import minutes
from hospitals.connectors.base import (
    EventType,
    Examination,
    FollowUp,
    MedicationRequest,
    Prescription,
    Reference,
)
from hospitals.exceptions import CiphertextInvalid
from tests.companion.clock import TODAY, at
from tests.companion.hearing import heard

pytestmark = pytest.mark.usefixtures("now")


@pytest.fixture()
def sheet() -> Prescription:
    return Prescription(
        "p1",
        (
            MedicationRequest("m1", "苯磺酸氨氯地平片", "每次1片,每日1次", days=14),
            MedicationRequest("m2", "玻璃酸钠滴眼液", "每次1滴,每日4次", days=14),
            MedicationRequest("m3", "布洛芬缓释胶囊", "必要时服1粒"),
        ),
        pickup_place="药房",
    )


def words(session) -> list[str]:
    return [event.text for event in heard(session) if isinstance(event, Say)]


@pytest.mark.parametrize(
    ("dosage", "times"),
    [
        ("每次1片,每日1次", "08"),
        ("一日两次,一次一片", "08 20"),
        ("每天3次 饭后", "08 12 18"),
        ("每次1滴,每日4次", "08 12 16 20"),
        ("每晚睡前1片", "21"),
        ("每日1次,睡前服", "21"),
        ("早晚各1片", "08 20"),
        ("必要时服1粒", ""),
        ("每周一次", ""),
        ("每8小时1次", ""),
        ("隔日1次", ""),
        ("每日6次", ""),
        ("外用", ""),
    ],
)
def test_times_of_day_are_read_from_the_prescriptions_words(dosage: str, times: str) -> None:
    assert " ".join(f"{t:%H}" for t in reminders.times_of_day(dosage)) == times


@pytest.mark.parametrize(
    ("said", "long"),
    [
        ("路上要四十分钟", 40),
        ("四十来分钟", 40),
        ("一个半小时", 90),
        ("两个小时", 120),
        ("一个小时零十分", 70),
        ("半个钟头", 30),
        ("三刻钟", 45),
        ("25分钟", 25),
        ("一会儿就到", None),
    ],
)
def test_lengths_of_time_as_people_say_them(said: str, long: int | None) -> None:
    assert minutes(said) == long


def test_when_to_leave_follows_from_how_long_she_needs() -> None:
    start = at("10:00")
    assert reminders.leave_at(Journey(), start) == at("08:30")
    assert reminders.leave_at(Journey(travel_min=20), start) == at("09:10")


@pytest.mark.django_db()
def test_the_way_she_told_of_moves_the_reminder_and_leaves_one(visit, now) -> None:
    Visit.objects.filter(id=visit.id).update(start=at("10:00", 3))
    visits.own_event(visit.id, OwnEvent.TRAVEL_TOLD, Travel(90), key="a")
    visits.own_event(visit.id, OwnEvent.TRAVEL_TOLD, Travel(15), key="b")
    assert [r.due_at for r in Reminder.objects.filter(visit=visit, kind="leave_home")] == [at("09:15", 3)]


@pytest.mark.django_db()
def test_leaving_home_is_said_in_time_and_not_when_she_is_there(visit, session, happens, position, now) -> None:
    Visit.objects.filter(id=visit.id).update(start=at("10:00", 1))
    visits.own_event(visit.id, OwnEvent.TRAVEL_TOLD, Travel(60), key="a")
    words(session)
    now("08:31", 1)
    tasks.send_due_reminders()
    assert any("该出门了" in text for text in words(session))
    assert not any("该出门了" in text for text in words(session)), "said once"
    VisitPrompt.objects.filter(name="leave_home").update(said_at=None)
    happens(EventType.ENCOUNTER_CHECKED_IN, position())
    assert not any("该出门了" in text for text in words(session))


@pytest.mark.django_db()
def test_medicine_is_brought_up_at_its_times_in_the_prescriptions_words(visit, session, happens, sheet, now) -> None:
    Visit.objects.filter(id=visit.id).update(start=at("09:00"))
    happens(EventType.ENCOUNTER_FINISHED)
    happens(EventType.PRESCRIPTION_ISSUED, sheet)
    happens(EventType.PRESCRIPTION_DISPENSED, Reference("p1"))
    assert not Reminder.objects.filter(kind="medicine").exists(), "only if she wants it"
    visits.own_event(visit.id, OwnEvent.MEDICINE_REMINDERS, Choice(wanted=True), key="a")
    words(session)
    assert [r.due_at for r in Reminder.objects.filter(kind="medicine")] == [at("12:00")]

    now("12:01")
    tasks.send_due_reminders()
    said = words(session)
    assert any("玻璃酸钠滴眼液,医生写的用法是:每次1滴,每日4次。" in text for text in said)
    assert not any("氨氯地平" in text or "布洛芬" in text for text in said)
    assert [r.due_at for r in Reminder.objects.filter(kind="medicine", sent_at=None)] == [at("16:00")]

    now("08:00", 1)
    tasks.send_due_reminders()  # sixteen o'clock has missed its point; the next is planned all the same
    now("12:00", 1)
    tasks.send_due_reminders()
    assert Reminder.objects.filter(kind="medicine", sent_at=None).count() == 1

    visits.own_event(visit.id, OwnEvent.MEDICINE_REMINDERS, Choice(wanted=False), key="b")
    assert not Reminder.objects.filter(kind="medicine", sent_at=None).exists()


@pytest.mark.django_db()
def test_a_dose_of_hours_ago_is_not_brought_up_when_she_opens_the_page(visit, session, happens, sheet, now) -> None:
    Visit.objects.filter(id=visit.id).update(start=at("09:00"))
    happens(EventType.ENCOUNTER_FINISHED)
    happens(EventType.PRESCRIPTION_ISSUED, sheet)
    happens(EventType.PRESCRIPTION_DISPENSED, Reference("p1"))
    visits.own_event(visit.id, OwnEvent.MEDICINE_REMINDERS, Choice(wanted=True), key="a")
    words(session)
    now("12:00")
    tasks.send_due_reminders()
    now("13:30")
    assert not any("用药的时间" in text for text in words(session))


def test_reminders_end_with_the_course(sheet) -> None:
    journey = Journey(
        state=VisitState.CLOSED, prescriptions=(PrescriptionPart(sheet, "dispensed"),), medicine_reminders=True
    )
    start = at("09:00")
    assert [due.at for due in reminders.plan(journey, start, at("20:30"))] == [at("08:00", 1)]
    assert list(reminders.plan(journey, start, at("20:30", 14))) == []


def test_a_course_and_a_day_beyond_every_calendar_end_nothing_else(sheet) -> None:
    for_life = replace(sheet, items=(replace(sheet.items[0], days=10**10),))
    journey = Journey(
        state=VisitState.CLOSED,
        prescriptions=(PrescriptionPart(for_life, "dispensed"),),
        medicine_reminders=True,
        follow_up=FollowUp(date.min, "眼科"),
    )
    assert [due.at for due in reminders.plan(journey, at("09:00"), at("20:30"))] == [at("08:00", 1)]


@pytest.mark.django_db()
def test_a_reminder_that_cannot_be_sent_holds_up_nobody_elses(resident, visit, now, monkeypatch) -> None:
    other = Visit.objects.create(
        resident=resident,
        patient=visit.patient,
        hospital_id=uuid4(),
        hospital_name="望川市中医院",
        start=at("10:00", 1),
    )
    visits.own_event(other.id, OwnEvent.BOOKED)
    for due, of in ((at("09:00"), visit), (at("09:01"), other)):
        Reminder.objects.create(visit=of, kind=Reminder.Kind.FOLLOW_UP, due_at=due)

    def send(row, about, whole=tasks._send):
        if about.id == visit.id:
            raise CiphertextInvalid
        return whole(row, about)

    monkeypatch.setattr(tasks, "_send", send)
    assert tasks.send_due_reminders() == 1
    assert set(Reminder.objects.filter(due_at__lte=timezone.now(), sent_at=None).values_list("visit", flat=True)) == {
        visit.id
    }, "it is tried again"


@pytest.mark.django_db()
def test_at_night_what_can_wait_waits_and_what_cannot_is_said(visit, session, happens, position, now) -> None:
    happens(EventType.EXAMINATION_ORDERED, Examination("x1", "空腹血糖", "2-1", "检验科", "2号楼", "", fasting=True))
    words(session)
    VisitPrompt.objects.create(
        visit=visit, key="fasting:1", name="fasting", part_id="x1", by_itself=True, due_at=at("20:00")
    )
    now("22:00")
    assert words(session) == []
    happens(EventType.ENCOUNTER_CALLED, position(0))
    assert any("轮到您了" in text for text in words(session))
    now("07:31", 1)
    assert any("空腹" in text for text in words(session))


@pytest.mark.django_db()
def test_a_fasting_reminder_is_not_said_when_the_morning_is_over(visit, session, happens, now) -> None:
    happens(EventType.EXAMINATION_ORDERED, Examination("x1", "空腹血糖", "2-1", "检验科", "2号楼", "", fasting=True))
    words(session)
    VisitPrompt.objects.create(
        visit=visit, key="fasting:1", name="fasting", part_id="x1", by_itself=True, due_at=at("20:00")
    )
    now("11:00", 1)
    assert not any("空腹" in text for text in words(session))


@pytest.mark.django_db()
def test_a_family_members_reminder_says_whose_it_is(resident, visit, session, happens, now) -> None:
    words(session)
    other = Patient.objects.create(
        keeper=resident, name="周国平", id_number="", phone="", birth_date="1958-01-01", sex="male"
    )
    FamilyLink.objects.create(resident=resident, patient=other, relation="spouse", consented_at=timezone.now())
    mine = Visit.objects.create(
        resident=resident,
        patient=other,
        hospital_id=uuid4(),
        hospital_name="望川市中医院",
        department="中医科",
        start=at("15:00"),
    )
    visits.own_event(mine.id, OwnEvent.TRIAGED)
    visits.own_event(mine.id, OwnEvent.BOOKED)
    now("13:31")
    tasks.send_due_reminders()
    said = [text for text in words(session) if "该出门了" in text]
    assert said and all(text.startswith("周国平的就诊:") for text in said)


@pytest.mark.django_db()
def test_after_two_hours_the_ai_says_what_it_is_before_it_speaks_up(session, visit, happens, position, now) -> None:
    words(session)
    now("11:59")
    happens(EventType.ENCOUNTER_CHECKED_IN, position())
    assert conversation.LABEL not in words(session)
    now("12:01")
    happens(EventType.ENCOUNTER_CALLED, position(0))
    said = words(session)
    assert said[0] == conversation.LABEL and any("轮到您了" in text for text in said)
    happens(EventType.ENCOUNTER_MISSED)
    assert conversation.LABEL not in words(session)


@pytest.mark.django_db()
def test_silence_is_not_broken_by_the_notice(session, now) -> None:
    now("15:00")
    assert words(session) == []


@pytest.mark.django_db()
def test_a_follow_up_is_brought_up_the_morning_before_and_not_after_its_day(visit, session, happens, now) -> None:
    happens(EventType.ENCOUNTER_FINISHED)
    happens(EventType.FOLLOW_UP_PLANNED, FollowUp(TODAY + timedelta(days=10), "眼科", "带上报告。"))
    words(session)
    now("09:01", 9)
    tasks.send_due_reminders()
    events = heard(session)
    assert any(isinstance(e, Say) and "12月4日到眼科复诊" in e.text for e in events)
    assert any(isinstance(e, ShowCard) and e.kind == "follow_up" for e in events)
    VisitPrompt.objects.filter(name="follow_up_due").update(said_at=None)
    now("09:00", 12)
    assert not any("复诊" in text for text in words(session))
