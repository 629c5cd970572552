"""Whether an answer fits the small part of JSON schema that we ask models for. Servers promise it; we look."""

from collections.abc import Mapping
from typing import Any

_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "object": dict,
    "array": list,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}


def fits(value: Any, schema: Mapping[str, Any]) -> bool:
    """Checks type, enum, maxLength, maxItems, required, properties and additionalProperties; nothing else."""
    wanted = schema.get("type")
    if wanted is not None and not _is(value, wanted):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, str):
        return len(value) <= schema.get("maxLength", len(value))
    if isinstance(value, list):
        items = schema.get("items", {})
        return len(value) <= schema.get("maxItems", len(value)) and all(fits(item, items) for item in value)
    if isinstance(value, dict):
        return _object_fits(value, schema)
    return True


def _is(value: Any, wanted: str) -> bool:
    if isinstance(value, bool):
        return wanted == "boolean"
    return isinstance(value, _TYPES[wanted])


def _object_fits(value: dict[str, Any], schema: Mapping[str, Any]) -> bool:
    properties: Mapping[str, Any] = schema.get("properties", {})
    if any(key not in value for key in schema.get("required", ())):
        return False
    if schema.get("additionalProperties") is False and any(key not in properties for key in value):
        return False
    return all(fits(value[key], rule) for key, rule in properties.items() if key in value)
