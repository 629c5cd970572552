"""Settings of language models that could not work, or would send words over open lines: found before the first request."""

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.utils.module_loading import import_string


def language_models() -> list[CheckMessage]:
    """companion.E006: options that the backend does not take; companion.W002: an address outside without TLS."""
    found: list[CheckMessage] = []
    for name, entry in settings.LANGUAGE_MODELS.items():
        options: dict[str, Any] = entry.get("OPTIONS", {})
        try:
            import_string(entry["BACKEND"])(name=name, **options)
        except ImportError:
            continue  # companion.E005 says so
        except (TypeError, ValueError) as error:
            hint = "docs/language_model.md lists the options."
            found.append(Error(f"Language model {name!r} cannot be made: {error}", hint=hint, id="companion.E006"))
        address = urlsplit(str(options.get("base_url", "")))
        if address.scheme == "http" and not _near(address.hostname or ""):
            hint = "Use https, or an address within your own network."
            found.append(Warning(f"Language model {name!r} is outside and has no TLS.", hint=hint, id="companion.W002"))
    return found


def _near(host: str) -> bool:
    """Whether a host is within the house: a name without a dot, a cluster's own, or a private address."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".svc", ".localhost"))
