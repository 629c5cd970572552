"""Django's name for this app."""

from django.apps import AppConfig


class AvatarConfig(AppConfig):
    name = "avatar"
