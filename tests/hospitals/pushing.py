"""A hospital of connector "push" that has set itself up, and the small hospital behind its address."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from hospitals import tenancy
from hospitals.addresses import Policy
from hospitals.models import Hospital, OutboxCommand, Slot
from hospitals.outgoing import Outgoing
from hospitals.services import booking, outbox
from tests.hospitals.clinics import card
from tests.hospitals.joining import Joined, fill
from tests.hospitals.own_rows import change
from tests.hospitals.webhook_peer import WebhookPeer

PUBLIC = "https://hooks.river.example/commands"
LOCAL = {"networks": ["127.0.0.0/8"], "plain_hosts": ["127.0.0.1"]}


def quick(_endpoint_id: UUID, allowed: Policy) -> Outgoing:
    return Outgoing(allowed, attempts=1, read_s=0.5)


def endpoint(hospital: Joined, environment: str = "live", url: str = PUBLIC, **more: Any) -> Any:
    return hospital.put(f"/webhooks/{environment}/", {"url": url, **more})


def live(hospital: Joined, peer: WebhookPeer) -> None:
    """Its endpoint is the small hospital, and it is open to residents."""
    peer.secret = endpoint(hospital, url=peer.url).json()["secret"]
    fill(hospital)
    change(Hospital, hospital.hospital_id, state="live")


def booked(hospital: Joined, number: int = 1) -> UUID:
    slot = Slot.objects.get(hospital_id=hospital.hospital_id)
    wish = booking.wish(
        slot_id=slot.id,
        patient=card(number),
        subject=UUID(int=number),
        keeper=None,
        idempotency_key=f"k{number}",
        now=timezone.now(),
    )
    with transaction.atomic():
        return booking.book(wish).appointment_id


def due_now(hospital: Joined) -> int:
    """The clock has moved on: what waits is due. How many were answered."""
    with tenancy.scope(hospital.hospital_id):
        OutboxCommand.objects.filter(state="waiting").update(next_attempt_at=timezone.now())
    return outbox.sweep()


def log(hospital: Joined, query: str = "") -> list[dict[str, Any]]:
    answer = hospital.get(f"/deliveries/{query}")
    assert answer.status_code == 200, answer.content
    return answer.json()["items"]


def command(hospital: Joined) -> OutboxCommand:
    with tenancy.scope(hospital.hospital_id):
        return OutboxCommand.objects.get()
