"""What staff write about an incident is sealed like all words about people."""

from django.db import migrations

import hospitals.vault


def seal(apps, schema_editor) -> None:
    incident = apps.get_model("companion", "Incident")
    for row in incident.objects.exclude(plain="").iterator():
        row.note = row.plain
        row.save(update_fields=["note"])


class Migration(migrations.Migration):
    dependencies = [("companion", "0005_commands"), ("hospitals", "0011_second_lock")]

    operations = [
        migrations.RenameField(model_name="incident", old_name="note", new_name="plain"),
        migrations.AddField(
            model_name="incident",
            name="note",
            field=hospitals.vault.EncryptedTextField(null=True, owner=("incident", "id")),
        ),
        migrations.RunPython(seal, migrations.RunPython.noop),
        migrations.RemoveField(model_name="incident", name="plain"),
    ]
