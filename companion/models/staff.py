"""What staff sign in with besides their password."""

import uuid

from django.conf import settings
from django.db import models

from hospitals.vault import EncryptedTextField


class StaffFactor(models.Model):
    """An account's authenticator (TOTP). ``last_step``: of the last code that was used; ``recovery``: digests of unused codes."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="factor")
    secret = EncryptedTextField(owner=("staff", "user_id"))
    confirmed_at = models.DateTimeField(null=True, blank=True)
    last_step = models.BigIntegerField(default=0)
    recovery = models.JSONField(default=list)

    class Meta:
        verbose_name = "两步验证"
        verbose_name_plural = "两步验证"
