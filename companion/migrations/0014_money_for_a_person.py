from django.db import migrations, models
from django.db.models import F


def went_back_whole(apps, schema_editor):
    """Until now an order went back whole or not at all."""
    orders = apps.get_model("companion", "PaymentOrder").objects.filter(state="refunded")
    orders.update(refunded_fen=F("amount_fen"), refunds=1)


class Migration(migrations.Migration):
    dependencies = [
        ("companion", "0013_visits_under_the_patient_s_key"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="paymentorder",
            options={
                "permissions": [("settle_paymentorder", "可以退款和核对缴费")],
                "verbose_name": "线上缴费",
                "verbose_name_plural": "线上缴费",
            },
        ),
        migrations.AddField(
            model_name="paymentorder", name="refund_fen", field=models.PositiveIntegerField(default=0)
        ),
        migrations.AddField(
            model_name="paymentorder", name="refunded_fen", field=models.PositiveIntegerField(default=0)
        ),
        migrations.AddField(
            model_name="paymentorder", name="refunds", field=models.PositiveSmallIntegerField(default=0)
        ),
        migrations.AddField(
            model_name="paymentorder",
            name="waits_because",
            field=models.CharField(
                blank=True,
                choices=[
                    ("unanswered", "医院一直没有应答"),
                    ("lowered", "付款后医院改少或撤销了费用"),
                    ("refund", "支付平台没有退成"),
                    ("amount", "到账金额与订单不符"),
                ],
                max_length=12,
            ),
        ),
        migrations.AddField(
            model_name="paymentorder", name="waits_since", field=models.DateTimeField("等人处理起", blank=True, null=True)
        ),
        migrations.AlterField(
            model_name="paymentorder",
            name="state",
            field=models.CharField(
                choices=[
                    ("begun", "待付款"),
                    ("paid", "已付款"),
                    ("close_due", "待关闭"),
                    ("runs_out", "待过期"),
                    ("closed", "已关闭"),
                    ("refund_due", "待退款"),
                    ("refunded", "已退款"),
                ],
                db_index=True,
                default="begun",
                max_length=12,
            ),
        ),
        migrations.RunPython(went_back_whole, migrations.RunPython.noop),
    ]
