"""The audit log, newest first."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.text import Truncator
from unfold.decorators import display

from hospitals.admin import words
from hospitals.admin.base import Province, ReadOnly, one_of
from hospitals.audit import COMMISSION
from hospitals.models import AuditEvent

LONGEST = 60
KINDS = [("resident", "居民"), ("hospital", "医院"), ("commission", "卫健委"), ("service", "本服务")]


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnly, Province):
    """Searched by whole values, which an index finds: account, object, or the beginning of what was done."""

    list_display = ("at", "kind", "actor", "did", "what", "hospital", "because")
    list_filter = (one_of("谁", "actor_kind", KINDS),)
    search_fields = ("actor__exact", "entity_id__exact", "action__startswith")
    ordering = ("-at", "-number")
    date_hierarchy = "at"
    fields = (
        *("at", "whose", "number", "kind", "actor", "did", "action", "what", "entity_id", "subject", "hospital"),
        *("why", "detail", "previous", "digest", "key_version"),
    )
    readonly_fields = ("kind", "did", "what", "hospital", "whose")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The names of the hospitals on this page, with one query."""
        found = super().get_changelist_instance(request)
        names = words.hospital_names(row.hospital_id for row in found.result_list)
        for row in found.result_list:
            row.hospital_name = names.get(row.hospital_id, "—")
        return found

    @display(description="谁", ordering="actor_kind", label=True)
    def kind(self, row: AuditEvent) -> str:
        return words.said(dict(KINDS), row.actor_kind)

    @display(description="做了什么", ordering="action")
    def did(self, row: AuditEvent) -> str:
        return words.said(words.ACTIONS, row.action)

    @display(description="对象", ordering="entity")
    def what(self, row: AuditEvent) -> str:
        return words.said(words.ENTITIES, row.entity)

    @display(description="审计链")
    def whose(self, row: AuditEvent) -> str:
        return "卫健委" if row.chain_id == COMMISSION else self.hospital(row)

    @display(description="理由")
    def because(self, row: AuditEvent) -> str:
        return Truncator(row.why).chars(LONGEST) or "—"  # a chain's head would push the other columns together

    @display(description="医院")
    def hospital(self, row: AuditEvent) -> str:
        known: str | None = getattr(row, "hospital_name", None)
        return words.hospital_name(row.hospital_id) if known is None else known
