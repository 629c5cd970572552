"""Audit rows are only ever added: the database itself refuses to change them, and (PostgreSQL) to delete them.

SQLite, the kind for a demo, has no TRUNCATE: emptying it, as tests do between each other, is a DELETE. There a deleted
row is found by ``verify_audit``, as it is everywhere.
"""

from django.db import migrations

_POSTGRES = """
CREATE OR REPLACE FUNCTION audit_event_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'audit events are append-only'; END $$;
CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE ON hospitals_auditevent
FOR EACH ROW EXECUTE FUNCTION audit_event_append_only();
"""
_POSTGRES_BACK = """
DROP TRIGGER IF EXISTS audit_event_append_only ON hospitals_auditevent;
DROP FUNCTION IF EXISTS audit_event_append_only();
"""
_SQLITE = """
CREATE TRIGGER audit_event_append_only BEFORE UPDATE ON hospitals_auditevent
BEGIN SELECT RAISE(ABORT, 'audit events are append-only'); END
"""


def guard(apps, schema_editor) -> None:
    schema_editor.execute(_POSTGRES if schema_editor.connection.vendor == "postgresql" else _SQLITE)


def unguard(apps, schema_editor) -> None:
    postgres = schema_editor.connection.vendor == "postgresql"
    schema_editor.execute(_POSTGRES_BACK if postgres else "DROP TRIGGER IF EXISTS audit_event_append_only")


class Migration(migrations.Migration):
    dependencies = [("hospitals", "0003_conformance_record")]
    operations = [migrations.RunPython(guard, unguard)]
