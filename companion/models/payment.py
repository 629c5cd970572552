"""A bill that is being paid online: our order with a payment gateway, and what became of it."""

import uuid

from django.db import models

from companion.models.visit import Visit


class PaymentOrder(models.Model):
    """``id`` in hex is the number that the gateway knows. One order a bill is open or paid at a time.

    ``changed_at``: also when its gateway was last asked about it, to close it or to give it back. ``paid_at``: by the gateway's clock.
    ``refund_fen``: how much of it goes back now (0: all that is left); ``refunded_fen`` went back before, in ``refunds`` steps.
    ``waits_since``: a person must look at its money, ``waits_because``.
    """

    class State(models.TextChoices):
        BEGUN = "begun", "待付款"
        PAID = "paid", "已付款"
        CLOSE_DUE = "close_due", "待关闭"
        RUNS_OUT = (
            "runs_out",
            "待过期",
        )  # over for us, but its gateway could not close it: payable until it runs out there
        CLOSED = "closed", "已关闭"
        REFUND_DUE = "refund_due", "待退款"
        REFUNDED = "refunded", "已退款"

    class Waits(models.TextChoices):
        UNANSWERED = "unanswered", "医院一直没有应答"
        LOWERED = "lowered", "付款后医院改少或撤销了费用"
        REFUND = "refund", "支付平台没有退成"
        AMOUNT = "amount", "到账金额与订单不符"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    visit = models.ForeignKey(Visit, on_delete=models.PROTECT, related_name="payment_orders")
    invoice_id = models.CharField("账单编号", max_length=80)
    amount_fen = models.PositiveIntegerField()
    engine = models.CharField("支付平台", max_length=20)
    state = models.CharField("状态", max_length=12, choices=State.choices, default=State.BEGUN, db_index=True)
    trade_number = models.CharField(max_length=64, blank=True)
    paid_at = models.DateTimeField("付款时间", null=True)
    refund_fen = models.PositiveIntegerField(default=0)
    refunded_fen = models.PositiveIntegerField(default=0)
    refunds = models.PositiveSmallIntegerField(default=0)
    waits_because = models.CharField(max_length=12, choices=Waits.choices, blank=True)
    waits_since = models.DateTimeField("等人处理起", null=True, blank=True)
    created_at = models.DateTimeField("建立时间", auto_now_add=True, db_index=True)
    changed_at = models.DateTimeField("更新时间", auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["visit", "invoice_id"],
                condition=models.Q(state__in=["begun", "paid"]),
                name="one_payment_a_bill",
            ),
            models.CheckConstraint(
                condition=models.Q(amount_fen__gte=models.F("refunded_fen") + models.F("refund_fen")),
                name="no_more_back_than_paid",
            ),
        ]
        indexes = [
            models.Index(
                fields=["waits_since"], condition=models.Q(waits_since__isnull=False), name="payment_waits_for_person"
            ),
        ]
        verbose_name = "线上缴费"
        verbose_name_plural = "线上缴费"
        permissions = [("settle_paymentorder", "可以退款和核对缴费")]

    def __str__(self) -> str:
        return self.id.hex

    @property
    def left_fen(self) -> int:
        """What of it has not gone back."""
        return self.amount_fen - self.refunded_fen
