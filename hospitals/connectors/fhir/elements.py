"""Small readings of a FHIR resource's elements. Pure; what is ill-formed raises one of the client's ``MALFORMED``."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hospitals.connectors import codec
from hospitals.connectors.base import EventData, EventType
from hospitals.connectors.fhir import terms
from hospitals.connectors.fhir.client import Resource
from hospitals.connectors.money import fen

Read = Callable[[str], Resource]  # "Location/3" → the resource, {} when it is not there


def instant(text: Any) -> datetime:
    """FHIR's instant or dateTime with a zone; a date alone is its first moment in UTC. Raises ``ValueError``."""
    found = datetime.fromisoformat(str(text))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def changed_at(resource: Resource) -> datetime:
    """When it was last written, by its server's clock."""
    return instant(resource["meta"]["lastUpdated"])


def begun(text: Any, at: datetime) -> datetime:
    """When something began that was seen at ``at``; a date alone does not say, and what lies ahead is no beginning."""
    return min(instant(text), at) if "T" in str(text or "") else at


def own_id(resource: Resource) -> str:
    """Its id. Raises ``TypeError`` where that is no text."""
    found = resource["id"]
    if not isinstance(found, str):
        raise TypeError("id")
    return found


def first(items: Any) -> dict[str, Any]:
    """The first of a list of elements; {} of none."""
    found: dict[str, Any] = items[0] if items else {}
    return found


def digest(data: EventData, kind: EventType) -> str:
    """The same for the same data: part of an event's id where a resource may tell several."""
    return hashlib.sha256(repr(codec.dump_data(kind, data)).encode()).hexdigest()[:12]


def words(concept: Any) -> str:
    """A CodeableConcept's words: its text, else its first coding's display or code."""
    concept = concept or {}
    if concept.get("text"):
        return str(concept["text"])
    coding = first(concept.get("coding"))
    return str(coding.get("display") or coding.get("code") or "")


def code_of(concept: Any, system: str = "") -> str:
    """A CodeableConcept's first code, of this system if one is said; "" without."""
    codings = (concept or {}).get("coding", [])
    return next((str(c.get("code", "")) for c in codings if not system or c.get("system") == system), "")


def tail_of(reference: Any) -> str:
    """ "12" of {"reference": "Invoice/12"}."""
    text = str((reference or {}).get("reference", "")).partition("/_history/")[0]
    return text.rsplit("/", 1)[-1]


def fen_of(money: Any) -> int:
    """Money as whole fen. Raises ``ValueError`` for another currency or parts of a fen."""
    if money.get("currency", "CNY") != "CNY":
        raise ValueError("currency")
    return fen(str(money["value"]))


def place_of(reference: Any, read: Read) -> tuple[str, str, str]:
    """(room code, name, where it is) of a Location."""
    text = str((reference or {}).get("reference", ""))
    found = read(text) if text else {}
    code = next((str(i.get("value", "")) for i in found.get("identifier", [])), "")
    return code, str(found.get("name") or (reference or {}).get("display") or ""), str(found.get("description") or "")


def inputs_of(task: Resource) -> dict[str, Any]:
    """Task.input by our codes; of value[x] whatever there is."""
    found = {}
    for entry in task.get("input", []):
        name = code_of(entry.get("type"), terms.TASK)
        value = next((v for k, v in entry.items() if k.startswith("value")), None)
        if name and value is not None:
            found[name] = value
    return found
