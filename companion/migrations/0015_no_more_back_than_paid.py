from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("companion", "0014_money_for_a_person"),
    ]

    operations = [
        migrations.AddConstraint(
            model_name="paymentorder",
            constraint=models.CheckConstraint(
                condition=models.Q(amount_fen__gte=models.F("refunded_fen") + models.F("refund_fen")),
                name="no_more_back_than_paid",
            ),
        ),
        migrations.AddIndex(
            model_name="paymentorder",
            index=models.Index(
                fields=["waits_since"],
                condition=models.Q(waits_since__isnull=False),
                name="payment_waits_for_person",
            ),
        ),
    ]
