"""The contract onto a FHIR server: commands out at once, and what the hospital changed, read from time to time."""

import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog

from hospitals.addresses import Policy
from hospitals.connectors.base import Acknowledgement, Command, HospitalEvent
from hospitals.connectors.fhir import events, orders, terms
from hospitals.connectors.fhir.client import MALFORMED, FhirClient, Resource
from hospitals.connectors.fhir.elements import changed_at
from hospitals.connectors.fhir.offers import Offers, read_slots
from hospitals.connectors.fhir.sign_in import BackendServices, SignIn
from hospitals.exceptions import (
    AddressRefused,
    BadEvent,
    ConnectorRefused,
    ConnectorUnavailable,
    HospitalsError,
    OutcomeUnknown,
)
from hospitals.outgoing import Outgoing, deadline

log = structlog.get_logger(__name__)

EXECUTE_S = 40.0  # below the outbox's claim, so that a command is never in two hands
POLL_S = 240.0
OVERLAP = timedelta(seconds=30)  # writes that were still under way when the last poll read
VISITS_REMEMBERED = 5000
OFFERS_PAGES_MAX = 2000  # a large hospital has some hundred thousand places in four weeks
_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
# What is read, in this order, and how our own residents' resources are asked for: nobody else's leave the hospital. The type
# is named where R4's parameter may lead to several (a DiagnosticReport's encounter to an EpisodeOfCare too).
_SEARCHES = {
    "Appointment": "identifier",
    "Encounter": "appointment.identifier",
    "Task": "encounter:Encounter.appointment.identifier",
    "Invoice": "identifier",
    "DiagnosticReport": "encounter:Encounter.appointment.identifier",
    "MedicationRequest": "encounter:Encounter.appointment.identifier",
}


@dataclass(frozen=True, slots=True)
class Poll:
    """What was read. ``next_since`` goes into the next poll: no later than the first search, by the server's own clock, for
    what changed after a kind was searched is in none of the answers. ``unusable`` counts resources that broke the contract."""

    events: tuple[HospitalEvent, ...]
    next_since: datetime
    unusable: int = 0


@dataclass(slots=True)
class _Reading:
    """One poll's look-ups, each reference read once."""

    client: FhirClient
    read_already: dict[str, Resource] = field(default_factory=dict)
    medicines: dict[str, list[Resource]] = field(default_factory=dict)  # by encounter

    def read(self, reference: str) -> Resource:
        if reference not in self.read_already:
            try:
                self.read_already[reference] = self.client.read(reference).resource
            except ConnectorRefused:  # not there, or not for us
                self.read_already[reference] = {}
        return self.read_already[reference]

    def sheet(self, changed: Resource) -> Resource:
        """A medicine with all medicines of its sheet (groupIdentifier) under "group": one stands for its whole sheet."""
        number = (changed.get("groupIdentifier") or {}).get("value")
        encounter = (changed.get("encounter") or {}).get("reference")
        if not number or not encounter:
            return changed
        if encounter not in self.medicines:
            self.medicines[encounter] = list(self.client.search("MedicationRequest", {"encounter": encounter}))
        whole = [r for r in self.medicines[encounter] if (r.get("groupIdentifier") or {}).get("value") == number]
        first = min(whole or [changed], key=lambda r: str(r.get("id", "")))
        return {**first, "group": whole or [changed]}


class FhirConnector:
    """``hospitals.connectors.base.Connector`` onto one FHIR R4 server."""

    def __init__(
        self,
        *,
        base_url: str,
        token_url: str = "",
        client_id: str = "",
        key_file: str = "",
        key_id: str = "",
        scope: str = "",
        id_system: str = terms.ID_NUMBER,
        networks: Sequence[str] = (),
        plain_hosts: Sequence[str] = (),
        ca_file: str = "",
        read_s: float = 10.0,
        outgoing: Callable[..., Outgoing] = Outgoing,
    ) -> None:
        """Options as docs/connectors.md tells them. Raises ``AddressRefused``, ``ValueError``, ``OSError`` for wrong ones."""
        policy = Policy.of(networks, plain_hosts)
        policy.check_url(base_url)
        verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca_file) if ca_file else True
        calls = outgoing(policy, verify=verify, read_s=read_s)
        sign_in: SignIn | None = None
        if token_url:
            policy.check_url(token_url)
            more: dict[str, Any] = {"scope": scope} if scope else {}
            sign_in = BackendServices(
                calls,
                token_url=token_url,
                client_id=client_id,
                private_key=Path(key_file).read_bytes(),
                key_id=key_id,
                **more,
            )
        self._client = FhirClient(calls, base_url, sign_in)
        self._id_system = id_system
        self._visits: dict[str, str] = {}  # "Encounter/7" → our appointment's id; never changes once it is set

    def execute(self, command: Command) -> Acknowledgement:
        """Raises ``ConnectorUnavailable``, ``OutcomeUnknown``, ``ConnectorRefused``."""
        try:
            with deadline(EXECUTE_S):
                return orders.execute(self._client, command, id_system=self._id_system)
        except AddressRefused as error:
            raise ConnectorUnavailable(code=error.code) from error
        except MALFORMED as error:
            raise OutcomeUnknown(code="bad_answer") from error

    def poll(self, hospital_id: UUID, since: datetime) -> Poll:
        """Everything that changed for our residents since then, in the hospital's order. Raises ``ConnectorUnavailable``.

        Read twice it gives the same events; whoever stores them by their id tells each once.
        """
        found: dict[str, HospitalEvent] = {}
        latest, unusable = since, 0
        asked_at: list[datetime] = []
        reading = _Reading(self._client)
        try:
            with deadline(POLL_S):
                for kind, ours in _SEARCHES.items():
                    params = {
                        "_lastUpdated": f"ge{(since - OVERLAP).isoformat(timespec='milliseconds')}",
                        ours: f"{terms.APPOINTMENT}|",
                        "_sort": "_lastUpdated",
                    }
                    for resource in self._client.search(kind, params, asked_at=asked_at):
                        try:
                            latest = max(latest, changed_at(resource))
                            whole = reading.sheet(resource) if kind == "MedicationRequest" else resource
                            for event in self._events(hospital_id, whole, reading):
                                found.setdefault(event.event_id, event)
                        except (BadEvent, *MALFORMED) as error:
                            unusable += 1
                            code = getattr(error, "code", type(error).__name__)
                            log.warning("resource_unusable", hospital=str(hospital_id), event_type=kind, code=code)
        except (AddressRefused, ConnectorRefused) as error:
            raise ConnectorUnavailable(code=error.code) from error
        except MALFORMED as error:  # of a page itself
            raise ConnectorUnavailable(code="bad_answer") from error
        ordered = sorted(found.values(), key=lambda e: (e.sequence, e.event_id))
        return Poll(tuple(ordered), min([latest, *asked_at]), unusable)

    def probe(self, now: datetime) -> Iterator[tuple[str, str]]:
        """Try whatever a visit needs that writes nothing: (step, "" or the fault's code), one after another."""

        def version() -> None:
            if not self._client.version().startswith("4."):
                raise ConnectorUnavailable(code="not_r4")

        def search(kind: str, ours: str) -> None:
            params = {ours: f"{terms.APPOINTMENT}|"} if ours else {}
            since = {"_lastUpdated": f"ge{now.isoformat(timespec='milliseconds')}", "_sort": "_lastUpdated"}
            next(iter(self._client.search(kind, {**since, **params})), None)

        steps: list[tuple[str, Callable[[], None]]] = [("metadata", version)]
        steps += [(kind, partial(search, kind, ours)) for kind, ours in _SEARCHES.items()]
        steps += [(kind, partial(search, kind, "")) for kind in ("Schedule", "Slot")]
        for name, step in steps:
            try:
                step()
            except HospitalsError as error:
                yield name, error.code
            except MALFORMED:
                yield name, "bad_answer"
            else:
                yield name, ""

    def offers(self, since: datetime | None, *, start: datetime, until: datetime) -> tuple[Offers, datetime]:
        """Slots from ``start`` up to ``until`` that changed since then, or whose Schedule did; and where the next reading begins.

        ``since``: None for all of them. Raises ``ConnectorUnavailable``.
        """
        window = {"_sort": "_lastUpdated"}
        if since is not None:
            window["_lastUpdated"] = f"ge{(since - OVERLAP).isoformat(timespec='milliseconds')}"
        search = partial(self._client.search, pages=OFFERS_PAGES_MAX)
        coming = [f"ge{start.isoformat(timespec='seconds')}", f"lt{until.isoformat(timespec='seconds')}"]
        reading = _Reading(self._client)
        latest, asked_at = since or _BEGINNING, list[datetime]()
        found: dict[str, Resource] = {}
        try:
            with deadline(POLL_S):
                for schedule in search("Schedule", window, asked_at=asked_at):
                    reading.read_already[f"Schedule/{schedule.get('id')}"] = schedule
                    latest = max(latest, changed_at(schedule))
                    if since is None:  # every slot is read below
                        continue
                    own = {"schedule": f"Schedule/{schedule.get('id')}", "start": coming}
                    found |= {str(slot.get("id")): slot for slot in search("Slot", own)}
                for slot in search("Slot", {**window, "start": coming}):
                    latest = max(latest, changed_at(slot))
                    found[str(slot.get("id"))] = slot
                return read_slots(found.values(), reading.read), min([latest, *asked_at])
        except (AddressRefused, ConnectorRefused) as error:
            raise ConnectorUnavailable(code=error.code) from error
        except MALFORMED as error:
            raise ConnectorUnavailable(code="bad_answer") from error

    def _events(self, hospital_id: UUID, resource: Resource, reading: _Reading) -> list[HospitalEvent]:
        visit = self._visit(resource, reading)
        if not visit:
            return []
        kind, resource_id = str(resource["resourceType"]), str(resource["id"])
        return [
            events.finished(told, hospital_id=hospital_id, appointment_id=visit, kind=kind, resource_id=resource_id)
            for told in events.told(resource, reading.read)
        ]

    def _visit(self, resource: Resource, reading: _Reading) -> str:
        """Our appointment's id, by way of the encounter; "" for somebody else's resource."""
        kind = resource.get("resourceType")
        if kind in ("Appointment", "Invoice"):
            mine = (i.get("value") for i in resource.get("identifier", []) if i.get("system") == terms.APPOINTMENT)
            return str(next(mine, ""))
        reference = (
            next(iter(resource.get("appointment", [])), {}) if kind == "Encounter" else resource.get("encounter") or {}
        ).get("reference", "")
        if not reference:
            return ""
        if reference not in self._visits:
            visit = self._visit(reading.read(reference), reading)
            if not visit:
                return ""
            if len(self._visits) >= VISITS_REMEMBERED:
                self._visits.clear()
            self._visits[reference] = visit
        return self._visits[reference]
