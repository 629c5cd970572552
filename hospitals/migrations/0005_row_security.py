"""PostgreSQL's second lock: each hospital's rows are visible and writable only in its own scope (hospitals.postgres)."""

from django.db import migrations

TABLES = (
    "hospitals_appointment",
    "hospitals_conformancerun",
    "hospitals_hospitalapplication",
    "hospitals_hospitalcredential",
    "hospitals_idempotentanswer",
    "hospitals_importrun",
    "hospitals_inboxevent",
    "hospitals_outboxcommand",
    "hospitals_slothold",
    "hospitals_waitingentry",
)
_TOLD = "current_setting('companion.hospital', true)"
_OWN = f"hospital_id = nullif(nullif({_TOLD}, ''), '*')::uuid"
# A report over all hospitals reads; only a hospital's own scope writes.
_POLICIES = (
    ("tenant_select", f"FOR SELECT USING ({_OWN} OR {_TOLD} = '*')"),
    ("tenant_insert", f"FOR INSERT WITH CHECK ({_OWN})"),
    ("tenant_update", f"FOR UPDATE USING ({_OWN}) WITH CHECK ({_OWN})"),
    ("tenant_delete", f"FOR DELETE USING ({_OWN})"),
)


def lock(apps, schema_editor) -> None:
    if schema_editor.connection.vendor != "postgresql":
        return
    for table in TABLES:
        schema_editor.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        schema_editor.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        for name, rule in _POLICIES:
            schema_editor.execute(f"CREATE POLICY {name} ON {table} {rule}")


def unlock(apps, schema_editor) -> None:
    if schema_editor.connection.vendor != "postgresql":
        return
    for table in TABLES:
        for name, _rule in _POLICIES:
            schema_editor.execute(f"DROP POLICY {name} ON {table}")
        schema_editor.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        schema_editor.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")


class Migration(migrations.Migration):
    dependencies = [("hospitals", "0004_audit_append_only")]
    operations = [migrations.RunPython(lock, unlock)]
