"""One row of every model that belongs to a hospital, made from its appointment; and the ORM's own scope taken away.

A model that is added and has no maker here fails tests/hospitals/test_tenancy.py.
"""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.db import models
from django.utils import timezone

from hospitals import models as rows
from hospitals import tenancy
from hospitals.models import Appointment
from hospitals.tenancy import TenantModel

OURS = list(apps.get_app_config("hospitals").get_models())
TENANTS = [model for model in OURS if issubclass(model, TenantModel)]
# Everybody reads these; only the hospital's own scope writes them.
OPEN = [model for model in OURS if tenancy.of_a_hospital(model) and model not in TENANTS]
# No hospital's: keys by their owner, how far was cleared, the log that only grows, and what stands for a system outside.
OTHERS = {
    "DataKey",
    "RetentionMark",
    "AuditChain",
    "AuditEvent",
    "SandboxSystem",
    "SandboxClinic",
    "SandboxVisit",
    "SandboxMessage",
}


def _client(a: Appointment) -> Any:
    return rows.ApiClient.objects.get_or_create(id=f"hc-{a.hospital.code}", hospital=a.hospital, environment="live")[0]


def _named(a: Appointment) -> dict[str, Any]:
    return {"hospital": a.hospital, "identifier": uuid4().hex}


def _campus(a: Appointment) -> Any:
    return rows.Campus.objects.create(name="本部", **_named(a))


def _building(a: Appointment) -> Any:
    return rows.Building.objects.create(name="门诊楼", campus=_campus(a), **_named(a))


def _hold(a: Appointment) -> Any:
    soon = timezone.now() + timedelta(minutes=5)
    return rows.SlotHold.objects.create(hospital=a.hospital, slot=a.slot, subject=uuid4(), expires_at=soon)


def _waiting(a: Appointment) -> Any:
    days = {"first_day": date(2026, 3, 2), "last_day": date(2026, 3, 9)}
    return rows.WaitingEntry.objects.create(hospital=a.hospital, department=a.slot.department, subject=uuid4(), **days)


def _notice(a: Appointment) -> Any:
    now = timezone.now()
    return rows.Notice.objects.create(text="南门施工", starts_at=now, ends_at=now + timedelta(days=1), **_named(a))


def _inbox(a: Appointment) -> Any:
    said = {"type": "visit.closed", "appointment_key": str(a.id), "sequence": 1, "body": "{}"}
    return rows.InboxEvent.objects.create(hospital=a.hospital, event_id=uuid4().hex, **said)


def _token(a: Appointment) -> Any:
    return rows.AccessToken.objects.create(digest=uuid4().hex, client=_client(a), expires_at=timezone.now())


MAKERS: dict[type[models.Model], Callable[[Appointment], Any]] = {
    rows.Appointment: lambda a: a,
    rows.SlotHold: _hold,
    rows.WaitingEntry: _waiting,
    rows.OutboxCommand: lambda a: rows.OutboxCommand.objects.create(
        hospital=a.hospital, appointment=a, kind="book", idempotency_key=uuid4().hex
    ),
    rows.InboxEvent: _inbox,
    rows.HospitalCredential: lambda a: rows.HospitalCredential.objects.create(
        hospital=a.hospital, kind="events", secret="whsec_x"
    ),
    rows.HospitalApplication: lambda a: rows.HospitalApplication.objects.create(
        hospital=a.hospital, licence_number="PDY1", contact={"name": "王工"}, claim_digest="0" * 64
    ),
    rows.IdempotentAnswer: lambda a: rows.IdempotentAnswer.objects.create(
        hospital=a.hospital, client=_client(a), key=uuid4().hex, fingerprint="f"
    ),
    rows.ImportRun: lambda a: rows.ImportRun.objects.create(hospital=a.hospital),
    rows.WebhookEndpoint: lambda a: rows.WebhookEndpoint.objects.create(
        hospital=a.hospital, environment="live", url="https://hooks.example.org/", secret="whsec_x"
    ),
    rows.Delivery: lambda a: rows.Delivery.objects.create(
        hospital=a.hospital, environment="live", kind="book", idempotency_key="k", number=1, duration_ms=1
    ),
    rows.ConformanceRun: lambda a: rows.ConformanceRun.objects.create(hospital=a.hospital, connector="push"),
    rows.Hospital: lambda a: a.hospital,
    rows.Campus: _campus,
    rows.Building: _building,
    rows.Floor: lambda a: rows.Floor.objects.create(building=_building(a), number=1, name="1楼", **_named(a)),
    rows.Department: lambda a: a.slot.department,
    rows.Practitioner: lambda a: a.slot.practitioner,
    rows.Schedule: lambda a: a.slot.schedule,
    rows.Slot: lambda a: a.slot,
    rows.IndoorMap: lambda a: rows.IndoorMap.objects.create(hospital=a.hospital, geojson={}),
    rows.Notice: _notice,
    rows.OnboardingStep: lambda a: rows.OnboardingStep.objects.create(hospital=a.hospital, target="live", actor="x"),
    rows.Circuit: lambda a: rows.Circuit.objects.create(hospital=a.hospital),
    rows.ApiClient: _client,
    rows.ApiSecret: lambda a: rows.ApiSecret.objects.create(client=_client(a), digest=uuid4().hex),
    rows.AccessToken: _token,
}


def a_row(model: type[models.Model], appointment: Appointment) -> Any:
    with tenancy.scope(appointment.hospital_id):
        return MAKERS[model](appointment)


def as_new(row: Any) -> Any:
    """The same row once more, under a key of its own where it can have one."""
    copy = type(row)(**{f.attname: getattr(row, f.attname) for f in row._meta.concrete_fields})
    key = row._meta.pk
    if isinstance(key, models.UUIDField):
        copy.pk = uuid4()
    elif isinstance(key, models.AutoField):
        copy.pk = None
    elif not key.remote_field:
        copy.pk = uuid4().hex
    return copy


def without_the_orm_s_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every filter and check of hospitals.tenancy had been forgotten."""
    monkeypatch.setattr(tenancy.TenantManager, "get_queryset", lambda self: models.QuerySet(self.model, using=self._db))
    monkeypatch.setattr(tenancy, "check_writable", lambda hospital_id: None)
