"""For hospitals that can only speak HTTPS: each command is one signed POST to an address of theirs, answered at once.

Signed as Standard Webhooks says, like the events that come the other way. What the hospital decides later it tells by events.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hospitals.addresses import Policy
from hospitals.connectors import push
from hospitals.connectors.base import Acknowledgement, Command
from hospitals.exceptions import AddressRefused, ConnectorRefused, ConnectorUnavailable
from hospitals.outgoing import Answer, Outgoing

READ_S = 10.0
ANSWER_MAX_BYTES = 64 * 1024
WORDS_MAX = 200
PING = "ping"
# It heard us and said no; anything else that is no success is its trouble or its operator's, and is tried again.
REFUSALS = frozenset({400, 404, 409, 410, 422})


class WebhookConnector:
    """``hospitals.connectors.base.Connector`` onto one address. Every one of ``secrets`` signs, the newest first."""

    def __init__(self, *, url: str, secrets: Sequence[str], outgoing: Outgoing) -> None:
        self._url, self._secrets, self._outgoing = url, tuple(secrets), outgoing

    def execute(self, command: Command) -> Acknowledgement:
        """Raises ``ConnectorUnavailable`` (also ``OutcomeUnknown``) when it is to be sent again with the same key."""
        return _read(self._post(_written(command), repeatable=True))

    def ping(self, key: str) -> int:
        """A message that asks for nothing; the status of a success. Raises ``ConnectorUnavailable``."""
        nothing: dict[str, Any] = {"appointment_id": "", "slot": "", "patient": None, "data": {}}
        answer = self._post({"idempotency_key": key, "kind": PING, **nothing}, repeatable=False)
        if not 200 <= answer.status < 300:
            raise _no_answer(answer, f"http_{answer.status}")
        return answer.status

    def _post(self, said: dict[str, Any], *, repeatable: bool) -> Answer:
        body = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
        # a header is ASCII and a key may hold a hospital's own words
        message_id = "cmd_" + hashlib.sha256(said["idempotency_key"].encode()).hexdigest()[:32]
        newest, *others = self._secrets
        headers = {**push.sign(newest, message_id, body, also=others), "content-type": "application/json"}
        try:
            return self._outgoing.send("POST", self._url, headers=headers, content=body, repeatable=repeatable)
        except (
            AddressRefused
        ) as error:  # where the name leads now, or a redirect: it may be mended, so it is tried again
            raise ConnectorUnavailable(code=error.code) from error


class FiledWebhookConnector(WebhookConnector):
    """The same from the operator's file. ``secret_file`` holds a "whsec_…" secret, shared with the hospital.

    ``networks`` and ``plain_hosts`` name what lies outside the public internet (hospitals.addresses).
    Raises ``AddressRefused``, ``OSError`` or ``ValueError`` when the settings are wrong.
    """

    def __init__(
        self, *, url: str, secret_file: str, networks: Iterable[str] = (), plain_hosts: Iterable[str] = ()
    ) -> None:
        policy = Policy.of(networks, plain_hosts)
        policy.check_url(url)
        secret = Path(secret_file).read_text(encoding="ascii").strip()
        push.sign(secret, "check", b"")  # a secret that is none is found here, not at the first command
        outgoing = Outgoing(policy, read_s=READ_S, max_bytes=ANSWER_MAX_BYTES)
        super().__init__(url=url, secrets=[secret], outgoing=outgoing)


def _written(command: Command) -> dict[str, Any]:
    card = command.patient
    patient = card and {
        "name": card.name,
        "id_number": card.id_number,
        "phone": card.phone,
        "birth_date": card.birth_date.isoformat(),
        "sex": card.sex,
    }
    return {
        "idempotency_key": command.idempotency_key,
        "kind": command.kind.value,
        "appointment_id": command.appointment_id,
        "slot": command.slot_identifier,
        "patient": patient,
        "data": command.data,
    }


def _no_answer(answer: Answer, code: str) -> ConnectorUnavailable:
    return ConnectorUnavailable(code=code, http_status=answer.status)


def _read(answer: Answer) -> Acknowledgement:
    """2xx with {"accepted", "reference", "reason"}; a refusal may also come as 400, 404, 409, 410 or 422."""
    if not (200 <= answer.status < 300 or answer.status in REFUSALS):
        raise _no_answer(answer, f"http_{answer.status}")
    try:
        said = json.loads(answer.body)
        if not isinstance(said, dict):
            raise TypeError
    except (ValueError, TypeError, RecursionError) as error:
        if answer.status in REFUSALS:
            raise ConnectorRefused(http_status=answer.status) from error
        raise _no_answer(answer, "bad_answer") from error
    accepted = said.get("accepted", False if answer.status in REFUSALS else None)
    if not isinstance(accepted, bool):
        raise _no_answer(answer, "bad_answer")
    reference, reason = (str(said.get(name) or "")[:WORDS_MAX] for name in ("reference", "reason"))
    return Acknowledgement(accepted and answer.status not in REFUSALS, reference, reason, answer.status)
