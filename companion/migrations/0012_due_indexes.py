from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('companion', '0011_paying_paid_at'),
    ]

    operations = [
        migrations.AlterField(
            model_name='reminder',
            name='due_at',
            field=models.DateTimeField(),
        ),
        migrations.AlterField(
            model_name='resident',
            name='quiet_until',
            field=models.TimeField(db_index=True, default='07:30'),
        ),
        migrations.AddIndex(
            model_name='reminder',
            index=models.Index(condition=models.Q(('sent_at', None)), fields=['due_at'], name='reminder_unsent'),
        ),
        migrations.AddIndex(
            model_name='visitprompt',
            index=models.Index(condition=models.Q(('by_itself', True), ('obsolete', False), ('said_at', None)), fields=['due_at'], name='prompt_unsaid'),
        ),
    ]
