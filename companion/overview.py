"""The first page of the admin: the province at a glance, each figure with the list behind it. One bounded query a figure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from companion.models import HumanRequest, Incident, PaymentOrder
from hospitals import tenancy
from hospitals.models import Circuit, Hospital, InboxEvent, OutboxCommand

MOST = 1000  # beyond this nobody needs the number
LONG = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Figure:
    """``count``: at most MOST; ``alarming``: somebody should look."""

    title: str
    count: int
    address: str
    alarming: bool = False


def overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """unfold's call for the index page: what this account may see."""
    with tenancy.commission("admin:overview", f"管理后台:{request.user.get_username()}"):
        return context | {"hospitals": list(_hospitals(request)), "figures": list(_waiting(request))}


def _list(model: str, **query: Any) -> str:
    return f"{reverse(f'admin:{model}_changelist')}?{urlencode(query)}"


def _hospitals(request: HttpRequest) -> Iterator[Figure]:
    if not request.user.has_perm("hospitals.view_hospital"):
        return
    counted = dict(Hospital.objects.order_by().values_list("state").annotate(Count("id")))
    for state, label in Hospital.State.choices:
        applied = state == Hospital.State.APPLIED
        yield Figure(
            "待核验的申请" if applied else label,
            counted.get(state, 0),
            _list("hospitals_hospital", state__exact=state),
            alarming=applied,
        )


def _waiting(request: HttpRequest) -> Iterator[Figure]:
    """What waits for a person."""
    long_ago = timezone.now() - LONG
    dead, waiting = InboxEvent.State.DEAD, OutboxCommand.State.WAITING
    asked: list[tuple[str, str, str, QuerySet[Any] | Any, dict[str, Any]]] = [
        (
            "死信",
            "hospitals",
            "inboxevent",
            InboxEvent.objects.filter(state=dead),
            {"state__exact": dead},
        ),
        (
            "等了10分钟以上的操作",
            "hospitals",
            "outboxcommand",
            OutboxCommand.objects.filter(state=waiting, created_at__lt=long_ago),
            {"state__exact": waiting, "created_at__lt": long_ago.isoformat()},
        ),
        (
            "没有应答的医院系统",
            "hospitals",
            "circuit",
            Circuit.objects.exclude(open_until=None),
            {"open_until__isempty": 0},
        ),
        (
            "待处理的事件",
            "companion",
            "incident",
            Incident.objects.filter(handled_at=None),
            {"handled_at__isempty": 1},
        ),
        (
            "等人处理的缴费",
            "companion",
            "paymentorder",
            PaymentOrder.objects.filter(waits_since__isnull=False),
            {"waits_since__isempty": 0},
        ),
        (
            "待接听的人工请求",
            "companion",
            "humanrequest",
            HumanRequest.objects.filter(answered_at=None),
            {"answered_at__isempty": 1},
        ),
    ]
    for title, app, model, rows, query in asked:
        if request.user.has_perm(f"{app}.view_{model}"):
            yield Figure(title, rows.order_by()[:MOST].count(), _list(f"{app}_{model}", **query), alarming=True)
