"""How a hospital joins and what it may call us with: applications, OAuth2 clients, uploads, conformance runs.

Nothing that opens a door stands here in clear: secrets and tokens are 256 random bits, kept as their SHA-256 (what is
guessed by trying is a password; these cannot be).
"""

import uuid
from typing import ClassVar

from django.db import models
from django.utils import timezone

from hospitals.tenancy import TenantModel
from hospitals.vault import EncryptedJSONField

OWNER = ("hospital", "hospital_id")


class HospitalApplication(TenantModel):
    """What a hospital wrote when it applied. ``claim_digest``: of the secret with which it fetches its credentials."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    licence_number = models.CharField("医疗机构执业许可证登记号", max_length=40)
    contact = EncryptedJSONField(owner=OWNER)  # {"name", "phone", "email"}
    claim_digest = models.CharField(max_length=64)
    created_at = models.DateTimeField("申请时间", default=timezone.now)

    class Meta:
        base_manager_name = "objects"
        verbose_name = "接入申请"
        verbose_name_plural = "接入申请"

    def __str__(self) -> str:
        return f"申请 {self.licence_number}"


class ApiClient(models.Model):
    """An OAuth2 client of one hospital in one environment. Read before any scope: the scope follows from it."""

    class Environment(models.TextChoices):
        SANDBOX = "sandbox", "联调"
        LIVE = "live", "正式"

    id = models.CharField("账号", max_length=40, primary_key=True)
    hospital = models.ForeignKey(
        "hospitals.Hospital", on_delete=models.CASCADE, related_name="api_clients", verbose_name="医院"
    )
    environment = models.CharField("环境", max_length=10, choices=Environment.choices)
    scopes = models.JSONField("权限", default=list)
    created_at = models.DateTimeField("生成", default=timezone.now)
    revoked_at = models.DateTimeField("停用", null=True, blank=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["hospital", "environment"],
                condition=models.Q(revoked_at=None),
                name="one_client_a_hospital_and_environment",
            )
        ]
        verbose_name = "接口账号"
        verbose_name_plural = "接口账号"

    def __str__(self) -> str:
        return self.id


class ApiSecret(models.Model):
    """One secret of a client. Two may hold at once, so that it can be changed without a gap."""

    client = models.ForeignKey(ApiClient, on_delete=models.CASCADE, related_name="secrets")
    digest = models.CharField(max_length=64)
    created_at = models.DateTimeField("生成", default=timezone.now)
    expires_at = models.DateTimeField("到期", null=True, blank=True)

    class Meta:
        verbose_name = "接口密钥"
        verbose_name_plural = "接口密钥"

    def __str__(self) -> str:
        return f"{self.client_id} {timezone.localtime(self.created_at):%Y-%m-%d}"


class AccessToken(models.Model):
    """A short-lived token, by its digest."""

    digest = models.CharField(max_length=64, primary_key=True)
    client = models.ForeignKey(ApiClient, on_delete=models.CASCADE, related_name="tokens")
    scopes = models.JSONField(default=list)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = "访问令牌"
        verbose_name_plural = "访问令牌"

    def __str__(self) -> str:
        return f"{self.client_id} {self.digest[:8]}"


class IdempotentAnswer(TenantModel):
    """What was answered to a write with an Idempotency-Key: the same again for the same, a refusal for anything else."""

    id = models.BigAutoField(primary_key=True)
    client = models.ForeignKey(ApiClient, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=120)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)  # None: still at work
    headers = models.JSONField(default=dict)
    body = models.JSONField(null=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        base_manager_name = "objects"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["client", "key"], name="idempotency_key_once")
        ]
        verbose_name = "已答复的请求"
        verbose_name_plural = "已答复的请求"

    def __str__(self) -> str:
        return self.key


class ImportRun(TenantModel):
    """One bulk upload of directory rows. ``faults``: the first of them, each {"line", "pointer", "code", "detail"}.

    ``line``: all up to it is written; ``digest``: of what stood there, so that the same file is known again; ``attempt``: whose
    turn it is to write, should a process be slow and another have taken over.
    """

    class State(models.TextChoices):
        RUNNING = "running", "进行中"
        FINISHED = "finished", "已完成"
        FAILED = "failed", "中断"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    dry_run = models.BooleanField("只检查", default=False)
    state = models.CharField("状态", max_length=10, choices=State.choices, default=State.RUNNING)
    read = models.PositiveIntegerField("读到行数", default=0)
    written = models.PositiveIntegerField("写入行数", default=0)
    unchanged = models.PositiveIntegerField("未变行数", default=0)
    refused = models.PositiveIntegerField("有误行数", default=0)
    faults = models.JSONField("错误", default=list)
    line = models.PositiveIntegerField("写到第几行", default=0)
    digest = models.CharField(max_length=64, blank=True)
    attempt = models.PositiveSmallIntegerField("第几次", default=1)
    started_at = models.DateTimeField("开始", default=timezone.now)
    progress_at = models.DateTimeField("最近进展", default=timezone.now)
    finished_at = models.DateTimeField("结束", null=True, blank=True)

    class Meta:
        base_manager_name = "objects"
        ordering = ["-started_at"]
        verbose_name = "批量上传"
        verbose_name_plural = "批量上传"

    def __str__(self) -> str:
        return f"{timezone.localtime(self.started_at):%m-%d %H:%M} {self.get_state_display()}"


class ConformanceRun(TenantModel):
    """A scripted visit through the hospital's connector. ``points``: each {"id", "name", "passed", "detail", "mend"}.

    ``record``: the test appointments and what the hospital answered to each command, as hospitals.services.conformance
    keeps it between two looks.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    connector = models.CharField("对接方式", max_length=20)
    points = models.JSONField("逐项结果", default=list)
    record = models.JSONField(default=dict)
    passed = models.BooleanField("全部通过", null=True)  # None: not finished
    started_at = models.DateTimeField("开始", default=timezone.now)
    finished_at = models.DateTimeField("结束", null=True, blank=True)

    class Meta:
        base_manager_name = "objects"
        ordering = ["-started_at"]
        verbose_name = "一致性测试"
        verbose_name_plural = "一致性测试"

    def __str__(self) -> str:
        return f"{timezone.localtime(self.started_at):%m-%d %H:%M}"
