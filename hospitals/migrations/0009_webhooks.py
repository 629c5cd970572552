"""Endpoints and deliveries, locked like every hospital's rows; clients that exist may manage them as new ones may."""
import django.db.models.deletion
import django.utils.timezone
import hospitals.vault
import uuid
from importlib import import_module

from django.db import migrations, models

TABLES = ("hospitals_delivery", "hospitals_webhookendpoint")
SCOPES = ["webhooks:read", "webhooks:write"]
POLICIES = import_module("hospitals.migrations.0005_row_security")._POLICIES


def lock(apps, schema_editor) -> None:
    if schema_editor.connection.vendor != "postgresql":
        return
    for table in TABLES:
        schema_editor.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        schema_editor.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        for name, rule in POLICIES:
            schema_editor.execute(f"CREATE POLICY {name} ON {table} {rule}")


def widen(apps, schema_editor) -> None:
    for client in apps.get_model("hospitals", "ApiClient").objects.all():
        client.scopes = [*client.scopes, *(scope for scope in SCOPES if scope not in client.scopes)]
        client.save(update_fields=["scopes"])


class Migration(migrations.Migration):

    dependencies = [
        ('hospitals', '0008_directory'),
    ]

    operations = [
        migrations.AlterField(
            model_name='hospitalcredential',
            name='kind',
            field=models.CharField(choices=[('events', '事件签名(医院签)')], max_length=10, verbose_name='用途'),
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('environment', models.CharField(choices=[('sandbox', '联调'), ('live', '正式')], max_length=10, verbose_name='环境')),
                ('kind', models.CharField(max_length=12, verbose_name='操作')),
                ('idempotency_key', models.CharField(max_length=160, verbose_name='操作编号')),
                ('appointment_key', models.UUIDField(null=True, verbose_name='预约')),
                ('number', models.PositiveIntegerField(verbose_name='第几次')),
                ('at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='时间')),
                ('outcome', models.CharField(choices=[('accepted', '已接受'), ('refused', '未接受'), ('unknown', '没有应答'), ('failed', '没有送到')], max_length=10, verbose_name='结果')),
                ('http_status', models.PositiveSmallIntegerField(null=True, verbose_name='HTTP 状态')),
                ('code', models.CharField(blank=True, max_length=60, verbose_name='原因')),
                ('duration_ms', models.PositiveIntegerField(verbose_name='用时(毫秒)')),
                ('command', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='hospitals.outboxcommand')),
                ('hospital', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='hospitals.hospital')),
            ],
            options={
                'verbose_name': '送达记录',
                'verbose_name_plural': '送达记录',
                'ordering': ['-at', '-id'],
                'permissions': [('replay_delivery', '可以重新送达')],
                'base_manager_name': 'objects',
                'indexes': [models.Index(fields=['hospital', 'at', 'id'], name='delivery_newest'), models.Index(fields=['hospital', 'appointment_key', 'at'], name='delivery_appointment')],
            },
        ),
        migrations.CreateModel(
            name='WebhookEndpoint',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('environment', models.CharField(choices=[('sandbox', '联调'), ('live', '正式')], max_length=10, verbose_name='环境')),
                ('url', models.CharField(max_length=2000, verbose_name='地址')),
                ('secret', hospitals.vault.EncryptedTextField(owner=('hospital', 'hospital_id'))),
                ('previous_secret', hospitals.vault.EncryptedTextField(null=True, owner=('hospital', 'hospital_id'))),
                ('previous_until', models.DateTimeField(blank=True, null=True, verbose_name='旧密钥到期')),
                ('enabled', models.BooleanField(default=True, verbose_name='启用')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='登记')),
                ('changed_at', models.DateTimeField(auto_now=True, verbose_name='改动')),
                ('hospital', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='hospitals.hospital')),
            ],
            options={
                'verbose_name': '接收地址',
                'verbose_name_plural': '接收地址',
                'base_manager_name': 'objects',
                'constraints': [models.UniqueConstraint(fields=('hospital', 'environment'), name='one_endpoint_a_hospital_and_environment')],
            },
        ),
        migrations.RunPython(lock, migrations.RunPython.noop),  # the policies go with their tables
        migrations.RunPython(widen, migrations.RunPython.noop),
    ]
