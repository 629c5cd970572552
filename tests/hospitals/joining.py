"""What the API's tests share: hospitals that have joined, with tokens, and rows to write."""

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.test import Client
from django.utils import timezone

from hospitals.audit import Actor
from hospitals.services import access, onboarding
from hospitals.services.onboarding import Contact

V1 = "/api/hospitals/v1"
OFFICER = Actor("commission", "officer-li")
CONTACT = Contact("王工", "13900000001", "it@river.example")


@dataclass(frozen=True)
class Joined:
    """A hospital in the sandbox and a token of its client."""

    hospital_id: UUID
    code: str
    claim: str
    client_id: str
    signing_secret: str
    token: str

    def with_token_of(self, client_id: str) -> "Joined":
        """The same with a token of another client of its own."""
        return replace(self, client_id=client_id, token=a_token(client_id))

    def as_live(self) -> "Joined":
        made = access.create_client(hospital_id=self.hospital_id, environment="live", actor=OFFICER)
        return self.with_token_of(made.client_id)

    def call(self, method: str, path: str, body: Any = None, *, media: str = "application/json", **headers: str) -> Any:
        sent = {"authorization": f"Bearer {self.token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return Client().generic(method, V1 + path, encoded(body, media), content_type=media, headers=sent)

    def put(self, path: str, body: Any, **headers: str) -> Any:
        return self.call("PUT", path, body, **headers)

    def get(self, path: str, **headers: str) -> Any:
        return self.call("GET", path, **headers)


def encoded(body: Any, media: str = "application/json") -> bytes:
    if body is None:
        return b""
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def a_token(client_id: str, scopes: list[str] | None = None) -> str:
    client = access.client(client_id)
    assert client is not None
    token = access.new_token()
    access.keep_token(client, token, scopes or list(access.SCOPES))
    return token


def joined(code: str = "river", *, scopes: list[str] | None = None, connector: str = "sandbox") -> Joined:
    found = onboarding.apply(
        code=code, name=f"{code}医院", city="岚州市", licence_number="PDY0001", contact=CONTACT, connector=connector
    )
    onboarding.verify(hospital_id=found.hospital_id, actor=OFFICER, reason="证照齐全")
    claimed = onboarding.claim_credentials(hospital_id=found.hospital_id, environment="sandbox")
    client_id = claimed.client.client_id
    return Joined(found.hospital_id, code, found.claim, client_id, claimed.signing_secret, a_token(client_id, scopes))


def tomorrow() -> Any:
    return timezone.localtime() + timedelta(days=1)


def at(hour: int, minute: int = 0) -> str:
    return tomorrow().replace(hour=hour, minute=minute, second=0, microsecond=0).isoformat()


def rows() -> list[dict[str, Any]]:
    """One row of each kind, in the order in which they can be written."""
    day = tomorrow().date().isoformat()
    schedule = {"department": "D1", "practitioner": "P1", "day": day, "period": "morning"}
    slot = {"schedule": "S1", "start": at(9), "end": at(9, 30), "capacity": 5, "fee_fen": 2500}
    return [
        {"kind": "campuses", "identifier": "main", "name": "本部", "address": "湖滨路1号"},
        {"kind": "buildings", "identifier": "B1", "campus": "main", "name": "门诊楼"},
        {"kind": "floors", "identifier": "B1-1", "building": "B1", "number": 1, "name": "1楼"},
        {"kind": "departments", "identifier": "D1", "name": "眼科", "place": "门诊楼1楼"},
        {"kind": "practitioners", "identifier": "P1", "department": "D1", "name": "高明", "title": "主任医师"},
        {"kind": "schedules", "identifier": "S1", **schedule},
        {"kind": "slots", "identifier": "T1", **slot},
        {"kind": "notices", "identifier": "N1", "text": "南门施工", "starts_at": at(0), "ends_at": at(23)},
    ]


def fill(hospital: Joined) -> None:
    """Write one row of each kind."""
    for row in rows():
        body = {k: v for k, v in row.items() if k not in ("kind", "identifier")}
        answer = hospital.put(f"/directory/{row['kind']}/{row['identifier']}/", body)
        assert answer.status_code == 201, answer.content


def code_of(answer: Any, status: int) -> str:
    """The problem's code in a refusal with this status."""
    assert answer.status_code == status, answer.content
    return answer.json()["code"]


def upload(
    hospital: Joined, lines: list[Any], *, query: str = "", media: str = "application/x-ndjson", run: Any = None
) -> Any:
    """PUT these lines, each as it is or as JSON, to the address ``run``."""
    body = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines) or "\n"
    return hospital.call("PUT", f"/imports/{run or uuid4()}/{query}", body, media=media)
