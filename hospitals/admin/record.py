"""The audit log, newest first."""

from django.contrib import admin

from hospitals.admin.base import Province, ReadOnly, one_of
from hospitals.models import AuditEvent

KINDS = [("resident", "居民"), ("hospital", "医院"), ("commission", "卫健委"), ("service", "本服务")]


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnly, Province):
    """Searched by whole values, which an index finds: account, object, or the beginning of what was done."""

    list_display = ("at", "actor_kind", "actor", "action", "entity", "hospital_id", "why")
    list_filter = (one_of("谁", "actor_kind", KINDS),)
    search_fields = ("actor__exact", "entity_id__exact", "action__startswith")
    ordering = ("-at", "-number")
    date_hierarchy = "at"
    fields = (
        *("at", "chain", "number", "actor_kind", "actor", "action", "entity", "entity_id", "subject", "hospital_id"),
        *("why", "detail", "previous", "digest", "key_version"),
    )
