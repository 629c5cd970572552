"""Django's name for this app."""

from django.apps import AppConfig


class HospitalsConfig(AppConfig):
    name = "hospitals"
