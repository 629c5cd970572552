"""How engines reach their gateways."""

import ssl
from functools import cache

import httpx


@cache
def _tls() -> ssl.SSLContext:
    """Reading the roots holds the loop for longer than all else of a call: once a process."""
    return ssl.create_default_context()


def client(timeout_s: float) -> httpx.AsyncClient:
    """``timeout_s``: of each phase of a call; how long it takes in all, ``companion.payment.ask`` bounds."""
    return httpx.AsyncClient(timeout=timeout_s, verify=_tls())
