"""Signing in to a FHIR server without a person: SMART Backend Services, a signed assertion for a short token.

The assertion is a JWT signed RS384 or ES384 (SMART App Launch 2.0, "Client Authentication: Asymmetric"). Tokens are kept
until shortly before they end.
"""

import base64
import json
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from hospitals.exceptions import ConnectorUnavailable
from hospitals.outgoing import Outgoing

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LASTS_S = 240  # SMART: no more than five minutes
RENEW_BEFORE_S = 30.0
SHORTEST_S, LONGEST_S = 60.0, 3600.0
RSA_BITS = 2048
_P384_BYTES = 48


class SignIn(Protocol):
    """Gives the Authorization header; ``forget`` after the server refused it."""

    def header(self) -> dict[str, str]: ...

    def forget(self) -> None: ...


class NoSignIn:
    """For a server that knows us by the network or by a client certificate."""

    def header(self) -> dict[str, str]:
        return {}

    def forget(self) -> None:
        pass


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign_jwt(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, claims: dict[str, Any], key_id: str) -> str:
    """A compact JWT: RS384 with an RSA key, ES384 with one on P-384. Raises ``ValueError`` for any other key."""
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= RSA_BITS:
        algorithm = "RS384"
    elif isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1):
        algorithm = "ES384"
    else:
        raise ValueError("an RSA key of 2048 bits or more, or an EC key on P-384")
    header = {"alg": algorithm, "kid": key_id, "typ": "JWT"}
    signed = ".".join(_b64(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA384())
    else:
        r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA384())))
        signature = r.to_bytes(_P384_BYTES, "big") + s.to_bytes(_P384_BYTES, "big")
    return f"{signed}.{_b64(signature)}"


class BackendServices:
    """One client at one token endpoint. Safe between threads: one token is fetched, the others wait for it."""

    def __init__(
        self,
        outgoing: Outgoing,
        *,
        token_url: str,
        client_id: str,
        private_key: bytes,
        key_id: str,
        scope: str = "system/*.read system/Appointment.write system/Patient.write system/Invoice.write",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``private_key``: PEM. Raises ``ValueError`` when it is none."""
        key = serialization.load_pem_private_key(private_key, password=None)
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise ValueError("an RSA or EC key")
        self._key = key
        self._outgoing, self._token_url, self._client_id = outgoing, token_url, client_id
        self._key_id, self._scope, self._clock = key_id, scope, clock
        self._lock = threading.Lock()
        self._token, self._ends = "", 0.0
        self._assertion()  # a key that cannot sign is found out at once

    def header(self) -> dict[str, str]:
        """Raises ``ConnectorUnavailable`` (sign_in_failed, or as the token endpoint does not answer)."""
        with self._lock:
            if self._clock() >= self._ends:
                self._token, self._ends = self._fetch()
            return {"authorization": f"Bearer {self._token}"}

    def forget(self) -> None:
        with self._lock:
            self._token, self._ends = "", 0.0

    def _assertion(self) -> str:
        now = int(self._clock())
        claims = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": self._token_url,
            "iat": now,
            "exp": now + ASSERTION_LASTS_S,
            "jti": uuid.uuid4().hex,
        }
        return sign_jwt(self._key, claims, self._key_id)

    def _fetch(self) -> tuple[str, float]:
        form = {
            "grant_type": "client_credentials",
            "scope": self._scope,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self._assertion(),
        }
        # Not repeatable: an assertion is good for one use (its jti), so the next attempt must make a new one.
        answer = self._outgoing.send(
            "POST",
            self._token_url,
            headers={"content-type": "application/x-www-form-urlencoded", "accept": "application/json"},
            content=urlencode(form).encode(),
        )
        try:
            body = json.loads(answer.body)
            token, lasts = body["access_token"], float(body.get("expires_in", SHORTEST_S))
            good = answer.status == 200 and isinstance(token, str) and token.isascii() and token.isprintable()
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ConnectorUnavailable(code="sign_in_failed") from error
        if not good or str(body.get("token_type", "")).lower() != "bearer":
            raise ConnectorUnavailable(code="sign_in_failed")
        return token, self._clock() + min(max(lasts, SHORTEST_S), LONGEST_S) - RENEW_BEFORE_S
