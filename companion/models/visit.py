"""A visit, the events it is folded from, the prompts that were said, and the reminders that are due.

VisitEvent is the truth; Visit.state and Visit.snapshot are its projection, written in the same transaction.
"""

import uuid

from django.db import models
from django.utils import timezone

from companion.journey import VisitState
from companion.models.people import Patient, Resident
from hospitals.vault import EncryptedJSONField


class Visit(models.Model):
    """One resident's way through one hospital, for one patient. ``id`` equals the hospital side's appointment id.

    ``resident``: who booked it and hears of it; what is sealed is the patient's own (her card's keeper's), as her events are.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    resident = models.ForeignKey(Resident, on_delete=models.CASCADE, related_name="visits")
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="visits")
    hospital_id = models.UUIDField("医院", db_index=True)
    hospital_name = models.CharField("医院", max_length=100)
    department = models.CharField("科室", max_length=100)
    practitioner = models.CharField("医生", max_length=50, blank=True)
    place = models.CharField("地点", max_length=200, blank=True)
    room_code = models.CharField(max_length=64, blank=True)
    start = models.DateTimeField("就诊时间")
    fee_fen = models.PositiveIntegerField("诊查费(分)", default=0)
    state = models.CharField(
        "状态", max_length=20, choices=[(s.value, s.value) for s in VisitState], default=VisitState.TRIAGED
    )
    queue_as_of = models.DateTimeField(null=True, blank=True)
    snapshot = EncryptedJSONField(owner=("resident", "patient__keeper_id"), default=dict)
    created_at = models.DateTimeField("预约时间", auto_now_add=True)
    changed_at = models.DateTimeField("最近变化", auto_now=True)

    class Meta:
        indexes = [
            models.Index(fields=["patient", "-start"]),
            models.Index(fields=["state", "start"]),
            models.Index(fields=["start"]),
        ]
        verbose_name = "就诊"
        verbose_name_plural = "就诊"

    def __str__(self) -> str:
        return f"{self.hospital_name} {self.department} {timezone.localtime(self.start):%m-%d %H:%M}"

    @property
    def where(self) -> tuple[str, str]:
        """(place, room code): of her queue in the hospital's words, which are sealed; before that, the department's own."""
        place, room_code = self.snapshot.get("where", (self.place, self.room_code))
        return place, room_code


class VisitEvent(models.Model):
    """One thing that happened, as it came. ``key`` makes it once; ``data`` is the event's payload as JSON.

    ``resident_id``: under whose key it is, the patient's own (her card's keeper's), whoever booked for her.
    """

    visit = models.ForeignKey(Visit, on_delete=models.CASCADE, related_name="events")
    resident_id = models.UUIDField(editable=False)
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    key = models.CharField(max_length=120)
    type = models.CharField("发生了什么", max_length=40)
    sequence = models.BigIntegerField("序号")
    data = EncryptedJSONField(owner=("resident", "resident_id"), null=True)
    occurred_at = models.DateTimeField("发生时间")
    received_at = models.DateTimeField("收到时间")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["visit", "key"], name="visit_event_once")]
        indexes = [models.Index(fields=["resident_id", "id"], name="event_under_whose_key")]
        ordering = ["received_at"]
        verbose_name = "就诊事件"
        verbose_name_plural = "就诊事件"


UNSAID = models.Q(said_at=None, obsolete=False, by_itself=True)


class VisitPrompt(models.Model):
    """A prompt that is due to be said once. ``said_at``: when the page that has said it confirmed it."""

    visit = models.ForeignKey(Visit, on_delete=models.CASCADE, related_name="prompts")
    key = models.CharField(max_length=160)
    name = models.CharField(max_length=40)
    part_id = models.CharField(max_length=80, blank=True)
    by_itself = models.BooleanField()
    due_at = models.DateTimeField()
    said_at = models.DateTimeField(null=True, blank=True)
    obsolete = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["visit", "key"], name="visit_prompt_once")]
        indexes = [
            models.Index(fields=["visit", "said_at"]),
            models.Index(fields=["due_at"], name="prompt_unsaid", condition=UNSAID),
        ]
        ordering = ["due_at", "id"]
        verbose_name = "提示"
        verbose_name_plural = "提示"


class Reminder(models.Model):
    """Something to bring up at a time: kept here, not as a task's ETA, because those can run twice."""

    class Kind(models.TextChoices):
        DAY_BEFORE = "day_before", "就诊前一天"
        LEAVE_HOME = "leave_home", "该出门了"
        FASTING = "fasting", "检查前空腹"
        MEDICINE = "medicine", "吃药"
        FOLLOW_UP = "follow_up", "复诊"

    visit = models.ForeignKey(Visit, on_delete=models.CASCADE, related_name="reminders", verbose_name="就诊")
    kind = models.CharField("提醒什么", max_length=12, choices=Kind.choices)
    part_id = models.CharField("哪一项", max_length=80, blank=True)
    due_at = models.DateTimeField("该提醒的时间")
    sent_at = models.DateTimeField("提醒了的时间", null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["visit", "kind", "part_id", "due_at"], name="reminder_once")]
        # of those to come alone: the sent ones are all that ever were
        indexes = [models.Index(fields=["due_at"], name="reminder_unsent", condition=models.Q(sent_at=None))]
        verbose_name = "提醒"
        verbose_name_plural = "提醒"
