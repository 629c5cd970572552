"""The commission's roles are there after a migration, in production too, and what a site added stays."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User

from companion import roles

pytestmark = pytest.mark.django_db


def test_each_role_has_its_permissions_and_no_name_is_mistyped() -> None:
    for name, apps in roles.ROLES.items():
        wanted = {f"{label}.{codename}" for label, codenames in apps.items() for codename in codenames}
        held = Group.objects.get(name=name).permissions.values_list("content_type__app_label", "codename")
        assert {f"{label}.{codename}" for label, codename in held} == wanted


def test_making_them_again_gives_back_what_lacks_and_takes_nothing_away() -> None:
    group = Group.objects.get(name=roles.DESK)
    added = Permission.objects.get(codename="view_incident")
    group.permissions.add(added)
    group.permissions.remove(Permission.objects.get(codename="view_visit"))
    roles.make()
    roles.make()
    assert {"view_incident", "view_visit"} <= set(group.permissions.values_list("codename", flat=True))
    assert Group.objects.count() == len(roles.ROLES)


def test_the_administrator_sees_every_page_but_accounts_and_deletes_nothing() -> None:
    officer = User.objects.create_user("officer", is_staff=True)
    officer.groups.add(Group.objects.get(name=roles.ADMINISTRATOR))
    for model in admin.site._registry:
        if model._meta.app_label != "auth":
            assert officer.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}"), model
    assert not [name for name in officer.get_all_permissions() if ".delete_" in name or ".add_" in name]


def test_the_desk_reads_no_conversation() -> None:
    clerk = User.objects.create_user("clerk", is_staff=True)
    clerk.groups.add(Group.objects.get(name=roles.DESK))
    assert clerk.has_perm("companion.change_humanrequest")
    assert not clerk.has_perm("companion.view_conversation") and not clerk.has_perm("hospitals.view_hospital")
