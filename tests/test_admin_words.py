"""The admin speaks Chinese: headings, filters, buttons, the framework's own words, and codes that somebody has to understand."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import label_for_field
from django.contrib.auth.models import Permission, User
from django.db import models
from django.test import Client, RequestFactory
from django.urls import reverse

from companion import admin_words, quality
from companion.skills import registry
from companion.triage import LEVELS
from hospitals import audit
from hospitals.admin import words
from hospitals.connectors.base import CommandKind, EventType
from hospitals.models import AuditEvent
from tests.hospitals.joining import joined

ROOT = Path(__file__).resolve().parents[1]
LOCALE = ROOT / "companion" / "locale" / "zh_Hans" / "LC_MESSAGES"
CHINESE = re.compile(r"[一-龥]")
admin.autodiscover()
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


@pytest.fixture()
def staff(db: None) -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(User.objects.create_superuser("commission", password="a-long-password"))
    return client


def asked() -> Any:
    request = RequestFactory().get("/")
    request.user = User(is_superuser=True, is_staff=True, is_active=True)
    return request


def headings(model: type[models.Model]) -> Iterator[str]:
    """Of the list's columns, of a row's fields, of the rows below it."""
    pages = admin.site._registry[model]
    yield str(model._meta.verbose_name)
    for name in pages.get_list_display(asked()):
        yield str(label_for_field(name, model, pages))
    forms = (pages.form, getattr(pages, "add_form", pages.form))
    asked_for = {name: field for form in forms for name, field in form.base_fields.items()}
    for _title, options in pages.get_fieldsets(asked()):
        for name in options["fields"]:
            yield str(asked_for[name].label if name in asked_for else label_for_field(name, model, pages))
    for inline in pages.get_inline_instances(asked()):
        yield str(inline.verbose_name_plural)
        for name in inline.get_fields(asked()):
            yield str(label_for_field(name, inline.model, inline))


@pytest.mark.django_db
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_every_heading_is_chinese(model: type[models.Model]) -> None:
    assert [heading for heading in headings(model) if not CHINESE.search(heading)] == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_every_filter_and_deed_is_called_in_chinese(staff: Client, model: type[models.Model]) -> None:
    answer = staff.get(reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"))
    shown = answer.context["cl"]
    said = [str(spec.title) for spec in shown.filter_specs]
    said += [str(label) for _name, label in admin.site._registry[model].get_action_choices(asked()) if _name]
    assert [title for title in said if not CHINESE.search(title)] == []


FRAMEWORK = [
    "Search apps and models...",
    "Type to search",
    "Filters",
    "Reset filters",
    "Welcome back to",
    "Select action",
]


@pytest.mark.parametrize("english", FRAMEWORK)
def test_the_framework_s_words_are_chinese_whatever_the_browser_asks_for(staff: Client, english: str) -> None:
    for address in ("/admin/", "/admin/hospitals/hospital/", "/admin/auth/user/", "/admin/auth/user/add/"):
        assert english not in staff.get(address).content.decode()
    assert english not in Client(headers={"accept-language": "en"}).get("/admin/login/").content.decode()


def test_the_framework_s_scripts_speak_chinese(staff: Client) -> None:
    for address in ("/admin/jsi18n/", reverse("admin:jsi18n")):
        assert '"Choose all %s": "\\u5168\\u9009%s"' in staff.get(address).content.decode()


@pytest.mark.parametrize("domain", ["django", "djangojs"])
def test_what_the_framework_says_is_made_from_what_is_written_here(tmp_path: Path, domain: str) -> None:
    made = tmp_path / "made.mo"
    try:
        subprocess.run(["msgfmt", "-o", str(made), str(LOCALE / f"{domain}.po")], check=True)
    except FileNotFoundError:
        pytest.skip("no msgfmt")
    assert made.read_bytes() == (LOCALE / f"{domain}.mo").read_bytes()


@pytest.mark.parametrize(
    ("address", "status", "told"), [("nowhere/", 404, "没有这一页"), ("auth/user/", 403, "没有打开这一页的权限")]
)
def test_what_is_not_there_or_not_allowed_is_said_in_chinese(address: str, status: int, told: str, db: None) -> None:
    client = Client()
    client.force_login(User.objects.create_user("clerk", is_staff=True))
    answer = client.get(f"/admin/{address}")
    assert answer.status_code == status and told in answer.content.decode()


def test_every_kind_of_event_and_deed_has_a_word() -> None:
    assert words.EVENTS.keys() == set(EventType)
    assert words.COMMANDS.keys() >= set(CommandKind)
    assert admin_words.INTENTS.keys() == set(quality.INTENTS)
    assert admin_words.URGENCY.keys() == set(LEVELS)
    assert admin_words.SKILLS.keys() == {skill.__name__.rpartition(".")[2] for skill in registry.ALL}


def test_every_deed_on_the_audit_log_has_a_word() -> None:
    code = "\n".join(path.read_text() for app in ("companion", "hospitals") for path in (ROOT / app).rglob("*.py"))
    recorded = set(re.findall(r'(?:audit\.|_|\b)record(?:_once)?\(\s*"([a-z_]+(?:\.[a-z_.]+)?)"', code))
    recorded |= set(re.findall(r'"(payment\.[a-z_]+)"', code))  # handed on by companion.waiting_money
    assert len(recorded) > 20
    assert recorded - words.ACTIONS.keys() == set()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("stroke_face", "可能是中风(脑卒中)"),
        ("asked_for", "居民要求叫急救"),
        ("command:cancel", "没有送达的操作:取消预约"),
        ("report:r-1", "报告:r-1"),
        ("new_rule", "new_rule"),
    ],
)
def test_why_something_was_reported_is_said(code: str, told: str) -> None:
    assert admin_words.reported(code).replace("（", "(").replace("）", ")") == told


@pytest.mark.django_db(transaction=True)
def test_the_audit_log_names_hospital_and_deed(staff: Client) -> None:
    river = joined("river")
    page = staff.get(reverse("admin:hospitals_auditevent_changelist")).content.decode()
    assert "river医院" in page and "核验通过" in page and str(river.hospital_id) not in page
    row = AuditEvent.objects.filter(action="onboarding.verified").get()
    assert "river医院" in staff.get(reverse("admin:hospitals_auditevent_change", args=[row.id])).content.decode()
    audit.record("something.new")
    assert "something.new" in staff.get(reverse("admin:hospitals_auditevent_changelist")).content.decode()


def test_when_somebody_signed_in_is_not_written_by_hand(staff: Client) -> None:
    user = User.objects.create_user("clerk")
    page = staff.get(reverse("admin:auth_user_change", args=[user.id])).content.decode()
    assert 'name="username"' in page and 'name="last_login' not in page and 'name="date_joined' not in page


def test_permissions_are_chosen_in_chinese(staff: Client) -> None:
    user = User.objects.create_user("clerk")
    page = staff.get(reverse("admin:auth_user_change", args=[user.id])).content.decode()
    assert "医院 · 医院 · 查看" in page and "可以核验、上线、暂停医院" in page
    assert not re.search(r"Can (add|change|delete|view)|access token|sandbox", page)
    assert Permission.objects.filter(name__startswith="Can ").exists()
