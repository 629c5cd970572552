"""The commission's pages about residents open with data in them, and show nobody's name or number."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from companion.models import Conversation, Patient, Resident, Turn

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
    for model in ("visit", "conversation", "turn", "incident", "humanrequest", "reminder", "turnreview"):
        answer = commission.get(reverse(f"admin:companion_{model}_changelist"))
        assert answer.status_code == 200, model
        assert NAME not in answer.content.decode()


def test_a_turn_and_its_conversation_are_read_without_names(commission: Client, turn: Turn) -> None:
    for model, key in (("turn", turn.pk), ("conversation", turn.conversation_id)):
        page = commission.get(reverse(f"admin:companion_{model}_change", args=[key])).content.decode()
        assert "您好" in page
        assert NAME not in page and PHONE not in page
