"""Django's name for this app; its system checks."""

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class CompanionConfig(AppConfig):
    name = "companion"
    verbose_name = "健康伴行"

    def ready(self) -> None:
        from companion import checks, indexes, roles  # noqa: F401  checks and indexes register themselves

        # Hospitals is migrated last: its permissions are there by then.
        last = apps.get_app_config("hospitals")
        post_migrate.connect(roles.make, sender=last, dispatch_uid="companion.roles")
