"""The audit log's rows: appended, chained by hash, never changed."""

import uuid

from django.db import models


class AuditChain(models.Model):
    """The end of one chain: a hospital's, or (``key`` "commission") what concerns no single hospital."""

    key = models.CharField(max_length=40, primary_key=True)
    length = models.BigIntegerField(default=0)
    head = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = "审计链"
        verbose_name_plural = "审计链"


class AuditEvent(models.Model):
    """Who did what to whose data, in which hospital, why. ``digest`` covers every column and the digest before it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    chain = models.ForeignKey(AuditChain, on_delete=models.PROTECT, related_name="events")
    number = models.BigIntegerField()
    at = models.DateTimeField("时间")
    actor_kind = models.CharField("谁", max_length=12)  # resident | hospital | commission | service
    actor = models.CharField("账号", max_length=150, blank=True)
    action = models.CharField("做了什么", max_length=60)
    entity = models.CharField("对象", max_length=40, blank=True)
    entity_id = models.CharField("对象编号", max_length=64, blank=True)
    subject = models.UUIDField("就诊人", null=True, blank=True, db_index=True)
    hospital_id = models.UUIDField("医院", null=True, blank=True, db_index=True)
    why = models.CharField("理由", max_length=200, blank=True)
    previous = models.CharField(max_length=64, blank=True)
    digest = models.CharField(max_length=64)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["chain", "number"], name="audit_number_once")]
        indexes = [models.Index(fields=["at"])]
        ordering = ["chain", "number"]
        verbose_name = "审计记录"
        verbose_name_plural = "审计记录"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.chain_id} {self.number}"
