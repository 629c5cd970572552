"""Where her queue is goes under the patient's own key, as the visit's events have long been: until now whoever booked could open it."""

from copy import copy

from django.db import migrations
from django.db.models import F

import hospitals.vault
from hospitals.exceptions import CiphertextInvalid, KeyDestroyed


def seal_under_the_patient_s_key(apps, schema_editor) -> None:
    visits = apps.get_model("companion", "Visit")
    before = copy(visits._meta.get_field("snapshot"))
    before.owner = ("resident", "resident_id")
    others = visits.objects.exclude(resident_id=F("patient__keeper_id")).select_related("patient")
    for visit in others.iterator(chunk_size=500):
        try:
            visit.snapshot = before.open(visit, visit.__dict__["snapshot"])
        except (KeyDestroyed, CiphertextInvalid):  # it can be read by nobody; the next place that is told takes its place
            visit.snapshot = {}
        try:
            visit.save(update_fields=["snapshot"])
        except KeyDestroyed:  # the patient was erased
            continue


class Migration(migrations.Migration):
    dependencies = [("companion", "0012_due_indexes")]

    operations = [
        migrations.AlterField(
            model_name="visit",
            name="snapshot",
            field=hospitals.vault.EncryptedJSONField(default=dict, owner=("resident", "patient__keeper_id")),
        ),
        migrations.RunPython(seal_under_the_patient_s_key, migrations.RunPython.noop),
    ]
