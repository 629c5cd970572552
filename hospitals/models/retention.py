"""How far what is kept too long has been cleared."""

from django.db import models


class RetentionMark(models.Model):
    """One kind of rows: all up to (``upto``, ``row``), in the order they came, are cleared."""

    kind = models.CharField(max_length=20, primary_key=True)
    upto = models.DateTimeField()
    row = models.UUIDField(null=True)

    class Meta:
        verbose_name = "清理进度"
        verbose_name_plural = "清理进度"

    def __str__(self) -> str:
        return self.kind
