"""A FHIR R4 server that is not of our making, as a process of its own: Medplum's router, search and validation.

``make test`` fetches what it is made of (``medplum/package-lock.json``) where npm and its index answer; without that the tests
of it are skipped and say so.
"""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.node import NODE, major

HERE = Path(__file__).parent / "medplum"
NODE_MIN = 20
PAGE = 3
JSON = "application/fhir+json"
Resource = dict[str, Any]


def _missing() -> str:
    if major() < NODE_MIN:
        return f"needs Node {NODE_MIN} or newer, which is not on this machine"
    if not (HERE / "node_modules" / "@medplum" / "fhir-router").exists():
        return "the FHIR server of tests/hospitals/medplum is not installed (make test fetches it by npm ci)"
    return ""


needs_medplum = pytest.mark.skipif(bool(_missing()), reason=_missing())


class MedplumPeer:
    """``base`` is the service root. ``write`` and ``get`` are the hospital's own people's, signed in apart from the connector."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [NODE or "node", "server.mjs"], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        self.origin = str(json.loads(self._process.stdout.readline())["origin"])
        self.base, self.token_url = f"{self.origin}/fhir", f"{self.origin}/token"
        self._desk = httpx.Client(base_url=self.base, trust_env=False)

    def begin(self, client_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | None = None) -> None:
        """Empty, and open to everybody or to whoever signs with this key."""
        desk = uuid4().hex
        known = client_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) if client_key else None
        told = {
            "clientKey": known and known.decode(),
            "algorithm": "ES384" if isinstance(client_key, ec.EllipticCurvePublicKey) else "RS384",
            "clientId": "companion",
            "keyId": "k1",
            "page": PAGE,
            "desk": desk,
        }
        self._desk.post(f"{self.origin}/begin", json=told).raise_for_status()
        self._desk.headers = httpx.Headers({"authorization": f"Bearer {desk}", "content-type": JSON})

    def close(self) -> None:
        self._desk.close()
        self._process.communicate(timeout=10)  # its standard input ends, and so does it

    @property
    def now(self) -> datetime:
        return datetime.now(UTC)

    def put(self, resource: Resource) -> Resource:
        """Written by the hospital; the resource as it is now. Fails on what is not valid R4."""
        answer = self._desk.put(f"/{resource['resourceType']}/{resource['id']}", content=json.dumps(resource))
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def get(self, reference: str) -> Resource:
        answer = self._desk.get(f"/{reference}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def change(self, reference: str, **members: Any) -> Resource:
        return self.put({**self.get(reference), **members})

    def of_kind(self, kind: str) -> list[Resource]:
        """The first page of them."""
        return [entry["resource"] for entry in self._desk.get(f"/{kind}").json().get("entry", [])]

    def end_tokens(self) -> None:
        """Whoever had signed in has to do so once more."""
        self._desk.post(f"{self.origin}/end-tokens")
