"""What the sandbox hospital's own system remembers. It stands for a system outside: only the sandbox reads these rows."""

import uuid

from django.db import models
from django.utils import timezone

from hospitals.vault import EncryptedJSONField, EncryptedTextField

OWNER = ("hospital", "hospital_id")


class SandboxSystem(models.Model):
    """One pretended hospital system: how it signs, what rule it has for passed numbers, where its desks are."""

    hospital_id = models.UUIDField(primary_key=True)
    code = models.CharField(max_length=40)
    secret = EncryptedTextField(owner=OWNER)
    missed_rule = models.CharField(max_length=200)
    requeue_after = models.PositiveSmallIntegerField(default=3)
    places = models.JSONField(default=dict)  # "pharmacy" -> {"room_code", "room_name", "place"}
    broken = models.CharField(max_length=20, blank=True)  # a fault it plays: "down", "slow", "refuse"

    class Meta:
        verbose_name = "沙盒系统"
        verbose_name_plural = "沙盒系统"


class SandboxClinic(models.Model):
    """A consulting room that calls numbers. ``waiting``: tickets in the order they will be called."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    system = models.ForeignKey(SandboxSystem, on_delete=models.CASCADE, related_name="clinics")
    department = models.CharField(max_length=64)  # its own identifier: the first part of its slots' identifiers
    name = models.CharField(max_length=60)
    script = models.CharField(max_length=30)
    room_code = models.CharField(max_length=64)
    room_name = models.CharField(max_length=60)
    place = models.CharField(max_length=100)
    desks = models.JSONField(default=dict)  # where its patients are sent, if elsewhere: "pharmacy" -> "eye_pharmacy"
    minutes_each = models.PositiveSmallIntegerField(default=6)
    now_serving = models.PositiveIntegerField(default=0)
    last_ticket = models.PositiveIntegerField(default=0)
    waiting = models.JSONField(default=list)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["system", "department"], name="sandbox_clinic_once")]


class SandboxVisit(models.Model):
    """One patient's stay, by our appointment id. It keeps no name: a ticket is all it needs."""

    class Stage(models.TextChoices):
        BOOKED = "booked"
        WAITING = "waiting"
        CALLED = "called"
        MISSED = "missed"
        IN_ROOM = "in_room"
        CONSULTED = "consulted"
        CLOSED = "closed"
        OFF = "off"  # cancelled, stopped, no-show

    appointment_id = models.UUIDField(primary_key=True)
    clinic = models.ForeignKey(SandboxClinic, on_delete=models.CASCADE, related_name="visits")
    schedule = models.CharField(max_length=64, db_index=True)
    stage = models.CharField(max_length=10, choices=Stage.choices, default=Stage.BOOKED)
    ticket = models.PositiveIntegerField(null=True)
    sequence = models.PositiveIntegerField(default=0)
    paid = models.JSONField(default=list)
    done = models.JSONField(default=list)  # ids of examinations, reports, prescriptions that are finished
    commands = models.JSONField(default=list)  # idempotency keys it has acted on
    moved_at = models.DateTimeField(default=timezone.now)


class SandboxMessage(models.Model):
    """An event it still has to send; the body goes when it is delivered."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    visit = models.ForeignKey(SandboxVisit, on_delete=models.CASCADE, related_name="messages")
    hospital_id = models.UUIDField()
    sequence = models.PositiveIntegerField()
    type = models.CharField(max_length=40)
    body = EncryptedJSONField(owner=OWNER, null=True)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["created_at", "sequence"]
        indexes = [models.Index(fields=["created_at"], condition=models.Q(sent_at=None), name="sandbox_unsent")]
