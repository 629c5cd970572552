"""The commission's pages: every list, every form that may be filled in, every deed, the doors, and the page that asks why."""

from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.test import Client, RequestFactory
from django.urls import reverse

from companion import quality
from companion.models import Conversation, Incident, Turn
from hospitals.admin.deeds import DEEDS
from hospitals.models import AuditEvent, Hospital, OnboardingStep
from hospitals.personal import HIDDEN
from tests.canaries import clear
from tests.canaries.places import Watch
from tests.canaries.visiting import a_visit
from tests.canaries.words import ALL, ID_NUMBER, NAME, PHONE, SYMPTOM
from tests.hospitals.joining import joined
from tests.hospitals.own_rows import change

NUMBERS = {"id number", "phone"}


@pytest.fixture()
def staff(watch: Watch) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("commission", password="a-long-password"))
    return client


def post(watch: Watch, client: Client, address: str, given: dict[str, Any]) -> Any:
    answer = client.post(address, given, headers={"referer": f"https://testserver/{PHONE}"})
    assert answer.status_code < 500
    return answer


def named(model: Any, page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def filled(form: type[forms.BaseForm]) -> dict[str, str]:
    """A canary for each field of this form in which something is written."""
    chosen = (forms.ChoiceField, forms.ModelChoiceField, forms.BooleanField, forms.DateField, forms.SplitDateTimeField)
    return {name: ALL for name, field in form.base_fields.items() if not isinstance(field, chosen)}


def may(page: str) -> list[type]:
    """The models whose add or change form somebody may send."""
    reverse("admin:index")  # the pages are found when the addresses are
    asked = _asked()
    return [model for model, pages in admin.site._registry.items() if getattr(pages, f"has_{page}_permission")(asked)]


def rows() -> dict[type, Any]:
    """One row of every model that has a change form."""
    row = a_visit("push")
    talk = Conversation.objects.create(resident_id=_resident(row), patient=None)
    turn = Turn.objects.create(conversation=talk, resident_id=talk.resident_id, number=1, said=ALL, rating=-1)
    (review,) = quality.pick(since=turn.created_at, until=turn.created_at.replace(year=2200), count=1, seed=1)
    made: list[Any] = [
        User.objects.create_user("clerk"),
        Group.objects.create(name="clerks"),
        Incident.objects.create(kind="complaint", conversation=talk),
        talk.human_requests.create(),
        review,
    ]
    return {type(one): one for one in made}


def _resident(row: Any) -> Any:
    from companion.models import Visit

    return Visit.objects.get(id=row.id).resident_id


def test_every_form_and_list(watch: Watch, staff: Client) -> None:
    assert may("add") and may("change")
    for model in may("add"):
        form = admin.site._registry[model].get_form(_asked(), None)
        post(watch, staff, named(model, "add"), filled(form))
    known = rows()
    assert known.keys() == set(may("change")), "a row of each model that has a form"
    for model, row in known.items():
        form = admin.site._registry[model].get_form(_asked(), row)
        given = filled(form) | {"label": "right", "username": "clerk", "name": "clerks", "why": ALL}
        post(watch, staff, named(model, "change", row.pk), given)
    for model in admin.site._registry:
        staff.get(named(model, "changelist"), {"q": ALL})
        staff.get(named(model, "changelist"), {PHONE: NAME, "_changelist_filters": ALL})
        staff.get(named(model, "change", ALL))
    assert Incident.objects.get().note == ALL, "it was written"
    watch.work()
    # what an administrator calls a role is nobody's but hers
    assert watch.found().keys() <= {"auth_group.name", "django_admin_log.object_repr"} <= clear.columns(clear.STAFF)


def _asked() -> Any:
    request = RequestFactory().get("/")
    request.user = User(is_superuser=True, is_staff=True, is_active=True)
    return request


def test_every_deed_with_its_reason(watch: Watch, staff: Client) -> None:
    """A reason's words stay, on purpose; phone and identity numbers do not."""
    for number, (name, deed) in enumerate(DEEDS.items()):
        river = joined(f"river-{number}")
        for state in deed.sources:
            change(Hospital, river.hospital_id, state=state)
            given = {
                "reason": f"{SYMPTOM},电话{PHONE},证件{ID_NUMBER}",
                "code": f"river-{number}",
                "name": f"河口{number}",
            }
            given |= {"environment": "sandbox", "city": "甲市"} | ({"name": "push"} if name == "connector" else {})
            post(watch, staff, reverse("admin:hospitals_move", args=[river.hospital_id, name]), given)
            break
    post(watch, staff, reverse("admin:hospitals_move", args=[river.hospital_id, "leave"]), {"reason": ALL, "code": ALL})
    assert OnboardingStep.objects.filter(reason__contains=HIDDEN).count() >= len(DEEDS) - 2, (
        "two ask for more than a reason"
    )
    found = watch.found()
    assert found.keys() == {"hospitals_onboardingstep.reason", "hospitals_auditevent.why"} <= clear.columns(clear.STAFF)
    assert not NUMBERS & {what for told in found.values() for what in told}


def test_why_somebody_looks(watch: Watch, staff: Client) -> None:
    row = a_visit("push")
    address = reverse("admin:companion_visit_change", args=[row.id])
    assert staff.get(address).status_code == 200
    post(watch, staff, address, {"why": f"投诉:{SYMPTOM},{PHONE},{ID_NUMBER}"})
    assert staff.get(address).status_code == 200
    assert AuditEvent.objects.get(action="staff.look").why.count(HIDDEN) == 2
    found = watch.found()
    assert found.keys() == {"hospitals_auditevent.why", "django_session.session_data"} <= clear.columns(clear.STAFF)
    assert not NUMBERS & {what for told in found.values() for what in told}


def test_the_doors_of_staff(watch: Watch, staff: Client) -> None:
    stranger = Client(raise_request_exception=False)
    for given in ({"username": NAME, "password": ID_NUMBER}, {"username": PHONE, "password": ALL}, {PHONE: ALL}):
        post(watch, stranger, f"/admin/login/?next=/admin/{PHONE}", given)
    for where in ("second_factor", "password_change"):
        given = dict.fromkeys(("code", "old_password", "new_password1", "new_password2", PHONE), ALL)
        post(watch, staff, reverse(f"admin:{where}"), given)
    without_token = Client(enforce_csrf_checks=True)
    post(watch, without_token, "/admin/login/", {"username": NAME, "csrfmiddlewaretoken": PHONE})
    stranger.get(f"/admin/{PHONE}/{NAME}/", follow=True)
    assert watch.found() == {}
