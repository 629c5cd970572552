"""The contract onto a FHIR server: commands out at once, and what the hospital changed, read from time to time."""

import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog

from hospitals.addresses import Policy
from hospitals.connectors.base import Acknowledgement, Command, HospitalEvent
from hospitals.connectors.fhir import events, orders, terms
from hospitals.connectors.fhir.changes import BEGINNING, Changes, whole
from hospitals.connectors.fhir.client import MALFORMED, PAGES_MAX, FhirClient, Resource
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
from hospitals.outgoing import Outgoing, deadline, remaining

log = structlog.get_logger(__name__)

EXECUTE_S = 40.0  # below the outbox's claim, so that a command is never in two hands
POLL_S = 240.0
LAST_S = 60.0  # with less than that left no further resource is begun: what has been read is kept, the rest is the next poll's
POLL_PAGES_MAX = 200  # of a kind
OFFERS_PAGES_MAX = PAGES_MAX
VISITS_REMEMBERED = 5000
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
    """What was read. ``reached`` goes into the next poll: for each kind of resource, where its reading goes on. ``unusable``
    counts resources that broke the contract."""

    events: tuple[HospitalEvent, ...]
    reached: dict[str, datetime]
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
            self.medicines[encounter] = whole(self.client, "MedicationRequest", {"encounter": encounter})
        group = [r for r in self.medicines[encounter] if (r.get("groupIdentifier") or {}).get("value") == number]
        first = min(group or [changed], key=lambda r: str(r.get("id", "")))
        return {**first, "group": group or [changed]}


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

    def poll(self, hospital_id: UUID, since: datetime, reached: Mapping[str, datetime] | None = None) -> Poll:
        """What changed for our residents, in the hospital's order: all of it, or as much as a poll may take.

        ``reached``: the last poll's; ``since`` is for what was never read. Raises ``ConnectorUnavailable``. Read twice it gives
        the same events; whoever stores them by their id tells each once.
        """
        ends = {kind: (reached or {}).get(kind, since) for kind in _SEARCHES}
        found: dict[str, HospitalEvent] = {}
        unusable = 0
        reading = _Reading(self._client)
        try:
            with deadline(POLL_S):
                # What was left furthest behind comes first: no kind keeps another waiting for ever.
                for kind in sorted(_SEARCHES, key=ends.__getitem__):
                    ours = {_SEARCHES[kind]: f"{terms.APPOINTMENT}|"}
                    changes = Changes(self._client, kind, ours, ends[kind], pages=POLL_PAGES_MAX, stop=_time_is_up)
                    for resource in changes:
                        try:
                            told = reading.sheet(resource) if kind == "MedicationRequest" else resource
                            for event in self._events(hospital_id, told, reading):
                                found.setdefault(event.event_id, event)
                        except (BadEvent, *MALFORMED) as error:
                            unusable += 1
                            code = getattr(error, "code", type(error).__name__)
                            log.warning("resource_unusable", hospital=str(hospital_id), event_type=kind, code=code)
                    ends[kind] = changes.reached
        except (AddressRefused, ConnectorRefused) as error:
            raise ConnectorUnavailable(code=error.code) from error
        except MALFORMED as error:  # of a page itself
            raise ConnectorUnavailable(code="bad_answer") from error
        ordered = sorted(found.values(), key=lambda e: (e.sequence, e.event_id))
        return Poll(tuple(ordered), ends, unusable)

    def probe(self) -> Iterator[tuple[str, str]]:
        """Try whatever a visit needs that writes nothing: (step, "" or the fault's code), one after another."""

        def version() -> None:
            if not self._client.version().startswith("4."):
                raise ConnectorUnavailable(code="not_r4")

        def search(kind: str, ours: str) -> None:
            params = {ours: f"{terms.APPOINTMENT}|"} if ours else {}
            next(iter(Changes(self._client, kind, params, BEGINNING)), None)

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

    def offers(
        self, reached: Mapping[str, datetime] | None, *, start: datetime, until: datetime
    ) -> tuple[Offers, dict[str, datetime]]:
        """Slots from ``start`` up to ``until`` that changed or came within reach, or whose Schedule changed; and what the next
        reading is given: where it goes on, and up to which day has been looked.

        ``reached``: None for all of them. Raises ``ConnectorUnavailable``.
        """
        since = reached or {"Schedule": BEGINNING, "Slot": BEGINNING, "until": until}
        reading = _Reading(self._client)
        found: dict[str, Resource] = {}

        def changes(kind: str, params: Mapping[str, str | Sequence[str]]) -> Changes:
            return Changes(self._client, kind, params, since[kind], pages=OFFERS_PAGES_MAX, stop=_time_is_up)

        def take(slots: Iterable[Resource]) -> None:
            found.update((str(slot.get("id")), slot) for slot in slots)

        try:
            with deadline(POLL_S):
                schedules = changes("Schedule", {})
                for schedule in schedules:
                    reading.read_already[f"Schedule/{schedule.get('id')}"] = schedule
                    if reached is not None:  # else every slot is read below
                        own = {"schedule": f"Schedule/{schedule.get('id')}", "start": _within(start, until)}
                        take(whole(self._client, "Slot", own))
                if since["until"] < until:  # its slots may have been written long ago
                    take(whole(self._client, "Slot", {"start": _within(since["until"], until)}))
                slots = changes("Slot", {"start": _within(start, until)})
                take(slots)
                ends = {"Schedule": schedules.reached, "Slot": slots.reached, "until": until}
                return read_slots(found.values(), reading.read), ends
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


def _time_is_up() -> bool:
    return remaining() < LAST_S


def _within(start: datetime, until: datetime) -> list[str]:
    return [f"ge{start.isoformat(timespec='seconds')}", f"lt{until.isoformat(timespec='seconds')}"]
