"""What a strict FHIR R4 server lets through: fhir.resources' R4B models, and the required codes."""

from collections.abc import Iterator
from typing import Any

from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

Resource = dict[str, Any]
# Required bindings whose list the models cut short.
BINDINGS = {
    ("Encounter", "status"): "planned arrived triaged in-progress onleave finished cancelled entered-in-error unknown",
    (
        "Task",
        "status",
    ): "draft requested received accepted rejected ready cancelled in-progress on-hold failed completed "
    "entered-in-error",
    ("DiagnosticReport", "status"): "registered partial preliminary final amended corrected appended cancelled "
    "entered-in-error unknown",
    ("Observation", "status"): "registered preliminary final amended corrected cancelled entered-in-error unknown",
}


class Refusal(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        issue = {"severity": "error", "code": code, "details": {"text": text}}
        self.outcome = {"resourceType": "OperationOutcome", "issue": [issue]}


def checked(resource: Any) -> Resource:
    """The resource if it is valid R4; ``Refusal`` (422) if it is not."""
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        raise Refusal(400, "structure", "no resource")
    kind = resource["resourceType"]
    try:
        model = get_fhir_model_class(kind)
        model.model_validate(resource)
    except (KeyError, ValidationError, ValueError) as error:
        raise Refusal(422, "invalid", f"{kind}: {str(error)[:300]}") from error
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra or {}
        allowed = BINDINGS.get((kind, name), "").split() or extra.get("enum_values") or []
        value = resource.get(field.alias or name)
        if allowed and value is not None and value not in allowed:
            raise Refusal(422, "code-invalid", f"{kind}.{name}")
        if extra.get("element_required") and value is None:
            raise Refusal(422, "required", f"{kind}.{name}")
    return resource


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)
