"""Django's name for this app; its system checks."""

from django.apps import AppConfig


class CompanionConfig(AppConfig):
    name = "companion"
    verbose_name = "健康伴行"

    def ready(self) -> None:
        from companion import checks  # noqa: F401  registers itself
