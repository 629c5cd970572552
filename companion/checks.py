"""Wrong settings, found before the first request: each with an id and what to do.

companion.E001 no secret in production    companion.E002 unknown speech engine    companion.E003 unknown sign-in backend
companion.E004 development sign-in in production    companion.E005 a backend that cannot be imported
companion.E006, companion.W002 language models (companion.llm.checks)
companion.W001 a public address without TLS in production
companion.E011 an engine of payment that is unknown or does not start    companion.E012 invented money in production
companion.W003 nothing can be paid online in production
companion.E007 debugging in production    companion.E008 any host name in production
companion.E009 the admin's own host is the residents'
companion.E013 the log collector's certificates cannot be read    companion.W004 no log collector in production
companion.E014 a list of breached passwords that cannot be asked
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.utils.module_loading import import_string

from companion import breached, payment
from companion.payment.base import GatewayUnavailable
from hospitals.checks import SERVING


@register()
def settings_make_sense(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    production = settings.MODE == "production"
    if production and (len(settings.SECRET_KEY) < 50 or settings.SECRET_KEY.startswith("insecure")):
        found.append(
            Error("No secret is set.", hint="Set SECRET_KEY to 50 random characters or more.", id="companion.E001")
        )
    for name in settings.SPEECH_CHAIN:
        if name not in settings.SPEECH_ENGINES:
            hint = f"COMPANION_SPEECH_CHAIN may name: {', '.join(settings.SPEECH_ENGINES)}."
            found.append(Error(f"Unknown speech engine {name!r}.", hint=hint, id="companion.E002"))
    for name in settings.IDENTITY_ENABLED:
        if name not in settings.IDENTITY_BACKENDS:
            hint = f"COMPANION_IDENTITY may name: {', '.join(settings.IDENTITY_BACKENDS)}."
            found.append(Error(f"Unknown sign-in backend {name!r}.", hint=hint, id="companion.E003"))
    if production and "development" in settings.IDENTITY_ENABLED:
        hint = "Remove development from COMPANION_IDENTITY: it signs anybody in."
        found.append(Error("The development sign-in is on.", hint=hint, id="companion.E004"))
    backends = [settings.SPEECH_ENGINES[name] for name in settings.SPEECH_CHAIN if name in settings.SPEECH_ENGINES]
    backends += [settings.IDENTITY_BACKENDS[n] for n in settings.IDENTITY_ENABLED if n in settings.IDENTITY_BACKENDS]
    backends += [settings.KEY_SERVICE, *settings.LANGUAGE_MODELS.values()]
    for entry in backends:
        try:
            import_string(entry["BACKEND"])
        except ImportError:
            hint = "BACKEND is the dotted path of a class."
            found.append(Error(f"{entry['BACKEND']} cannot be imported.", hint=hint, id="companion.E005"))
    # Here, because it brings the gateway, which most processes do not need at their start.
    from companion.llm.checks import language_models

    found += language_models()
    if settings.ADMIN_HOST and urlsplit(settings.PUBLIC_URL).hostname == settings.ADMIN_HOST:
        hint = "Give COMPANION_ADMIN_HOST a name of its own: on it nothing but the admin answers."
        found.append(Error("The admin's host is the residents'.", hint=hint, id="companion.E009"))
    if production and not settings.PUBLIC_URL.startswith("https://"):
        hint = "Set COMPANION_PUBLIC_URL to the https address; browsers and mini-programs refuse sound and sockets without."
        found.append(Warning("The public address has no TLS.", hint=hint, id="companion.W001"))
    return found


@register()
def production_is_closed(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Nothing of development is left open in production."""
    if settings.MODE != "production":
        return []
    found: list[CheckMessage] = []
    if settings.DEBUG:
        found.append(Error("Debugging is on.", hint="Take COMPANION_DEBUG away.", id="companion.E007"))
    if not settings.ALLOWED_HOSTS or any(host.startswith("*") for host in settings.ALLOWED_HOSTS):
        hint = "Name the hosts in COMPANION_ALLOWED_HOSTS."
        found.append(Error("Any host name is answered.", hint=hint, id="companion.E008"))
    return found


@register()
def payment_makes_sense(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Bills are paid with real money, or at the window; never with invented money by people who believe it."""
    name, production = settings.PAYMENT, settings.MODE == "production"
    if not name:
        hint = (
            "Set COMPANION_PAYMENT to alipay or wechat; until then the companion sends her to the window or a machine."
        )
        return [Warning("Nothing can be paid online.", hint=hint, id="companion.W003")] if production else []
    if name == "sandbox" and production:
        hint = "Set COMPANION_PAYMENT to a real engine, or leave it empty."
        return [Error("The sandbox takes invented money.", hint=hint, id="companion.E012")]
    try:
        payment.backend(name)
    except GatewayUnavailable as error:
        hint = f"COMPANION_PAYMENT may name: {', '.join(settings.PAYMENT_BACKENDS)}; alipay and wechat need their keys."
        why = type(error.__cause__).__name__
        return [Error(f"Payment {name!r} does not start ({why}).", hint=hint, id="companion.E011")]
    return []


@register()
def logs_have_a_place(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Log lines leave the machine, which whoever breaks into it could otherwise clean."""
    collector = settings.LOG_COLLECTOR
    if collector is None:
        hint = "Set COMPANION_LOG_COLLECTOR, or have the platform collect the containers' stderr."
        production = settings.MODE == "production"
        return [Warning("Logs stay on this machine.", hint=hint, id="companion.W004")] if production else []
    try:
        collector.context()
    except OSError as error:
        hint = "COMPANION_LOG_CA_FILE, COMPANION_LOG_CERT_FILE and COMPANION_LOG_KEY_FILE are PEM files."
        reason = type(error).__name__
        return [Error(f"The log collector's certificates do not serve ({reason}).", hint=hint, id="companion.E013")]
    return []


@register()
def breached_passwords_can_be_asked(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A list that is named is there; while the service runs, one that does not answer refuses nothing."""
    found: list[CheckMessage] = []
    if settings.BREACHED_PASSWORDS_URL and not settings.BREACHED_PASSWORDS_URL.startswith("https://"):
        hint = "Set COMPANION_BREACHED_PASSWORDS_URL to an https address."
        found.append(Error("The list of breached passwords has no TLS.", hint=hint, id="companion.E014"))
    if settings.BREACHED_PASSWORDS_FILE:
        try:
            breached.in_file(settings.BREACHED_PASSWORDS_FILE, "0" * breached.DIGEST)
        except breached.Unanswered:
            hint = "COMPANION_BREACHED_PASSWORDS_FILE is a sorted file of lines SHA1:COUNT."
            found.append(Error("The list of breached passwords cannot be read.", hint=hint, id="companion.E014"))
    return found


def refuse_to_start() -> None:
    """For what serves and runs no checks by itself. Raises ``ImproperlyConfigured`` in production; may be called in a loop."""
    if settings.MODE != "production":
        return
    # Uvicorn imports the application in its event loop, where Django asks no database.
    with ThreadPoolExecutor(max_workers=1) as beside:
        wrong = [message for message in beside.submit(_all_checks).result() if message.is_serious()]
    if wrong:
        raise ImproperlyConfigured("\n".join(str(message) for message in wrong))


def _all_checks() -> list[CheckMessage]:
    try:
        serving = run_checks(tags=[SERVING], include_deployment_checks=True, databases=["default"])
        return [*run_checks(), *serving]
    finally:
        connection = connections["default"]
        connection.close()
        if connection.vendor == "postgresql":
            connection.close_pool()  # type: ignore[attr-defined]  # a worker forks: its children must not share it
