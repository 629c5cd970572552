"""A bill that is being paid online: our order with a payment gateway, and what became of it."""

import uuid

from django.db import models

from companion.models.visit import Visit


class PaymentOrder(models.Model):
    """``id`` in hex is the number that the gateway knows. One order a bill is open or paid at a time.

    ``changed_at``: also when its gateway was last asked about it, to close it or to give it back. ``paid_at``: by the gateway's clock.
    """

    class State(models.TextChoices):
        BEGUN = "begun", "待付款"
        PAID = "paid", "已付款"
        CLOSE_DUE = "close_due", "待关闭"
        CLOSED = "closed", "已关闭"
        REFUND_DUE = "refund_due", "待退款"
        REFUNDED = "refunded", "已退款"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    visit = models.ForeignKey(Visit, on_delete=models.PROTECT, related_name="payment_orders")
    invoice_id = models.CharField(max_length=80)
    amount_fen = models.PositiveIntegerField()
    engine = models.CharField(max_length=20)
    state = models.CharField(max_length=12, choices=State.choices, default=State.BEGUN, db_index=True)
    trade_number = models.CharField(max_length=64, blank=True)
    paid_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["visit", "invoice_id"],
                condition=models.Q(state__in=["begun", "paid"]),
                name="one_payment_a_bill",
            )
        ]
        verbose_name = "线上缴费"
        verbose_name_plural = "线上缴费"

    def __str__(self) -> str:
        return self.id.hex
