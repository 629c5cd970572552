"""The commission's pages about residents open with data in them, and show nobody's name or number."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from companion import on_record
from companion.admin import STATES
from companion.journey import VisitState
from companion.models import (
    Conversation,
    FamilyLink,
    HumanRequest,
    Incident,
    Patient,
    PaymentOrder,
    Resident,
    Turn,
    TurnReview,
    Visit,
)
from hospitals import tenancy, vault
from hospitals.models import AuditEvent, Circuit, InboxEvent, OutboxCommand
from tests.hospitals.appointments import an_appointment
from tests.hospitals.own_rows import a_hospital, make

pytestmark = pytest.mark.django_db(transaction=True)
NAME, PHONE = "陈玉兰", "13900001111"


@pytest.fixture()
def commission() -> Client:
    User.objects.create_superuser("commission", password="a-long-password")
    client = Client()
    client.login(username="commission", password="a-long-password")
    return client


@pytest.fixture()
def turn(resident: Resident, patient: Patient) -> Turn:
    talk = Conversation.objects.create(
        resident=resident, patient=patient, last_seen_at=timezone.now() - timedelta(hours=1)
    )
    return Turn.objects.create(
        conversation=talk,
        resident_id=resident.id,
        number=1,
        said=f"我叫{NAME},电话{PHONE}",
        answered=[f"{NAME}您好"],
        intent="greeting",
        duration_ms=5,
    )


def test_every_list_opens(commission: Client, turn: Turn) -> None:
    for model in (
        "visit",
        "conversation",
        "turn",
        "incident",
        "humanrequest",
        "reminder",
        "turnreview",
        "paymentorder",
    ):
        answer = commission.get(reverse(f"admin:companion_{model}_changelist"))
        assert answer.status_code == 200, model
        assert NAME not in answer.content.decode()


def test_every_page_opens_when_whom_it_shows_was_erased(commission: Client, turn: Turn, visit: Visit) -> None:
    talk = turn.conversation
    review = TurnReview.objects.create(turn=turn, resident_id=turn.resident_id, because=TurnReview.Because.RANDOM)
    vault.erase("resident", turn.resident_id)
    for model in ("visit", "conversation"):
        assert "已注销" in commission.get(reverse(f"admin:companion_{model}_changelist")).content.decode()
    pages = {
        row: reverse(f"admin:companion_{row._meta.model_name}_change", args=[row.pk]) for row in (talk, turn, review)
    }
    commission.post(pages[talk], {"why": "投诉复核"})
    for page in pages.values():
        assert "已注销,内容不可读" in commission.get(page).content.decode()
    assert commission.post(pages[review], {"label": "right"}).status_code == 403


def test_a_list_opens_though_a_name_on_it_is_damaged(commission: Client, turn: Turn) -> None:
    Patient.objects.filter(id=turn.conversation.patient_id).update(name=vault.Ciphertext(bytes(40)))
    assert "打不开" in commission.get(reverse("admin:companion_conversation_changelist")).content.decode()


def test_who_opens_an_incident_is_on_record_under_whose_talk_it_happened_in(commission: Client, turn: Turn) -> None:
    for talk, about in ((turn.conversation, turn.conversation.patient_id), (None, None)):
        row = Incident.objects.create(kind="complaint", conversation=talk)
        commission.get(reverse("admin:companion_incident_change", args=[row.id]))
        seen = AuditEvent.objects.get(action="staff.look", entity_id=str(row.id))
        assert (seen.actor, seen.subject, seen.why) == ("commission", about, "投诉")


def test_words_in_which_somebody_erased_may_be_named_are_not_shown(commission: Client, turn: Turn) -> None:
    other = Resident(name="周敏")
    other.save()
    card = {"id_number": "", "phone": "", "birth_date": ""}
    lost = Patient.objects.create(keeper=other, name="周敏", **card)
    FamilyLink.objects.create(resident=turn.conversation.resident, patient=lost, relation="other")
    vault.erase("resident", other.id)
    page = reverse("admin:companion_turn_change", args=[turn.id])
    commission.post(page, {"why": "投诉复核"})
    assert "家人已注销,内容不可读" in commission.get(page).content.decode()


def test_the_state_of_a_visit_is_told_in_words(commission: Client, visit: Visit) -> None:
    assert set(STATES) == set(VisitState)
    listed = commission.get(reverse("admin:companion_visit_changelist")).content.decode()
    assert "已预约" in listed and not re.search(r">\s*booked\s*<", listed)


def test_why_a_turn_was_picked_and_that_it_waits_are_told_in_words(commission: Client, turn: Turn) -> None:
    TurnReview.objects.create(turn=turn, resident_id=turn.resident_id, because=TurnReview.Because.RANDOM)
    listed = commission.get(reverse("admin:companion_turnreview_changelist")).content.decode()
    assert not re.search(r">\s*random\s*<", listed) and "待评审" in listed


def test_a_list_of_masked_names_is_on_record_with_whom_it_showed(commission: Client, turn: Turn) -> None:
    address = reverse("admin:companion_conversation_changelist")
    for _ in range(3):
        assert "陈＊＊" in commission.get(address).content.decode()
    (seen,) = AuditEvent.objects.filter(action="staff.list")
    assert (seen.actor, seen.entity, seen.detail) == ("commission", "conversation", str(turn.conversation.patient_id))
    other = Resident.objects.create(name="周岚")
    card = Patient.objects.create(
        keeper=other, name="周岚", id_number="1", phone="1", birth_date="1990-01-01", sex="female"
    )
    Conversation.objects.create(resident=other, patient=card)
    commission.get(address)
    newest = AuditEvent.objects.filter(action="staff.list").latest("number")
    assert set(newest.detail.split()) == {str(turn.conversation.patient_id), str(card.id)}
    commission.get(reverse("admin:companion_visit_changelist"))  # nobody is on it
    assert AuditEvent.objects.filter(action="staff.list").count() == 2


def test_a_turn_and_its_conversation_are_read_without_names(commission: Client, turn: Turn) -> None:
    for model, key in (("turn", turn.pk), ("conversation", turn.conversation_id)):
        address = reverse(f"admin:companion_{model}_change", args=[key])
        page = commission.post(address, {"why": "核对投诉"}, follow=True).content.decode()
        assert "您好" in page
        assert NAME not in page and PHONE not in page


def test_a_page_about_a_person_asks_why_once_a_session_and_person(commission: Client, turn: Turn) -> None:
    talk = reverse("admin:companion_conversation_change", args=[turn.conversation_id])
    for said in (None, "看"):  # not asked yet, too short to be a reason
        page = (commission.get(talk) if said is None else commission.post(talk, {"why": said})).content.decode()
        assert "您好" not in page and 'name="why"' in page
    assert not AuditEvent.objects.filter(action="staff.look").exists()
    commission.post(talk, {"why": "核对投诉"})
    for address in (talk, reverse("admin:companion_turn_change", args=[turn.pk])):
        assert "您好" in commission.get(address).content.decode()
    assert set(AuditEvent.objects.filter(action="staff.look").values_list("why", "actor")) == {
        ("核对投诉", "commission")
    }
    other = Resident.objects.create(name="周岚")
    theirs = Conversation.objects.create(resident=other)
    assert (
        'name="why"'
        in commission.get(reverse("admin:companion_conversation_change", args=[theirs.pk])).content.decode()
    )
    assert set(commission.session[on_record.REASONS].values()) == {"核对投诉"}


def test_a_request_for_a_person_is_answered_once_and_written_down(commission: Client, turn: Turn) -> None:
    row = HumanRequest.objects.create(conversation=turn.conversation)
    address = reverse("admin:companion_humanrequest_changelist")
    chosen = {"action": "mark_answered", "_selected_action": [row.pk]}
    asked = commission.post(address, chosen).content.decode()
    row.refresh_from_db()
    assert "不能改回" in asked and "所选 1 项" in asked and row.answered_at is None
    chosen["confirmed"] = "1"
    assert "1 个人工请求" in commission.post(address, chosen, follow=True).content.decode()
    row.refresh_from_db()
    first = row.answered_at
    assert "0 个人工请求" in commission.post(address, chosen, follow=True).content.decode()
    row.refresh_from_db()
    assert row.answered_at == first is not None
    seen = AuditEvent.objects.get(action="human_request.answer")
    assert (seen.actor, seen.entity_id) == ("commission", str(row.pk))


def test_a_request_for_a_person_is_neither_edited_nor_deleted(commission: Client, turn: Turn) -> None:
    row = HumanRequest.objects.create(conversation=turn.conversation)
    change = reverse("admin:companion_humanrequest_change", args=[row.pk])
    commission.post(change, {"answered_at_0": "2026-01-01", "answered_at_1": "08:00:00"})
    commission.post(reverse("admin:companion_humanrequest_delete", args=[row.pk]), {"post": "yes"})
    row.refresh_from_db()
    assert row.answered_at is None


def test_an_incident_that_is_handled_says_by_whom_in_the_log_too(commission: Client) -> None:
    row = Incident.objects.create(kind="emergency")
    chosen = {"action": "mark_handled", "_selected_action": [str(row.pk)]}
    address = reverse("admin:companion_incident_changelist")
    assert "不能改回" in commission.post(address, chosen).content.decode()
    row.refresh_from_db()
    assert row.handled_at is None
    commission.post(address, chosen | {"confirmed": "1"})
    row.refresh_from_db()
    assert row.handled_by == AuditEvent.objects.get(action="incident.handle").actor == "commission"


def test_a_note_on_an_incident_is_kept_sealed_and_on_record(commission: Client) -> None:
    row = Incident.objects.create(kind="complaint")
    change = reverse("admin:companion_incident_change", args=[row.pk])
    commission.post(change, {"note": "家属来电,已答复"})
    assert "家属来电,已答复" in commission.get(change).content.decode()
    assert "家属来电".encode() not in bytes(Incident.objects.values_list("note", flat=True).get())
    assert AuditEvent.objects.get(action="incident.note").entity_id == str(row.pk)


# --- the first page -------------------------------------------------------------------------------------------


def a_province_with_trouble(turn: Turn) -> None:
    appointment = an_appointment("push")
    a_hospital(code="new", name="新医院", city="甲市")
    make(Circuit, hospital=appointment.hospital, failures=5, open_until=timezone.now())
    Incident.objects.create(kind="emergency")
    Incident.objects.create(kind="emergency", handled_at=timezone.now())
    HumanRequest.objects.create(conversation=turn.conversation)
    event = {"type": "queue.changed", "appointment_key": "x", "sequence": 1, "body": "{}"}
    with tenancy.scope(appointment.hospital_id):
        for number, state in enumerate(("dead", "dead", "done")):
            InboxEvent.objects.create(event_id=f"e{number}", state=state, **event)
        for number, minutes in enumerate((11, 9)):
            OutboxCommand.objects.create(
                appointment=appointment,
                kind="book",
                idempotency_key=f"k{number}",
                created_at=timezone.now() - timedelta(minutes=minutes),
            )


def test_the_first_page_counts_what_waits_and_leads_to_it(commission: Client, turn: Turn) -> None:
    a_province_with_trouble(turn)
    shown = commission.get(reverse("admin:index")).context
    counts = {figure.title: figure.count for figure in (*shown["figures"], *shown["hospitals"])}
    assert {name: number for name, number in counts.items() if number} == {
        "死信": 2,
        "等了10分钟以上的操作": 1,
        "没有应答的医院系统": 1,
        "待处理的事件": 1,
        "待接听的人工请求": 1,
        "待核验的申请": 1,
        "已上线": 1,
    }
    for figure in (*shown["figures"], *shown["hospitals"]):
        behind = commission.get(figure.address)
        assert behind.status_code == 200
        assert len(behind.context["cl"].result_list) == figure.count, figure.title


def test_the_first_page_shows_an_account_what_it_may_see(turn: Turn) -> None:
    a_province_with_trouble(turn)
    client = Client()
    client.force_login(User.objects.create_user("nobody", is_staff=True))
    shown = client.get(reverse("admin:index")).context
    assert shown["figures"] == shown["hospitals"] == []


def test_a_bill_paid_online_is_looked_up_on_record_and_its_number_is_masked(commission: Client, visit: Visit) -> None:
    order = PaymentOrder.objects.create(
        visit=visit, invoice_id="i1", amount_fen=2005, engine="wechat", state="paid", trade_number="4200001234"
    )
    found = commission.get(reverse("admin:companion_paymentorder_changelist"), {"q": "4200001234"})
    assert [row.pk for row in found.context["cl"].result_list] == [order.pk]
    assert "20.05元" in found.content.decode()
    page = reverse("admin:companion_paymentorder_change", args=[order.pk])
    assert 'name="why"' in commission.get(page).content.decode()
    shown = commission.post(page, {"why": "核对投诉"}, follow=True).content.decode()
    assert "…1234" in shown and "4200001234" not in shown
    assert AuditEvent.objects.get(action="staff.look").subject == visit.patient_id
    assert commission.post(page, {"state": "refunded"}).status_code in (200, 302, 403)
    order.refresh_from_db()
    assert order.state == "paid"
