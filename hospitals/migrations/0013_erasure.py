"""Copies of a resident in hospitals' rows open with her key as well, may be empty, and an erased appointment says so."""

import hospitals.vault
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('hospitals', '0012_audit_keyed'),
    ]

    operations = [
        migrations.CreateModel(
            name='RetentionMark',
            fields=[
                ('kind', models.CharField(max_length=20, primary_key=True, serialize=False)),
                ('upto', models.DateTimeField()),
                ('row', models.UUIDField(null=True)),
            ],
            options={
                'verbose_name': '清理进度',
                'verbose_name_plural': '清理进度',
            },
        ),
        migrations.AddField(
            model_name='appointment',
            name='erased_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='appointment',
            name='keeper_id',
            field=models.UUIDField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='inboxevent',
            name='keeper_id',
            field=models.UUIDField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='outboxcommand',
            name='keeper_id',
            field=models.UUIDField(editable=False, null=True),
        ),
        migrations.AlterField(
            model_name='appointment',
            name='card',
            field=hospitals.vault.EncryptedJSONField(also=('resident', 'keeper_id'), null=True, owner=('hospital', 'hospital_id')),
        ),
        migrations.AlterField(
            model_name='inboxevent',
            name='body',
            field=hospitals.vault.EncryptedTextField(also=('resident', 'keeper_id'), null=True, owner=('hospital', 'hospital_id')),
        ),
        migrations.AlterField(
            model_name='outboxcommand',
            name='data',
            field=hospitals.vault.EncryptedJSONField(also=('resident', 'keeper_id'), default=dict, null=True, owner=('hospital', 'hospital_id')),
        ),
        migrations.AddIndex(
            model_name='datakey',
            index=models.Index(condition=models.Q(('destroyed_at__isnull', False)), fields=['destroyed_at'], name='data_key_destroyed'),
        ),
    ]
