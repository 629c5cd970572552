"""A withdrawn floor leaves its number to the next; columns have Chinese names (which the database does not see)."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('hospitals', '0013_erasure'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='circuit',
            options={'verbose_name': '没有应答的系统', 'verbose_name_plural': '没有应答的系统'},
        ),
        migrations.AlterModelOptions(
            name='idempotentanswer',
            options={'base_manager_name': 'objects', 'verbose_name': '已答复的请求', 'verbose_name_plural': '已答复的请求'},
        ),
        migrations.RemoveConstraint(
            model_name='floor',
            name='floor_once',
        ),
        migrations.AlterField(
            model_name='apiclient',
            name='hospital',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='api_clients', to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='apiclient',
            name='id',
            field=models.CharField(max_length=40, primary_key=True, serialize=False, verbose_name='账号'),
        ),
        migrations.AlterField(
            model_name='appointment',
            name='hospital',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='auditevent',
            name='chain',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='events', to='hospitals.auditchain', verbose_name='审计链'),
        ),
        migrations.AlterField(
            model_name='auditevent',
            name='digest',
            field=models.CharField(max_length=64, verbose_name='摘要'),
        ),
        migrations.AlterField(
            model_name='auditevent',
            name='key_version',
            field=models.PositiveIntegerField(default=0, verbose_name='密钥版本'),
        ),
        migrations.AlterField(
            model_name='auditevent',
            name='number',
            field=models.BigIntegerField(verbose_name='第几条'),
        ),
        migrations.AlterField(
            model_name='auditevent',
            name='previous',
            field=models.CharField(blank=True, max_length=64, verbose_name='前一条的摘要'),
        ),
        migrations.AlterField(
            model_name='building',
            name='campus',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='buildings', to='hospitals.campus', verbose_name='院区'),
        ),
        migrations.AlterField(
            model_name='building',
            name='changed_at',
            field=models.DateTimeField(auto_now=True, db_index=True, verbose_name='最近变化'),
        ),
        migrations.AlterField(
            model_name='building',
            name='hospital',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='buildings', to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='campus',
            name='changed_at',
            field=models.DateTimeField(auto_now=True, db_index=True, verbose_name='最近变化'),
        ),
        migrations.AlterField(
            model_name='campus',
            name='hospital',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='campuses', to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='circuit',
            name='changed_at',
            field=models.DateTimeField(auto_now=True, verbose_name='最近变化'),
        ),
        migrations.AlterField(
            model_name='circuit',
            name='failures',
            field=models.PositiveIntegerField(default=0, verbose_name='连续没有应答'),
        ),
        migrations.AlterField(
            model_name='circuit',
            name='hospital',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='circuit', serialize=False, to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='circuit',
            name='last_failure',
            field=models.CharField(blank=True, max_length=60, verbose_name='最近一次原因'),
        ),
        migrations.AlterField(
            model_name='circuit',
            name='open_until',
            field=models.DateTimeField(blank=True, null=True, verbose_name='暂不联系到'),
        ),
        migrations.AlterField(
            model_name='conformancerun',
            name='hospital',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='delivery',
            name='command',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='hospitals.outboxcommand', verbose_name='待送达操作'),
        ),
        migrations.AlterField(
            model_name='delivery',
            name='hospital',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='department',
            name='changed_at',
            field=models.DateTimeField(auto_now=True, db_index=True, verbose_name='最近变化'),
        ),
        migrations.AlterField(
            model_name='department',
            name='hospital',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='departments', to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='floor',
            name='building',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='floors', to='hospitals.building', verbose_name='楼'),
        ),
        migrations.AlterField(
            model_name='floor',
            name='changed_at',
            field=models.DateTimeField(auto_now=True, db_index=True, verbose_name='最近变化'),
        ),
        migrations.AlterField(
            model_name='floor',
            name='hospital',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='floors', to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='hospital',
            name='changed_at',
            field=models.DateTimeField(auto_now=True, db_index=True, verbose_name='最近变化'),
        ),
        migrations.AlterField(
            model_name='hospital',
            name='created_at',
            field=models.DateTimeField(auto_now_add=True, verbose_name='申请时间'),
        ),
        migrations.AlterField(
            model_name='hospitalapplication',
            name='hospital',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='hospitalcredential',
            name='hospital',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='idempotentanswer',
            name='hospital',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='importrun',
            name='hospital',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='inboxevent',
            name='hospital',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='indoormap',
            name='changed_at',
            field=models.DateTimeField(auto_now=True, verbose_name='上传时间'),
        ),
        migrations.AlterField(
            model_name='indoormap',
            name='hospital',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='indoor_map', serialize=False, to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='indoormap',
            name='version',
            field=models.PositiveIntegerField(default=1, verbose_name='版本'),
        ),
        migrations.AlterField(
            model_name='notice',
            name='changed_at',
            field=models.DateTimeField(auto_now=True, db_index=True, verbose_name='最近变化'),
        ),
        migrations.AlterField(
            model_name='notice',
            name='hospital',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='notices', to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='onboardingstep',
            name='hospital',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='onboarding', to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='outboxcommand',
            name='hospital',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='practitioner',
            name='changed_at',
            field=models.DateTimeField(auto_now=True, db_index=True, verbose_name='最近变化'),
        ),
        migrations.AlterField(
            model_name='practitioner',
            name='department',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='practitioners', to='hospitals.department', verbose_name='科室'),
        ),
        migrations.AlterField(
            model_name='practitioner',
            name='hospital',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='practitioners', to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='schedule',
            name='changed_at',
            field=models.DateTimeField(auto_now=True, db_index=True, verbose_name='最近变化'),
        ),
        migrations.AlterField(
            model_name='schedule',
            name='department',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='schedules', to='hospitals.department', verbose_name='科室'),
        ),
        migrations.AlterField(
            model_name='schedule',
            name='hospital',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='schedules', to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='schedule',
            name='practitioner',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='schedules', to='hospitals.practitioner', verbose_name='医生'),
        ),
        migrations.AlterField(
            model_name='slot',
            name='changed_at',
            field=models.DateTimeField(auto_now=True, verbose_name='最近变化'),
        ),
        migrations.AlterField(
            model_name='slot',
            name='department',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='slots', to='hospitals.department', verbose_name='科室'),
        ),
        migrations.AlterField(
            model_name='slot',
            name='hospital',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='slots', to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='slot',
            name='practitioner',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='slots', to='hospitals.practitioner', verbose_name='医生'),
        ),
        migrations.AlterField(
            model_name='slot',
            name='schedule',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='slots', to='hospitals.schedule', verbose_name='排班'),
        ),
        migrations.AlterField(
            model_name='slothold',
            name='hospital',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='waitingentry',
            name='hospital',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='webhookendpoint',
            name='hospital',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='hospitals.hospital', verbose_name='医院'),
        ),
        migrations.AddConstraint(
            model_name='floor',
            constraint=models.UniqueConstraint(condition=models.Q(('withdrawn_at', None)), fields=('building', 'number'), name='floor_once'),
        ),
    ]
