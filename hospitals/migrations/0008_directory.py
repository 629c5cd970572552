"""A slot's own word on being stopped, apart from its half day's; where an upload stands."""

import django.utils.timezone
from django.db import migrations, models
from django.db.models import Q


def tell_apart(apps, schema_editor) -> None:
    slots = apps.get_model("hospitals", "Slot").objects
    half_day_off = Q(schedule__stopped_at__isnull=False) | Q(schedule__withdrawn_at__isnull=False)
    slots.filter(stopped=True).exclude(half_day_off).update(stopped_itself=True)
    gone = Q(practitioner__withdrawn_at__isnull=False) | Q(department__withdrawn_at__isnull=False)
    slots.filter(half_day_off | gone | Q(department__bookable=False), stopped=False).update(
        stopped=True, changed_at=django.utils.timezone.now()
    )


class Migration(migrations.Migration):
    dependencies = [("hospitals", "0007_admin")]

    operations = [
        migrations.AddField(
            model_name="slot",
            name="stopped_itself",
            field=models.BooleanField(db_default=False, default=False, verbose_name="本号源停诊"),
        ),
        migrations.AddField(
            model_name="importrun",
            name="line",
            field=models.PositiveIntegerField(default=0, verbose_name="写到第几行"),
        ),
        migrations.AddField(
            model_name="importrun",
            name="digest",
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AddField(
            model_name="importrun",
            name="attempt",
            field=models.PositiveSmallIntegerField(default=1, verbose_name="第几次"),
        ),
        migrations.AddField(
            model_name="importrun",
            name="progress_at",
            field=models.DateTimeField(default=django.utils.timezone.now, verbose_name="最近进展"),
        ),
        migrations.RunPython(tell_apart, migrations.RunPython.noop),
    ]
