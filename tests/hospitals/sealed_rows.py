"""A row of every model with encrypted columns, for any two owners, and what stands in them: made from the models themselves."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection, models
from django.utils import timezone

from companion import models as hers
from hospitals import tenancy, vault
from hospitals.connectors.sandbox import models as sandbox
from tests.hospitals.tenant_rows import MAKERS
from tests.obedient import as_owner

Cell = tuple[type[models.Model], vault.EncryptedField]


def sealed() -> dict[type[models.Model], list[vault.EncryptedField]]:
    """Every model of the service with its encrypted columns."""
    found = {}
    for model in apps.get_models():
        fields = [field for field in model._meta.concrete_fields if isinstance(field, vault.EncryptedField)]
        if fields and model._meta.managed:
            found[model] = fields
    return found


def _visit(who: Any) -> Any:
    patient = _patient(who)
    facts = {"hospital_id": uuid4(), "hospital_name": "甲医院", "department": "眼科", "start": timezone.now()}
    return hers.Visit.objects.create(resident=who, patient=patient, **facts)


def _patient(who: Any) -> Any:
    facts = {"name": "x", "id_number": "1", "phone": "1", "birth_date": "1950-01-01", "sex": "female"}
    return hers.Patient.objects.create(keeper=who, **facts)


def _talk(who: Any) -> Any:
    return hers.Conversation.objects.create(resident=who, patient=None)


def _turn(who: Any) -> Any:
    return hers.Turn.objects.create(conversation=_talk(who), resident_id=who.id, number=1)


def _event(who: Any) -> Any:
    now = timezone.now()
    facts = {"key": uuid4().hex, "type": "x", "sequence": 1, "occurred_at": now, "received_at": now}
    return hers.VisitEvent.objects.create(visit=_visit(who), resident_id=who.id, **facts)


def _system(a: Any) -> Any:
    made, _new = sandbox.SandboxSystem.objects.get_or_create(
        hospital_id=a.hospital_id, defaults={"code": "x", "secret": "x", "missed_rule": "x"}
    )
    return made


def _message(a: Any) -> Any:
    clinic, _new = sandbox.SandboxClinic.objects.get_or_create(system=_system(a), department="eye")
    visit = sandbox.SandboxVisit.objects.create(appointment_id=uuid4(), clinic=clinic, schedule="s")
    return sandbox.SandboxMessage.objects.create(visit=visit, hospital_id=a.hospital_id, sequence=1, type="x")


# From a resident or from an appointment; the tenants' makers are tests.hospitals.tenant_rows'.
OF_RESIDENTS: dict[type[models.Model], Callable[[Any], Any]] = {
    hers.Resident: lambda who: who,
    hers.ExternalIdentity: lambda who: hers.ExternalIdentity.objects.create(
        resident=who, provider="x", app_id="x", open_id_index=uuid4().hex
    ),
    hers.Patient: _patient,
    hers.Conversation: _talk,
    hers.Turn: _turn,
    hers.Visit: _visit,
    hers.VisitEvent: _event,
    hers.TurnReview: lambda who: hers.TurnReview.objects.create(turn=_turn(who), resident_id=who.id, because="random"),
    hers.Incident: lambda who: hers.Incident.objects.create(kind="complaint"),
    hers.StaffFactor: lambda who: hers.StaffFactor.objects.create(
        user=User.objects.create_user(uuid4().hex), secret="x"
    ),
}
OF_HOSPITALS: dict[type[models.Model], Callable[[Any], Any]] = {
    sandbox.SandboxSystem: _system,
    sandbox.SandboxMessage: _message,
    **MAKERS,
}


def a_row(model: type[models.Model], resident: Any, appointment: Any) -> Any:
    """With something in every encrypted column."""
    with tenancy.scope(appointment.hospital_id):
        row = OF_RESIDENTS[model](resident) if model in OF_RESIDENTS else OF_HOSPITALS[model](appointment)
        for field in sealed()[model]:
            words = f"{model.__name__}.{field.name} {row.pk}"
            setattr(row, field.attname, {"said": words} if isinstance(field, vault.EncryptedJSONField) else words)
        row.save()
    return row


def _where(model: type[models.Model], column: str) -> str:
    key = model._meta.pk
    assert key is not None
    return f'"{model._meta.db_table}" WHERE "{key.column}" = %s'


def _key(row: Any) -> Any:
    return row._meta.pk.get_db_prep_value(row.pk, connection)


def raw(row: Any, field: vault.EncryptedField) -> bytes:
    """What stands in the column itself."""
    with as_owner(), connection.cursor() as cursor:
        cursor.execute(f'SELECT "{field.column}" FROM {_where(type(row), str(field.column))}', [_key(row)])
        return bytes(cursor.fetchone()[0])


def put(row: Any, field: vault.EncryptedField, value: bytes) -> None:
    with as_owner(), connection.cursor() as cursor:
        sql = (
            f'UPDATE {_where(type(row), str(field.column)).replace(" WHERE", f""" SET "{field.column}" = %s WHERE""")}'
        )
        cursor.execute(sql, [value, _key(row)])


def opened(row: Any, field: vault.EncryptedField) -> Any:
    """What the column says, read anew. Raises what the vault raises."""
    with as_owner():
        anew: Any = models.QuerySet(type(row)).get(pk=row.pk)
    return getattr(anew, field.attname)


def everything() -> Iterator[tuple[str, str]]:
    """Each encrypted value that there is: where it stands, and what it says or the name of the error that it raises."""
    for model, fields in sealed().items():
        with as_owner():
            rows = list(models.QuerySet(model).order_by("pk"))
        for row in rows:
            for field in fields:
                try:
                    said = str(getattr(row, field.attname))
                except Exception as error:  # noqa: BLE001  whatever it is, it says nothing
                    said = type(error).__name__
                yield f"{model._meta.label}.{field.name} {row.pk}", said
