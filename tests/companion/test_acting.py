"""Who may act for whom: family that agreed, as long as that holds."""

import pytest
from django.utils import timezone

from companion import acting
from companion.exceptions import NotAllowed
from companion.models import FamilyLink, Resident


def test_only_family_with_consent_may_act(resident, patient) -> None:
    stranger = Resident(name="周敏")
    stranger.save()
    with pytest.raises(NotAllowed):
        acting.may_act_for(stranger.id, patient.id)
    link = FamilyLink.objects.create(resident=stranger, patient=patient, relation="mother")
    with pytest.raises(NotAllowed):  # asked for, not yet consented
        acting.may_act_for(stranger.id, patient.id)
    link.consented_at = timezone.now()
    link.save()
    assert acting.may_act_for(stranger.id, patient.id) == patient
    link.withdrawn_at = timezone.now()
    link.save()
    with pytest.raises(NotAllowed):
        acting.may_act_for(stranger.id, patient.id)
