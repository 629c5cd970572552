"""Whose the copies in hospitals' rows are, and events of visits that somebody else booked under the patient's own key.

Values stay as they are sealed until the hospital's or the resident's key is changed (manage.py rotate_keys): they open all the
same, and are under both keys from then on. Bodies of events that were handled say nothing that the visit does not have.
"""

from django.db import migrations
from django.db.models import F, OuterRef, Subquery

from hospitals import tenancy
from hospitals.exceptions import KeyDestroyed


def tell_whose(apps, schema_editor) -> None:
    model = apps.get_model
    appointments = model("hospitals", "Appointment").objects
    keepers = model("companion", "Patient").objects.filter(id=OuterRef("subject")).values("keeper_id")[:1]
    for hospital_id, state in model("hospitals", "Hospital").objects.values_list("id", "state"):
        with tenancy.scope(hospital_id):
            mine = {"hospital_id": hospital_id, "keeper_id": None}
            appointments.filter(**mine).update(keeper_id=Subquery(keepers))
            booked = appointments.filter(id=OuterRef("appointment_id")).values("keeper_id")[:1]
            model("hospitals", "OutboxCommand").objects.filter(**mine).update(keeper_id=Subquery(booked))
            if state in ("live", "suspended", "left"):  # others rehearse, and are judged by what they said
                model("hospitals", "InboxEvent").objects.filter(**mine, state="done").update(body=None)


def seal_under_the_patient_s_key(apps, schema_editor) -> None:
    events = apps.get_model("companion", "VisitEvent").objects.exclude(resident_id=F("visit__patient__keeper_id"))
    for event in events.select_related("visit__patient").iterator(chunk_size=500):
        try:
            event.data, event.resident_id = event.data, event.visit.patient.keeper_id
            event.save(update_fields=["data", "resident_id"])
        except KeyDestroyed:  # one of the two was erased: nobody reads it any more
            continue


class Migration(migrations.Migration):
    dependencies = [("companion", "0008_open_id"), ("hospitals", "0013_erasure")]

    operations = [
        migrations.RunPython(tell_whose, migrations.RunPython.noop),
        migrations.RunPython(seal_under_the_patient_s_key, migrations.RunPython.noop),
    ]
