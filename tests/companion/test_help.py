"""She asks for a person, and stands in one place of the line however often she taps."""

import pytest
from asgiref.sync import async_to_sync

from companion.desks.visit import VisitDesk
from companion.models import Conversation, HumanRequest, Patient, Resident

pytestmark = pytest.mark.django_db(transaction=True)


def test_who_asks_again_keeps_her_place(resident: Resident, patient: Patient) -> None:
    talk = Conversation.objects.create(resident=resident, patient=patient)
    ask = async_to_sync(VisitDesk(resident.id, patient.id, talk.id).request_human)
    assert (ask().queue_position, ask().queue_position) == (1, 1)
    assert HumanRequest.objects.count() == 1


def test_two_requests_of_one_moment_are_no_end_of_asking(resident: Resident, patient: Patient) -> None:
    talk = Conversation.objects.create(resident=resident, patient=patient)
    for _tap in range(2):
        HumanRequest.objects.create(conversation=talk)
    assert async_to_sync(VisitDesk(resident.id, patient.id, talk.id).request_human)().queue_position == 1
