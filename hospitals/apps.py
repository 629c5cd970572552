"""Django's name for this app; its system checks."""

from django.apps import AppConfig


class HospitalsConfig(AppConfig):
    name = "hospitals"
    verbose_name = "医院"

    def ready(self) -> None:
        from hospitals import checks, middleware  # noqa: F401  they register themselves
