"""Where a hospital takes its commands by signed POST, and the log of every attempt to deliver one, by whatever way."""

import uuid
from typing import ClassVar

from django.db import models
from django.utils import timezone

from hospitals.models.onboarding import ApiClient
from hospitals.models.tenant import OWNER, OutboxCommand, TenantMeta
from hospitals.tenancy import TenantModel
from hospitals.vault import EncryptedTextField

Environment = ApiClient.Environment


class WebhookEndpoint(TenantModel):
    """One address of a hospital with connector "push". "sandbox" gets what is rehearsed, "live" what residents do.

    Until ``previous_until`` everything is signed with the secret before as well.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    environment = models.CharField("环境", max_length=10, choices=Environment.choices)
    url = models.CharField("地址", max_length=2000)
    secret = EncryptedTextField(owner=OWNER)
    previous_secret = EncryptedTextField(owner=OWNER, null=True)
    previous_until = models.DateTimeField("旧密钥到期", null=True, blank=True)
    enabled = models.BooleanField("启用", default=True)
    created_at = models.DateTimeField("登记", default=timezone.now)
    changed_at = models.DateTimeField("改动", auto_now=True)

    class Meta(TenantMeta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["hospital", "environment"], name="one_endpoint_a_hospital_and_environment")
        ]
        verbose_name = "接收地址"
        verbose_name_plural = "接收地址"

    def __str__(self) -> str:
        return self.get_environment_display()


class Delivery(TenantModel):
    """One attempt to hand a command to a hospital's system. ``command`` None: a test call, or part of a conformance run."""

    class Outcome(models.TextChoices):
        ACCEPTED = "accepted", "已接受"
        REFUSED = "refused", "未接受"
        UNKNOWN = "unknown", "没有应答"
        FAILED = "failed", "没有送到"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    command = models.ForeignKey(
        OutboxCommand, on_delete=models.CASCADE, null=True, related_name="deliveries", verbose_name="待送达操作"
    )
    environment = models.CharField("环境", max_length=10, choices=Environment.choices)
    kind = models.CharField("操作", max_length=12)
    idempotency_key = models.CharField("操作编号", max_length=160)
    appointment_key = models.UUIDField("预约", null=True)
    number = models.PositiveIntegerField("第几次")
    at = models.DateTimeField("时间", default=timezone.now)
    outcome = models.CharField("结果", max_length=10, choices=Outcome.choices)
    http_status = models.PositiveSmallIntegerField("HTTP 状态", null=True)
    code = models.CharField("原因", max_length=60, blank=True)
    duration_ms = models.PositiveIntegerField("用时(毫秒)")

    class Meta(TenantMeta):
        indexes = [
            models.Index(fields=["hospital", "at", "id"], name="delivery_newest"),
            models.Index(fields=["hospital", "appointment_key", "at"], name="delivery_appointment"),
        ]
        ordering = ["-at", "-id"]
        verbose_name = "送达记录"
        verbose_name_plural = "送达记录"
        permissions = [("replay_delivery", "可以重新送达")]

    def __str__(self) -> str:
        return f"{self.kind} {timezone.localtime(self.at):%m-%d %H:%M}"
