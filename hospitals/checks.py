"""Wrong settings of connectors, found before the first command: hospitals.E001 says which, and what is wrong with it."""

from typing import Any

from django.core.checks import CheckMessage, Error, register

from hospitals.services import connecting


@register()
def connectors_can_be_made(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    hint = "See docs/connectors.md; the file is COMPANION_CONNECTORS_FILE."
    return [
        Error(f"Connector {name!r}: {code} ({why}).", hint=hint, id="hospitals.E001")
        for name, code, why in connecting.faults()
    ]
