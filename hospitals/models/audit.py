"""The audit log's rows: appended, chained by keyed hash, never changed."""

import uuid

from django.db import models


class AuditChain(models.Model):
    """The end of one chain: a hospital's, or (``key`` "commission") what concerns no single hospital.

    ``seal``: a keyed hash over the other columns, so that nobody shortens a chain without the key; "" where the end is
    from before there was a key. ``anchored``: the length that was last sent elsewhere (hospitals.audit.heads).
    """

    key = models.CharField(max_length=40, primary_key=True)
    length = models.BigIntegerField(default=0)
    head = models.CharField(max_length=64, blank=True)
    anchored = models.BigIntegerField(default=0)
    key_version = models.PositiveIntegerField(default=0)
    seal = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = "审计链"
        verbose_name_plural = "审计链"


class AuditEvent(models.Model):
    """Who did what to whose data, in which hospital, why. ``digest`` covers every column and the digest before it.

    ``key_version``: of the audit key that made the digest; 0: plain SHA-256, from before there was one. ``detail``: what
    an event has to tell beyond its columns, never personal data beyond ids.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    chain = models.ForeignKey(AuditChain, on_delete=models.PROTECT, related_name="events", verbose_name="审计链")
    number = models.BigIntegerField("第几条")
    at = models.DateTimeField("时间")
    actor_kind = models.CharField("谁", max_length=12)  # resident | hospital | commission | service
    actor = models.CharField("账号", max_length=150, blank=True)
    action = models.CharField("做了什么", max_length=60)
    entity = models.CharField("对象", max_length=40, blank=True)
    entity_id = models.CharField("对象编号", max_length=64, blank=True)
    subject = models.UUIDField("就诊人", null=True, blank=True, db_index=True)
    hospital_id = models.UUIDField("医院", null=True, blank=True, db_index=True)
    why = models.CharField("理由", max_length=200, blank=True)
    detail = models.TextField("详情", blank=True)
    key_version = models.PositiveIntegerField("密钥版本", default=0)
    previous = models.CharField("前一条的摘要", max_length=64, blank=True)
    digest = models.CharField("摘要", max_length=64)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["chain", "number"], name="audit_number_once")]
        indexes = [models.Index(fields=["at"])]
        ordering = ["chain", "number"]
        verbose_name = "审计记录"
        verbose_name_plural = "审计记录"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"第{self.number}条"
