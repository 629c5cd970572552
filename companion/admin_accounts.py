"""Staff's accounts and roles in the admin."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from companion.admin_second_factor import SecondFactorPages

_VERBS = {"add": "添加", "change": "修改", "delete": "删除", "view": "查看"}

admin.site.unregister(User)
admin.site.unregister(Group)
# The token library's own tables are not used: hospitals' clients and tokens are in hospitals.models.onboarding.
admin.site.unregister([model for model in admin.site._registry if model._meta.app_label == "oauth2_provider"])


def in_words(permission: Permission) -> str:
    """Django keeps the names of its own four in English, whatever language the site speaks."""
    kind = permission.content_type
    may = _VERBS.get(permission.codename.removesuffix(f"_{kind.model}"), permission.name)
    return f"{apps.get_app_config(kind.app_label).verbose_name} · {kind.name} · {may}"


class PermissionsInWords:
    def formfield_for_manytomany(self, db_field: Any, request: Any = None, **kwargs: Any) -> Any:
        field = super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]
        if db_field.related_model is Permission:
            pages = ContentType.objects.get_for_models(*admin.site._registry)  # all others open nothing
            field.queryset = field.queryset.select_related("content_type").filter(content_type__in=pages.values())
            field.label_from_instance = in_words
        return field


@admin.register(User)
class UserAdmin(SecondFactorPages, PermissionsInWords, DjangoUserAdmin, ModelAdmin):  # type: ignore[misc]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    # An account is known by its name alone: names, addresses and notes about staff are kept elsewhere.
    list_display = ("username", "is_staff", "is_active", "last_login")
    search_fields = ("username",)
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("权限", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("时间", {"fields": ("last_login", "date_joined")}),
    )


@admin.register(Group)
class GroupAdmin(PermissionsInWords, DjangoGroupAdmin, ModelAdmin):
    ordering = ("name",)
