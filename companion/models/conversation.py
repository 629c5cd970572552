"""What was said and understood, what a human must look at, and incidents for the commission."""

import uuid

from django.db import models
from django.utils import timezone

from companion.models.people import Patient, Resident
from hospitals.vault import EncryptedJSONField, EncryptedTextField


class Conversation(models.Model):
    """One resident's talk with the avatar; its id is the avatar's session id. Memory carries it over a closed page."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    resident = models.ForeignKey(Resident, on_delete=models.CASCADE, related_name="conversations")
    patient = models.ForeignKey(Patient, on_delete=models.SET_NULL, null=True, related_name="+")
    memory = EncryptedJSONField(owner=("resident", "resident_id"), default=dict)
    avatar = models.CharField("形象", max_length=40, default="xiaolan")
    turns_count = models.PositiveIntegerField("轮数", default=0)
    started_at = models.DateTimeField("开始", auto_now_add=True)
    last_seen_at = models.DateTimeField("最近一次", auto_now=True)

    class Meta:
        indexes = [models.Index(fields=["started_at"])]
        verbose_name = "对话"
        verbose_name_plural = "对话"

    def __str__(self) -> str:
        return f"对话 {timezone.localtime(self.started_at):%m-%d %H:%M}"


class Turn(models.Model):
    """One turn: what she said, what was understood and why, what was answered; and what people thought of it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="turns")
    resident_id = models.UUIDField(editable=False)
    number = models.PositiveIntegerField("第几轮")
    said = EncryptedTextField(owner=("resident", "resident_id"), default="")
    answered = EncryptedJSONField(owner=("resident", "resident_id"), default=list)
    understood = EncryptedJSONField(owner=("resident", "resident_id"), default=dict)
    skill = models.CharField("由谁回答", max_length=40, blank=True, db_index=True)
    intent = models.CharField("理解为", max_length=40, blank=True, db_index=True)
    urgency = models.CharField("轻重缓急", max_length=20, blank=True, db_index=True)
    interrupted = models.BooleanField(default=False)
    duration_ms = models.PositiveIntegerField("用时(毫秒)", default=0)
    rating = models.SmallIntegerField("居民评价", null=True, blank=True)  # -1 | 1, by the resident
    corrected_intent = models.CharField(max_length=40, blank=True)  # by a commission reviewer
    corrected_department = models.CharField(max_length=40, blank=True)
    corrected_urgency = models.CharField(max_length=20, blank=True)
    reviewed_at = models.DateTimeField("评审时间", null=True, blank=True)
    created_at = models.DateTimeField("时间", auto_now_add=True, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["conversation", "number"], name="turn_once")]
        indexes = [models.Index(fields=["resident_id", "id"], name="turn_under_whose_key")]
        ordering = ["number"]
        verbose_name = "对话轮次"
        verbose_name_plural = "对话轮次"

    def __str__(self) -> str:
        return f"第{self.number}轮"


class Incident(models.Model):
    """Something the commission must look at: an emergency, a threat to self, a reply that a guard replaced."""

    class Kind(models.TextChoices):
        EMERGENCY = "emergency", "急危重"
        SELF_HARM = "self_harm", "自伤风险"
        GUARD = "guard", "答复被拦截"
        INJECTION = "injection", "提示注入"
        CRITICAL_VALUE = "critical_value", "危急值"
        UNDELIVERED = "undelivered", "没能送达医院"
        COMPLAINT = "complaint", "投诉"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField("类型", max_length=16, choices=Kind.choices, db_index=True)
    codes = models.JSONField("规则", default=list)  # red-flag or rule ids, never words of the resident
    conversation = models.ForeignKey(
        Conversation, on_delete=models.SET_NULL, null=True, related_name="incidents", verbose_name="对话"
    )
    hospital_id = models.UUIDField("医院", null=True, blank=True)
    created_at = models.DateTimeField("时间", auto_now_add=True, db_index=True)
    handled_at = models.DateTimeField("处理时间", null=True, blank=True)
    handled_by = models.CharField("处理人", max_length=150, blank=True)
    note = EncryptedTextField(owner=("incident", "id"), null=True)  # staff's; it may well speak of somebody

    class Meta:
        indexes = [
            models.Index(fields=["created_at"], condition=models.Q(handled_at=None), name="incident_open"),
        ]
        verbose_name = "事件上报"
        verbose_name_plural = "事件上报"
        permissions = [("handle_incident", "可以处理事件")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {timezone.localtime(self.created_at):%m-%d %H:%M}"


class HumanRequest(models.Model):
    """She asked for a person; the service desk works this list from the top."""

    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="human_requests", verbose_name="对话"
    )
    requested_at = models.DateTimeField("请求时间", auto_now_add=True)
    answered_at = models.DateTimeField("接听时间", null=True, blank=True)

    class Meta:
        ordering = ["requested_at"]
        verbose_name = "人工请求"
        verbose_name_plural = "人工请求"

    def __str__(self) -> str:
        return f"人工请求 {timezone.localtime(self.requested_at):%m-%d %H:%M}"
