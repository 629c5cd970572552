"""Every column that holds text in clear, and why nobody's words get there. A new one is put here, or sealed."""

from django.apps import apps
from django.db import models

from hospitals.vault import EncryptedField

APPS = ("companion", "hospitals", "auth", "sessions", "admin")
# What hospitals publish of themselves for everybody to read, and what a visit copies of it.
PUBLISHED = {
    "hospitals_hospital": "code name nicknames level city address phone opening_hours missed_call_rule avatar voice lexicon",
    "hospitals_campus": "identifier name address",
    "hospitals_building": "identifier name",
    "hospitals_floor": "identifier name",
    "hospitals_department": "identifier name standard_name national_code room_code room_name place",
    "hospitals_practitioner": "identifier name title specialty",
    "hospitals_schedule": "identifier",
    "hospitals_slot": "identifier",
    "hospitals_indoormap": "geojson",
    "hospitals_notice": "identifier text",
    "hospitals_idempotentanswer": "body headers",  # the answers to a hospital's writes of the above
    "companion_visit": "hospital_name department practitioner place room_code",
    "hospitals_sandboxsystem": "code missed_rule places broken",
    "hospitals_sandboxclinic": "department name script room_code room_name place desks waiting",
}
# What a hospital's system, a gateway or the operator chose to call a thing: matched whole, and shown to nobody as words.
IDS = {
    "hospitals_idempotentanswer": "key",
    "hospitals_appointment": "idempotency_key reference",
    "hospitals_outboxcommand": "idempotency_key",
    "hospitals_inboxevent": "event_id appointment_key",
    "hospitals_delivery": "idempotency_key",
    "hospitals_sandboxvisit": "schedule paid done commands",
    "hospitals_hospitalapplication": "licence_number",
    "hospitals_webhookendpoint": "url",
    "companion_visitevent": "key",
    "companion_visitprompt": "key part_id",
    "companion_reminder": "part_id",
    "companion_paymentorder": "invoice_id trade_number",
}
# Words of our own code, UUIDs of ours, digests and keyed hashes.
CODES = {
    "companion_externalidentity": "provider app_id open_id_index",
    "companion_residentsession": "provider",
    "companion_patient": "id_number_index",
    "companion_invitation": "code_index",
    "companion_conversation": "avatar",
    "companion_turn": "skill intent urgency corrected_intent corrected_department corrected_urgency",
    "companion_incident": "codes",
    "companion_visitevent": "type",
    "companion_visitprompt": "name",
    "companion_paymentorder": "engine",
    "companion_stafffactor": "recovery",
    "hospitals_auditchain": "key head seal",
    "hospitals_auditevent": "actor_kind action entity entity_id detail previous digest",
    "hospitals_retentionmark": "kind",
    "hospitals_datakey": "owner_kind owner_id cipher master_id",
    "hospitals_hospital": "connector",
    "hospitals_hospitalapplication": "claim_digest",
    "hospitals_apiclient": "id scopes",
    "hospitals_apisecret": "digest",
    "hospitals_accesstoken": "digest scopes",
    "hospitals_idempotentanswer": "fingerprint",
    "hospitals_importrun": "faults digest",
    "hospitals_conformancerun": "connector points record",
    "hospitals_appointment": "id_number_index",
    "hospitals_outboxcommand": "kind reason",
    "hospitals_inboxevent": "type digest reason",
    "hospitals_circuit": "last_failure",
    "hospitals_delivery": "kind code",
    "hospitals_sandboxmessage": "type",
    "auth_permission": "name codename",
    "auth_user": "password",
    "django_session": "session_key",
    "django_admin_log": "object_id change_message",
}
# Accounts of staff, and why they did something: it is asked for, and numbers are not taken.
STAFF = {
    "auth_user": "username first_name last_name email",
    "auth_group": "name",
    "companion_incident": "handled_by",
    "companion_turnreview": "reviewer",
    "hospitals_auditevent": "actor why",
    "hospitals_onboardingstep": "actor reason",
    "django_admin_log": "object_repr",
    "django_session": "session_data",
}
KINDS = (PUBLISHED, IDS, CODES, STAFF)


def columns(kind: dict[str, str]) -> set[str]:
    return {f"{table}.{name}" for table, names in kind.items() for name in names.split()}


def of_the_models() -> set[str]:
    """Columns of free text that are not sealed. Where a list of choices is given, nothing else is kept."""
    text = (models.CharField, models.TextField, models.JSONField)
    return {
        f"{model._meta.db_table}.{field.column}"
        for model in apps.get_models()
        if model._meta.app_label in APPS and model._meta.managed
        for field in model._meta.concrete_fields
        if isinstance(field, text) and not isinstance(field, EncryptedField)
        if not field.choices and not field.remote_field
    }
