"""Data keys, wrapped by the key service. To destroy one is to erase everything encrypted with it."""

import uuid

from django.db import models
from django.utils import timezone


class DataKey(models.Model):
    """One version of one owner's key. ``wrapped`` is emptied when it is destroyed; the row stays as the proof."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner_kind = models.CharField(max_length=20)
    owner_id = models.CharField(max_length=64, blank=True)
    version = models.PositiveIntegerField(default=1)
    cipher = models.CharField(max_length=16)
    master_id = models.CharField(max_length=64)
    wrapped = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now)
    destroyed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner_kind", "owner_id", "version"], name="data_key_version_once")
        ]
        indexes = [
            models.Index(
                fields=["destroyed_at"], condition=models.Q(destroyed_at__isnull=False), name="data_key_destroyed"
            )
        ]
        verbose_name = "数据密钥"
        verbose_name_plural = "数据密钥"

    def __str__(self) -> str:
        return f"{self.owner_kind} {self.owner_id[:8]} v{self.version}"
