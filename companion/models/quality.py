"""A reviewer's look at one turn: why it was picked, what was wrong with it, and what should have been said."""

import uuid

from django.db import models
from django.utils import timezone

from companion.models.conversation import Turn
from hospitals.vault import EncryptedTextField


class TurnReview(models.Model):
    """One turn picked for a human to read. What should have been understood stands on the turn (``corrected_*``)."""

    class Because(models.TextChoices):
        LOW_RATING = "low_rating", "居民点了不满意"
        REPLACED = "replaced", "有答复被安全规则替换"
        NOT_UNDERSTOOD = "not_understood", "没有听懂"
        BY_MODEL = "by_model", "由语言模型理解"
        EMERGENCY = "emergency", "判为急危重"
        RANDOM = "random", "随机抽样"

    class Label(models.TextChoices):
        RIGHT = "right", "理解和回答都对"
        MISUNDERSTOOD = "misunderstood", "理解错了"
        WRONG_DEPARTMENT = "wrong_department", "科室不对"
        WRONG_URGENCY = "wrong_urgency", "轻重缓急判断不对"
        WRONG_FACT = "wrong_fact", "说错了事实"
        UNSAFE = "unsafe", "有安全风险"
        UNCLEAR = "unclear", "说得不清楚、太长"
        UNFRIENDLY = "unfriendly", "语气不好"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    turn = models.OneToOneField(Turn, on_delete=models.CASCADE, related_name="review")
    resident_id = models.UUIDField(editable=False)
    because = models.CharField("抽中原因", max_length=20, choices=Because.choices, db_index=True)
    picked_at = models.DateTimeField("抽样时间", auto_now_add=True, db_index=True)
    label = models.CharField("评审结论", max_length=20, choices=Label.choices, blank=True, db_index=True)
    better_words = EncryptedTextField(owner=("resident", "resident_id"), default="")
    note = EncryptedTextField(owner=("resident", "resident_id"), default="")
    reviewer = models.CharField("评审人", max_length=150, blank=True)
    reviewed_at = models.DateTimeField("评审时间", null=True, blank=True)

    class Meta:
        ordering = ["-picked_at"]
        indexes = [models.Index(fields=["resident_id", "id"], name="review_under_whose_key")]
        verbose_name = "质量评审"
        verbose_name_plural = "质量评审"

    def __str__(self) -> str:
        return f"评审 {timezone.localtime(self.picked_at):%m-%d %H:%M}"
