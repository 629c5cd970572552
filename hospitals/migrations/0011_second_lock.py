"""The second lock for what everybody reads: directory rows, API clients and their tokens are written in their hospital's scope only.

Reading stays open: residents look at the directory across hospitals, and a token is looked up to learn whose scope it opens.
"""

from django.db import migrations

TABLES = (
    "hospitals_apiclient",
    "hospitals_building",
    "hospitals_campus",
    "hospitals_circuit",
    "hospitals_department",
    "hospitals_floor",
    "hospitals_indoormap",
    "hospitals_notice",
    "hospitals_onboardingstep",
    "hospitals_practitioner",
    "hospitals_schedule",
    "hospitals_slot",
)
OF_A_CLIENT = ("hospitals_accesstoken", "hospitals_apisecret")
_SCOPE = "nullif(nullif(current_setting('companion.hospital', true), ''), '*')::uuid"


def _locked() -> dict[str, str]:
    """Table → which of its rows the scope may write."""
    client = "EXISTS (SELECT 1 FROM hospitals_apiclient c WHERE c.id = client_id AND c.hospital_id = {})"
    return {
        "hospitals_hospital": f"id = {_SCOPE}",
        **dict.fromkeys(TABLES, f"hospital_id = {_SCOPE}"),
        **dict.fromkeys(OF_A_CLIENT, client.format(_SCOPE)),
    }


def _policies(own: str) -> tuple[tuple[str, str], ...]:
    return (
        ("open_select", "FOR SELECT USING (true)"),
        ("own_insert", f"FOR INSERT WITH CHECK ({own})"),
        ("own_update", f"FOR UPDATE USING ({own}) WITH CHECK ({own})"),
        ("own_delete", f"FOR DELETE USING ({own})"),
    )


def lock(apps, schema_editor) -> None:
    if schema_editor.connection.vendor != "postgresql":
        return
    for table, own in _locked().items():
        schema_editor.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        schema_editor.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        for name, rule in _policies(own):
            schema_editor.execute(f"CREATE POLICY {name} ON {table} {rule}")


def unlock(apps, schema_editor) -> None:
    if schema_editor.connection.vendor != "postgresql":
        return
    for table, own in _locked().items():
        for name, _rule in _policies(own):
            schema_editor.execute(f"DROP POLICY {name} ON {table}")
        schema_editor.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        schema_editor.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")


class Migration(migrations.Migration):
    dependencies = [("hospitals", "0010_commands")]
    operations = [migrations.RunPython(lock, unlock)]
