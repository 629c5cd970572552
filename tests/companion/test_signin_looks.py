"""A resident reads who looked at her and at those who agreed that she acts for them; nobody else does."""

from collections.abc import Callable

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from companion import looks as looked
from companion import signin
from companion.desks.visit import VisitDesk
from companion.identity.base import Identity
from companion.models import Conversation, ExternalIdentity, FamilyLink, Patient, Resident, Turn, TurnReview, Visit
from hospitals import audit, indexing
from hospitals.audit import Actor
from hospitals.connectors.base import DiagnosticReport, EventType, MedicationRequest, Observation, Prescription
from tests.hospitals.own_rows import a_hospital

pytestmark = pytest.mark.django_db(transaction=True)


def token_of(resident: Resident, open_id: str) -> str:
    index = indexing.blind_index("identity:alipay:app", open_id)
    ExternalIdentity.objects.create(resident=resident, provider="alipay", app_id="app", open_id_index=index)
    return signin.open_session(Identity("alipay", "app", open_id))[0]


def looks(client: Client, token: str) -> list[dict]:
    answer = client.get("/api/session/looks/", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 200 and "no-store" in answer["Cache-Control"]
    return answer.json()


def test_she_sees_by_whom_when_and_why_and_no_account_s_name(
    client: Client, resident: Resident, patient: Patient
) -> None:
    hospital = a_hospital(code="h1", name="甲医院", city="岚州市")
    token = token_of(resident, "hers")
    who = Actor("hospital", "client-of-h1")
    audit.record("report.read", actor=who, hospital_id=hospital.id, subject=patient.id, why="复诊")
    (look,) = looks(client, token)
    assert (look["by"], look["hospital"], look["action"], look["why"]) == ("hospital", "甲医院", "report.read", "复诊")
    assert "client-of-h1" not in str(look)


def test_what_staff_open_is_on_record(client: Client, resident: Resident, patient: Patient, visit: Visit) -> None:
    talk = Conversation.objects.create(resident=resident, patient=patient, last_seen_at=timezone.now())
    turn = Turn.objects.create(
        conversation=talk, resident_id=resident.id, number=1, said="您好", answered=["您好"], intent="greeting"
    )
    review = TurnReview.objects.create(turn=turn, resident_id=resident.id, because="random")
    client.force_login(User.objects.create_superuser("officer", password="a-long-password"))
    opened = (("conversation", talk.pk), ("turn", turn.pk), ("visit", visit.pk), ("turnreview", review.pk))
    for model, key in opened:
        address = reverse(f"admin:companion_{model}_change", args=[key])
        if model == "conversation":
            client.post(address, {"why": "核对投诉"})
        assert client.get(address).status_code == 200
    found = looks(client, token_of(resident, "hers"))
    assert [(look["by"], look["action"]) for look in found] == [("commission", "staff.look")] * len(opened)
    assert [look["why"] for look in found] == ["质量评审:随机抽样", *["核对投诉"] * 3]


def test_an_account_without_the_permission_sees_nothing_and_leaves_no_look(
    client: Client, resident: Resident, visit: Visit
) -> None:
    client.force_login(User.objects.create_user("clerk", password="a-long-password", is_staff=True))
    assert client.get(reverse("admin:companion_visit_change", args=[visit.pk])).status_code == 403
    assert looks(client, token_of(resident, "hers")) == []


def test_family_s_only_while_the_consent_holds(client: Client, resident: Resident, patient: Patient) -> None:
    other = Resident.objects.create(name="周岚")
    link = FamilyLink.objects.create(resident=other, patient=patient, relation="child", consented_at=timezone.now())
    audit.record("report.read", actor=Actor("hospital"), subject=patient.id)
    token = token_of(other, "others")
    assert len(looks(client, token)) == 1
    link.withdrawn_at = timezone.now()
    link.save()
    assert looks(client, token) == []


def test_her_own_deeds_her_family_s_and_those_from_before_are_told_apart(
    client: Client, resident: Resident, patient: Patient
) -> None:
    other = Resident.objects.create(name="周岚")
    FamilyLink.objects.create(resident=other, patient=patient, relation="mother", consented_at=timezone.now())
    hospital = a_hospital(code="h1", name="甲医院", city="岚州市")
    for name in ("", str(resident.id), str(other.id)):
        audit.record("appointment.book", actor=Actor("resident", name), hospital_id=hospital.id, subject=patient.id)
    expected = [("family", "子女"), ("resident", ""), ("unknown", "")]
    found = looks(client, token_of(resident, "hers"))
    assert [(look["by"], look["relation"]) for look in found] == expected
    said = [looked.who(look) for look in looked.about_her(resident.id)]
    assert said == ["您的家人(子女)", "您", "您或您的家人"]
    assert [looked.who(look) for look in looked.about_her(other.id)] == ["您", "您的家人(母亲)", "您或您的家人"]
    assert str(other.id) not in str(found)


@pytest.mark.parametrize("whose", ["family", "herself"])
def test_family_s_reading_is_on_record_once_a_day_and_her_own_is_not(
    resident: Resident, patient: Patient, visit: Visit, happens: Callable[..., None], whose: str
) -> None:
    report = DiagnosticReport("r", "泪膜检查报告", timezone.now(), (Observation("B", "泪膜", "4", "秒"),))
    happens(EventType.REPORT_ISSUED, report)
    happens(
        EventType.PRESCRIPTION_ISSUED, Prescription("x", (MedicationRequest("m", "滴眼液", "每次1滴"),), "p", "药房")
    )
    reader = resident
    if whose == "family":
        reader = Resident.objects.create(name="周岚")
        FamilyLink.objects.create(resident=reader, patient=patient, relation="mother", consented_at=timezone.now())
    desk = VisitDesk(reader.id, patient.id, reader.id)
    for _time in range(2):
        assert async_to_sync(desk.reports)(str(visit.id)) and async_to_sync(desk.medicines)(str(visit.id)).medicines
    found = [(look.action, looked.who(look)) for look in looked.about_her(resident.id)]
    who = "您的家人(子女)"
    assert sorted(found) == ([("medicine.read", who), ("report.read", who)] if whose == "family" else [])


def test_nobody_else(client: Client) -> None:
    assert client.get("/api/session/looks/").status_code == 401
