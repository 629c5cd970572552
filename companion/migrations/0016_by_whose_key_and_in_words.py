"""Whose key a row is under is found by an index; columns have Chinese names (which the database does not see)."""

import companion.journey
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('companion', '0015_no_more_back_than_paid'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='residentsession',
            options={'verbose_name': '登录', 'verbose_name_plural': '登录'},
        ),
        migrations.AlterModelOptions(
            name='visitprompt',
            options={'ordering': ['due_at', 'id'], 'verbose_name': '提示', 'verbose_name_plural': '提示'},
        ),
        migrations.AlterField(
            model_name='conversation',
            name='avatar',
            field=models.CharField(default='xiaolan', max_length=40, verbose_name='形象'),
        ),
        migrations.AlterField(
            model_name='conversation',
            name='last_seen_at',
            field=models.DateTimeField(auto_now=True, verbose_name='最近一次'),
        ),
        migrations.AlterField(
            model_name='conversation',
            name='started_at',
            field=models.DateTimeField(auto_now_add=True, verbose_name='开始'),
        ),
        migrations.AlterField(
            model_name='conversation',
            name='turns_count',
            field=models.PositiveIntegerField(default=0, verbose_name='轮数'),
        ),
        migrations.AlterField(
            model_name='humanrequest',
            name='answered_at',
            field=models.DateTimeField(blank=True, null=True, verbose_name='接听时间'),
        ),
        migrations.AlterField(
            model_name='humanrequest',
            name='conversation',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='human_requests', to='companion.conversation', verbose_name='对话'),
        ),
        migrations.AlterField(
            model_name='humanrequest',
            name='requested_at',
            field=models.DateTimeField(auto_now_add=True, verbose_name='请求时间'),
        ),
        migrations.AlterField(
            model_name='incident',
            name='codes',
            field=models.JSONField(default=list, verbose_name='规则'),
        ),
        migrations.AlterField(
            model_name='incident',
            name='conversation',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='incidents', to='companion.conversation', verbose_name='对话'),
        ),
        migrations.AlterField(
            model_name='incident',
            name='created_at',
            field=models.DateTimeField(auto_now_add=True, db_index=True, verbose_name='时间'),
        ),
        migrations.AlterField(
            model_name='incident',
            name='handled_at',
            field=models.DateTimeField(blank=True, null=True, verbose_name='处理时间'),
        ),
        migrations.AlterField(
            model_name='incident',
            name='handled_by',
            field=models.CharField(blank=True, max_length=150, verbose_name='处理人'),
        ),
        migrations.AlterField(
            model_name='incident',
            name='hospital_id',
            field=models.UUIDField(blank=True, null=True, verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='incident',
            name='kind',
            field=models.CharField(choices=[('emergency', '急危重'), ('self_harm', '自伤风险'), ('guard', '答复被拦截'), ('injection', '提示注入'), ('critical_value', '危急值'), ('undelivered', '没能送达医院'), ('complaint', '投诉')], db_index=True, max_length=16, verbose_name='类型'),
        ),
        migrations.AlterField(
            model_name='reminder',
            name='due_at',
            field=models.DateTimeField(verbose_name='该提醒的时间'),
        ),
        migrations.AlterField(
            model_name='reminder',
            name='kind',
            field=models.CharField(choices=[('day_before', '就诊前一天'), ('leave_home', '该出门了'), ('fasting', '检查前空腹'), ('medicine', '吃药'), ('follow_up', '复诊')], max_length=12, verbose_name='提醒什么'),
        ),
        migrations.AlterField(
            model_name='reminder',
            name='part_id',
            field=models.CharField(blank=True, max_length=80, verbose_name='哪一项'),
        ),
        migrations.AlterField(
            model_name='reminder',
            name='sent_at',
            field=models.DateTimeField(blank=True, null=True, verbose_name='提醒了的时间'),
        ),
        migrations.AlterField(
            model_name='reminder',
            name='visit',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='reminders', to='companion.visit', verbose_name='就诊'),
        ),
        migrations.AlterField(
            model_name='turn',
            name='created_at',
            field=models.DateTimeField(auto_now_add=True, db_index=True, verbose_name='时间'),
        ),
        migrations.AlterField(
            model_name='turn',
            name='duration_ms',
            field=models.PositiveIntegerField(default=0, verbose_name='用时(毫秒)'),
        ),
        migrations.AlterField(
            model_name='turn',
            name='intent',
            field=models.CharField(blank=True, db_index=True, max_length=40, verbose_name='理解为'),
        ),
        migrations.AlterField(
            model_name='turn',
            name='number',
            field=models.PositiveIntegerField(verbose_name='第几轮'),
        ),
        migrations.AlterField(
            model_name='turn',
            name='rating',
            field=models.SmallIntegerField(blank=True, null=True, verbose_name='居民评价'),
        ),
        migrations.AlterField(
            model_name='turn',
            name='reviewed_at',
            field=models.DateTimeField(blank=True, null=True, verbose_name='评审时间'),
        ),
        migrations.AlterField(
            model_name='turn',
            name='skill',
            field=models.CharField(blank=True, db_index=True, max_length=40, verbose_name='由谁回答'),
        ),
        migrations.AlterField(
            model_name='turn',
            name='urgency',
            field=models.CharField(blank=True, db_index=True, max_length=20, verbose_name='轻重缓急'),
        ),
        migrations.AlterField(
            model_name='visit',
            name='changed_at',
            field=models.DateTimeField(auto_now=True, verbose_name='最近变化'),
        ),
        migrations.AlterField(
            model_name='visit',
            name='created_at',
            field=models.DateTimeField(auto_now_add=True, verbose_name='预约时间'),
        ),
        migrations.AlterField(
            model_name='visit',
            name='department',
            field=models.CharField(max_length=100, verbose_name='科室'),
        ),
        migrations.AlterField(
            model_name='visit',
            name='fee_fen',
            field=models.PositiveIntegerField(default=0, verbose_name='诊查费(分)'),
        ),
        migrations.AlterField(
            model_name='visit',
            name='hospital_id',
            field=models.UUIDField(db_index=True, verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='visit',
            name='hospital_name',
            field=models.CharField(max_length=100, verbose_name='医院'),
        ),
        migrations.AlterField(
            model_name='visit',
            name='place',
            field=models.CharField(blank=True, max_length=200, verbose_name='地点'),
        ),
        migrations.AlterField(
            model_name='visit',
            name='practitioner',
            field=models.CharField(blank=True, max_length=50, verbose_name='医生'),
        ),
        migrations.AlterField(
            model_name='visit',
            name='start',
            field=models.DateTimeField(verbose_name='就诊时间'),
        ),
        migrations.AlterField(
            model_name='visit',
            name='state',
            field=models.CharField(choices=[('triaged', 'triaged'), ('booked', 'booked'), ('reminded', 'reminded'), ('arrived', 'arrived'), ('cancelling', 'cancelling'), ('checked_in', 'checked_in'), ('waiting', 'waiting'), ('called', 'called'), ('missed', 'missed'), ('in_consultation', 'in_consultation'), ('consulted', 'consulted'), ('closed', 'closed'), ('follow_up', 'follow_up'), ('refused', 'refused'), ('stopped', 'stopped'), ('cancelled', 'cancelled'), ('no_show', 'no_show')], default=companion.journey.VisitState['TRIAGED'], max_length=20, verbose_name='状态'),
        ),
        migrations.AlterField(
            model_name='visitevent',
            name='occurred_at',
            field=models.DateTimeField(verbose_name='发生时间'),
        ),
        migrations.AlterField(
            model_name='visitevent',
            name='received_at',
            field=models.DateTimeField(verbose_name='收到时间'),
        ),
        migrations.AlterField(
            model_name='visitevent',
            name='sequence',
            field=models.BigIntegerField(verbose_name='序号'),
        ),
        migrations.AlterField(
            model_name='visitevent',
            name='type',
            field=models.CharField(max_length=40, verbose_name='发生了什么'),
        ),
        migrations.AddIndex(
            model_name='turn',
            index=models.Index(fields=['resident_id', 'id'], name='turn_under_whose_key'),
        ),
        migrations.AddIndex(
            model_name='turnreview',
            index=models.Index(fields=['resident_id', 'id'], name='review_under_whose_key'),
        ),
        migrations.AddIndex(
            model_name='visitevent',
            index=models.Index(fields=['resident_id', 'id'], name='event_under_whose_key'),
        ),
    ]
