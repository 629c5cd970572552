"""The commission's roles: groups with their permissions, made after each migration. What a site added to them stays."""

from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db.models import Q

ADMINISTRATOR, REVIEWER, DESK = "卫健委管理员", "质量评审", "客服"
_HOSPITALS = (
    *("hospital", "onboardingstep", "hospitalapplication", "conformancerun", "importrun", "apiclient"),
    *("department", "practitioner", "schedule", "slot", "notice", "indoormap"),
    *("inboxevent", "outboxcommand", "webhookendpoint", "delivery", "circuit", "auditevent"),
)
# Role → app → codenames.
ROLES: dict[str, dict[str, tuple[str, ...]]] = {
    ADMINISTRATOR: {
        "companion": (
            *("view_visit", "view_visitevent", "view_conversation", "view_turn", "view_reminder"),
            *("view_paymentorder", "settle_paymentorder"),
            *("view_incident", "change_incident", "handle_incident", "view_humanrequest", "change_humanrequest"),
            *("view_turnreview", "change_turnreview"),
        ),
        "hospitals": (
            *(f"view_{model}" for model in _HOSPITALS),
            *("onboard_hospital", "replay_inboxevent", "replay_outboxcommand", "replay_delivery"),
        ),
    },
    REVIEWER: {
        "companion": ("view_conversation", "view_turn", "view_incident", "view_turnreview", "change_turnreview"),
    },
    DESK: {"companion": ("view_humanrequest", "change_humanrequest", "view_visit", "view_visitevent")},
}


def make(**_signal: Any) -> None:
    """Make each group and give it what it lacks; nothing is taken away. After the permissions themselves are there."""
    for name, apps in ROLES.items():
        group, _made = Group.objects.get_or_create(name=name)
        wanted = Q()
        for label, codenames in apps.items():
            wanted |= Q(content_type__app_label=label, codename__in=codenames)
        group.permissions.add(*Permission.objects.filter(wanted).values_list("id", flat=True))
