"""Audit digests are keyed from here on, and the chains' ends are sealed; what is there already stays plain (version 0).

SQLite makes a table anew to add a column, and its trigger goes with the old one: it is put back.
"""

from django.db import migrations, models

_SQLITE = """
CREATE TRIGGER IF NOT EXISTS audit_event_append_only BEFORE UPDATE ON hospitals_auditevent
BEGIN SELECT RAISE(ABORT, 'audit events are append-only'); END
"""


def guard(apps, schema_editor) -> None:
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute(_SQLITE)


class Migration(migrations.Migration):
    dependencies = [("hospitals", "0011_second_lock")]
    operations = [
        migrations.RunPython(migrations.RunPython.noop, guard),
        migrations.AddField("auditchain", "anchored", models.BigIntegerField(default=0)),
        migrations.AddField("auditchain", "key_version", models.PositiveIntegerField(default=0)),
        migrations.AddField("auditchain", "seal", models.CharField(blank=True, default="", max_length=64), preserve_default=False),
        migrations.AddField("auditevent", "detail", models.TextField(blank=True, default="", verbose_name="详情"), preserve_default=False),
        migrations.AddField("auditevent", "key_version", models.PositiveIntegerField(default=0)),
        migrations.RunPython(guard, migrations.RunPython.noop),
    ]
