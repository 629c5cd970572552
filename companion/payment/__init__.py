"""Who takes the money: one engine a payment gateway, chosen in settings.PAYMENT_BACKENDS; none is a choice as well."""

from functools import cache

from django.conf import settings
from django.utils.module_loading import import_string

from companion.payment.base import PaymentBackend


@cache
def backend(name: str) -> PaymentBackend:
    """The process's one instance of this engine. Raises ``KeyError`` for a name that is not set up."""
    entry = settings.PAYMENT_BACKENDS[name]
    made: PaymentBackend = import_string(entry["BACKEND"])(**entry["OPTIONS"])
    return made
