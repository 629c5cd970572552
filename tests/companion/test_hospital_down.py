"""What she hears while her hospital's system is away, and when it is back: the truth, by itself, and nothing twice."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from companion import dialogue, fanout
from companion.background import in_thread
from companion.desks.visit import VisitDesk
from companion.events import Event, Say, ShowCard
from companion.models import FamilyLink, Incident, Patient, Resident, Visit
from hospitals import tenancy
from hospitals.connectors import push
from hospitals.connectors.base import EventType, Invoice, InvoiceLine
from hospitals.connectors.sandbox.models import SandboxClinic, SandboxSystem, SandboxVisit
from hospitals.connectors.sandbox.sending import flush, tell
from hospitals.models import Circuit, HospitalCredential, OutboxCommand, Slot
from hospitals.services import inbox, outbox
from tests.companion.hearing import heard
from tests.hospitals.clinics import Clinic, a_clinic
from tests.hospitals.own_rows import change

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Hers:
    """A resident who talks, and her hospital: a sandbox that does what a test lets it do."""

    clinic: Clinic
    session: dialogue.Session
    slot: Slot

    def breaks(self, how: str) -> None:
        SandboxSystem.objects.update(broken=how)
        with tenancy.scope(self.clinic.hospital.id):
            Circuit.objects.all().delete()
        self.goes_on()

    def goes_on(self) -> None:
        """What workers and beat do: commands that are due, events that came."""
        with tenancy.scope(self.clinic.hospital.id):
            OutboxCommand.objects.filter(state="waiting").update(next_attempt_at=timezone.now())
        while outbox.sweep():
            pass
        flush()
        while inbox.sweep(after_s=0):
            pass

    def refuses(self, kind: str, why: str) -> None:
        with tenancy.scope(self.clinic.hospital.id):
            row = OutboxCommand.objects.select_related("appointment__slot", "hospital").get(kind=kind, state="waiting")
            outbox._end(row, "refused", why)

    def gives_up(self) -> None:
        with tenancy.scope(self.clinic.hospital.id):
            OutboxCommand.objects.filter(state="waiting").update(
                retry_until=timezone.now() - timedelta(seconds=1), next_attempt_at=timezone.now()
            )
        outbox.sweep()
        inbox.sweep(after_s=0)

    def hears(self) -> str:
        return words(heard(self.session))

    async def taps(self, **action: Any) -> list[Event]:
        return [event async for event in dialogue.turn(self.session, uuid4().hex, "", action)]


def words(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Say))


def card(events: list[Event]) -> dict[str, Any]:
    return next(event.data for event in reversed(events) if isinstance(event, ShowCard))


def _hers() -> Hers:
    resident = Resident.objects.create(name="陈玉兰", phone="10000000001")
    patient = Patient.objects.create(
        keeper=resident,
        name="陈玉兰",
        id_number="990101196101150028",
        phone="10000000001",
        birth_date="1961-01-15",
        sex="female",
    )
    FamilyLink.objects.create(resident=resident, patient=patient, relation="self", consented_at=timezone.now())
    Resident.objects.update(quiet_from="03:00", quiet_until="03:00")
    clinic = a_clinic(connector="sandbox", cancel_until_min=0)
    secret = push.new_secret()
    with tenancy.scope(clinic.hospital.id):
        HospitalCredential.objects.create(kind="events", secret=secret, hospital=clinic.hospital)
    system = SandboxSystem.objects.create(
        hospital_id=clinic.hospital.id, code="lake", secret=secret, missed_rule="过号重排"
    )
    room = {"name": "眼科", "script": "eye", "room_code": "R1", "room_name": "一诊室", "place": "1楼"}
    SandboxClinic.objects.create(system=system, department="eye", **room)
    slot = clinic.slot(start=timezone.now() + timedelta(hours=30))
    change(Slot, slot.id, identifier="eye.d1.20260302.0900")
    return Hers(clinic, dialogue.open_session(resident.id, None), slot)


@pytest.fixture()
async def hers() -> AsyncIterator[Hers]:
    yield await in_thread(_hers)


async def test_while_it_is_down_she_hears_that_it_is_not_confirmed_and_by_itself_when_it_is(hers: Hers) -> None:
    await in_thread(hers.breaks, "down")
    booked = await hers.taps(kind="book", slot_id=str(hers.slot.id))
    assert "正等医院确认" in words(booked) and "约好" not in words(booked)
    assert "这个号给您留着" in words(booked)
    assert card(booked)["awaits"] == "book"
    await in_thread(hers.goes_on)
    assert await in_thread(hers.hears) == "", "nothing has changed"
    await in_thread(hers.breaks, "")
    assert "已确认您" in await in_thread(hers.hears)
    await in_thread(hers.goes_on)
    assert await in_thread(hers.hears) == "", "once"


async def test_a_hospital_that_answers_within_a_moment_is_heard_as_booked_at_once(
    hers: Hers, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Page:
        def heard(self, message: dict[str, Any] | None) -> None: ...
        def make_room(self) -> None: ...

    book_now = VisitDesk.book_now

    def and_the_hospital_answers(*args: Any) -> Any:
        made = book_now(*args)
        hers.goes_on()
        return made

    monkeypatch.setattr(VisitDesk, "book_now", and_the_hospital_answers)
    page = Page()
    await fanout.fanout().join(hers.session.resident_id, page)
    booked = await hers.taps(kind="book", slot_id=str(hers.slot.id))
    fanout.fanout().leave(hers.session.resident_id, page)
    assert "已为陈玉兰约好" in words(booked) and "等医院" not in words(booked)
    assert card(booked)["awaits"] == ""
    assert await in_thread(hers.hears) == "", "not a second time"


async def test_never_delivered_is_told_and_looked_at_and_the_place_is_on_sale_again(hers: Hers) -> None:
    await in_thread(hers.breaks, "down")
    await hers.taps(kind="book", slot_id=str(hers.slot.id))
    await in_thread(hers.gives_up)
    assert "没能确认这次预约:医院的系统一直没有应答" in await in_thread(hers.hears)
    assert await in_thread(lambda: list(Incident.objects.values_list("kind", flat=True))) == ["undelivered"]
    assert (await in_thread(hers.clinic.balance, hers.slot))[0] == 1


async def booked(hers: Hers) -> str:
    await hers.taps(kind="book", slot_id=str(hers.slot.id))
    await in_thread(hers.goes_on)
    await in_thread(hers.hears)
    return str((await in_thread(lambda: Visit.objects.get())).id)


async def test_a_cancellation_is_only_submitted_until_the_hospital_agrees(hers: Hers) -> None:
    visit = await booked(hers)
    await in_thread(hers.breaks, "down")
    told = await hers.taps(kind="cancel", visit_id=visit)
    assert "已提交取消,医院确认后号源退回" in words(told) and card(told)["awaits"] == "cancel"
    assert (await in_thread(hers.clinic.balance, hers.slot)) == (0, 0, 1)
    await in_thread(hers.breaks, "")
    assert "医院已确认取消" in await in_thread(hers.hears)
    assert (await in_thread(hers.clinic.balance, hers.slot)) == (1, 0, 0)


async def test_a_cancellation_the_hospital_refuses_is_told_and_can_be_asked_again(hers: Hers) -> None:
    visit = await booked(hers)
    await hers.taps(kind="cancel", visit_id=visit)
    await in_thread(hers.refuses, "cancel", "当天的号不能线上取消")
    said = await in_thread(hers.hears)
    assert "当天的号不能线上取消" in said and "预约还在" in said
    await hers.taps(kind="cancel", visit_id=visit)
    await in_thread(hers.goes_on)
    assert "医院已确认取消" in await in_thread(hers.hears)


async def test_a_check_in_the_hospital_refuses_is_told_and_can_be_asked_again(hers: Hers) -> None:
    visit = await booked(hers)
    await hers.taps(kind="check_in", visit_id=visit)
    await in_thread(hers.refuses, "check_in", "还没到取号时间")
    assert "没有取到号:还没到取号时间" in await in_thread(hers.hears)
    await hers.taps(kind="check_in", visit_id=visit)
    await in_thread(hers.goes_on)
    assert "取号成功" in await in_thread(hers.hears)


async def test_a_payment_the_hospital_refuses_is_told_and_the_money_goes_back(hers: Hers) -> None:
    visit = await booked(hers)

    def billed() -> None:
        row = SandboxVisit.objects.select_related("clinic__system").get()
        tell(row, EventType.INVOICE_ISSUED, Invoice("i1", "检查费", (InvoiceLine("验光", 2000),), 2000, 0, 2000))
        hers.goes_on()
        hers.hears()

    await in_thread(billed)
    assert "正在等医院确认" in words(await hers.taps(kind="pay", invoice_id="i1", visit_id=visit))
    await in_thread(hers.refuses, "pay", "这笔费用窗口正在办理")
    said = await in_thread(hers.hears)
    assert "没有缴成:这笔费用窗口正在办理。已付的钱会原路退回" in said
