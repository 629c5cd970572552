from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("companion", "0010_payment_close_due"),
    ]

    operations = [
        migrations.AddField(
            model_name="paymentorder",
            name="paid_at",
            field=models.DateTimeField(null=True),
        ),
    ]
