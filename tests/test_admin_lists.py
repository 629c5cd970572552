"""Every list of the admin: in an order that means something and does not change by itself, and quick with rows in it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import connection, models
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from companion.models import (
    Conversation,
    HumanRequest,
    Incident,
    Patient,
    PaymentOrder,
    Reminder,
    Resident,
    Turn,
    TurnReview,
    Visit,
)
from hospitals import audit, tenancy, vault
from hospitals.admin import BoundedPaginator
from hospitals.models import (
    ApiClient,
    ApiSecret,
    AuditEvent,
    Circuit,
    ConformanceRun,
    Delivery,
    Hospital,
    HospitalApplication,
    ImportRun,
    InboxEvent,
    IndoorMap,
    Notice,
    OutboxCommand,
    WebhookEndpoint,
)
from tests.hospitals.appointments import an_appointment
from tests.hospitals.own_rows import make

pytestmark = pytest.mark.django_db
admin.autodiscover()
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
ROWS, MOST_QUERIES = 50, 20  # six of them put a list of names on record
number = count()


def address(model: type[models.Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


@pytest.fixture()
def staff() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("commission", password="a-long-password"))
    return client


def of_one_hospital() -> None:
    """One row of everything that a hospital has."""
    now = timezone.now()
    row = an_appointment("push", code=f"h{next(number)}")
    hospital = row.hospital
    make(ApiClient, id=f"hc-{hospital.code}", hospital=hospital, environment="live")
    make(Circuit, hospital=hospital, failures=1)
    make(IndoorMap, hospital=hospital, geojson={"features": []})
    make(Notice, hospital=hospital, identifier="n", text="公告", starts_at=now, ends_at=now)
    with tenancy.scope(hospital.id):
        HospitalApplication.objects.create(licence_number="L", contact={}, claim_digest="0")
        ConformanceRun.objects.create(connector="push")
        ImportRun.objects.create()
        OutboxCommand.objects.create(appointment=row, kind="book", idempotency_key="k")
        WebhookEndpoint.objects.create(environment="live", url="https://hooks.example.org/", secret="whsec_x")
        Delivery.objects.create(environment="live", kind="book", idempotency_key="k", number=1, duration_ms=1)
        InboxEvent.objects.create(event_id="e", type="queue.changed", appointment_key="x", sequence=1, body="{}")
    audit.record("appointment.book", hospital_id=hospital.id)


def of_one_resident() -> None:
    """One row of everything that a resident has."""
    now = timezone.now()
    resident = Resident(name="陈玉兰")
    resident.save()
    patient = Patient.objects.create(
        keeper=resident, name="陈玉兰", id_number="1", phone="1", birth_date="1961-01-15", sex="female"
    )
    visit = Visit.objects.create(
        resident=resident, patient=patient, hospital_id=uuid4(), hospital_name="甲医院", department="眼科", start=now
    )
    talk = Conversation.objects.create(resident=resident, patient=patient)
    turn = Turn.objects.create(conversation=talk, resident_id=resident.id, number=1)
    TurnReview.objects.create(turn=turn, resident_id=resident.id, because="random")
    Incident.objects.create(kind="emergency", conversation=talk)
    HumanRequest.objects.create(conversation=talk)
    Reminder.objects.create(visit=visit, kind="day_before", due_at=now)
    PaymentOrder.objects.create(visit=visit, invoice_id="i1", amount_fen=2000, engine="wechat")


def own_keys(model: type[models.Model]) -> set[str]:
    return {"pk", "id", model._meta.pk.name}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_the_order_begins_with_something_that_people_know(model: type[models.Model]) -> None:
    request = RequestFactory().get("/")
    request.user = User()
    names = [name.lstrip("-") for name in admin.site._registry[model].get_ordering(request)]
    assert names, "in random order: keys are random"
    assert names[0] not in own_keys(model)
    field = model._meta.get_field(names[0].split("__")[0])
    assert not isinstance(field, models.UUIDField)


@pytest.mark.parametrize("model", [m for m in MODELS if m not in (User, Group, Hospital, IndoorMap, HumanRequest)])
def test_what_has_a_time_comes_newest_first(model: type[models.Model]) -> None:
    request = RequestFactory().get("/")
    request.user = User()
    first = admin.site._registry[model].get_ordering(request)[0]
    field = model._meta.get_field(first.lstrip("-").split("__")[0])
    assert first.startswith("-") or not isinstance(field, models.DateField)


def test_the_newest_emergency_stands_on_top(staff: Client) -> None:
    now = timezone.now()
    for age in (3, 1, 2):
        made = Incident.objects.create(kind="emergency")
        Incident.objects.filter(id=made.id).update(created_at=now - timedelta(hours=age))
    shown = staff.get(address(Incident)).context["cl"].result_list
    assert [round((now - row.created_at).total_seconds() / 3600) for row in shown] == [1, 2, 3]


@pytest.fixture()
def province() -> Iterator[None]:
    for _ in range(ROWS):
        of_one_hospital()
        of_one_resident()
        User.objects.create(username=f"u{next(number)}")
        Group.objects.create(name=f"g{next(number)}")
    yield


@pytest.mark.django_db(transaction=True)
def test_no_list_costs_more_with_more_rows(staff: Client, province: None) -> None:
    costs: dict[str, Any] = {}
    vault.forget()
    for model in MODELS:
        with CaptureQueriesContext(
            connection,
        ) as asked:
            answer = staff.get(address(model))
        assert answer.status_code == 200, model
        assert len(answer.context["cl"].result_list) >= ROWS, model
        costs[model._meta.label] = len(asked)
    assert {name: cost for name, cost in costs.items() if cost > MOST_QUERIES} == {}


@pytest.mark.parametrize("model", [InboxEvent, OutboxCommand, HospitalApplication])
def test_one_hospital_of_many_is_found(staff: Client, model: type[models.Model]) -> None:
    of_one_hospital()
    of_one_hospital()
    chosen = Hospital.objects.order_by("code").first()
    assert chosen is not None
    for query in ({"hospital__id__exact": chosen.pk}, {"q": chosen.code}):
        shown = staff.get(address(model), query).context["cl"].result_list
        assert [row.hospital_id for row in shown] == [chosen.pk]
    found = staff.get(
        reverse("admin:autocomplete"),
        {
            "term": chosen.code,
            "app_label": "hospitals",
            "model_name": model._meta.model_name,
            "field_name": "hospital",
        },
    ).json()
    assert [entry["id"] for entry in found["results"]] == [str(chosen.pk)]


def test_a_page_counts_no_further_than_anybody_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        audit.record("x")
    monkeypatch.setattr("hospitals.admin.base.MOST_COUNTED", 3)
    assert BoundedPaginator(AuditEvent.objects.order_by("-at"), 2).count == 3


EARLY = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)  # half past seven of the next morning in China


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (Visit(hospital_name="市一医院", department="眼科", start=EARLY), "12-01 07:30"),
        (Incident(created_at=EARLY), "12-01 07:30"),
        (Conversation(started_at=EARLY), "12-01 07:30"),
        (TurnReview(picked_at=EARLY), "12-01 07:30"),
        (HumanRequest(requested_at=EARLY), "12-01 07:30"),
        (ConformanceRun(started_at=EARLY), "12-01 07:30"),
        (ImportRun(started_at=EARLY), "12-01 07:30"),
        (Delivery(at=EARLY), "12-01 07:30"),
        (ApiSecret(created_at=EARLY), "2026-12-01"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, models.Model) else None,
)
def test_a_row_is_called_by_the_time_on_the_hospital_s_clock(row: models.Model, told: str) -> None:
    assert told in str(row)
