"""Bodies that no serializer parses, described: a hospital's event, and its indoor map."""

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent

from hospitals import map_features
from hospitals.connectors import codec, event_schema


class EventBody:
    """Stands for the signed body of an event, which hospitals.connectors.codec parses."""


class EventBodySchema(OpenApiSerializerExtension):
    target_class = EventBody

    def get_name(self, auto_schema: AutoSchema, direction: str) -> str:
        return "HospitalEvent"

    def map_serializer(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        made = event_schema.schema("#/components/schemas/{model}")
        for name, one in made.pop("$defs").items():
            component = ResolvedComponent(name, ResolvedComponent.SCHEMA, one, object=name)
            auto_schema.registry.register_on_missing(component)
        return made


class EventBatchBody:
    """Stands for the signed body of many events."""


class EventBatchBodySchema(OpenApiSerializerExtension):
    target_class = EventBatchBody

    def get_name(self, auto_schema: AutoSchema, direction: str) -> str:
        return "HospitalEventBatch"

    def map_serializer(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        event = auto_schema.resolve_serializer(EventBody, direction).ref
        events = {"type": "array", "minItems": 1, "maxItems": codec.BATCH_MAX_EVENTS, "items": event}
        return {
            "type": "object",
            "required": ["events"],
            "additionalProperties": False,
            "properties": {"events": events},
        }


_FEATURE: dict[str, Any] = {
    "type": "object",
    "required": ["type", "properties", "geometry"],
    "properties": {
        "type": {"const": "Feature"},
        "properties": {
            "type": "object",
            "required": ["kind"],
            "properties": {
                "kind": {"enum": list(map_features.KINDS)},
                "code": {"type": "string", "description": "room、door、entrance、gate 的编号"},
                "id": {"type": "string", "description": "lift、stairs、escalator:每一层相同"},
                "name": {"type": "string"},
                "room": {"type": "string", "description": "door:所属房间的编号"},
                "category": {"type": "string"},
                "building": {"type": "string", "description": "室外为空"},
                "building_name": {"type": "string"},
                "floor": {"type": "integer", "description": "室外不写"},
                "floor_name": {"type": "string"},
                "covered": {"type": "boolean"},
                "closed": {
                    "type": "array",
                    "items": {
                        "type": "array",
                        "items": {"type": "string", "pattern": r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$"},
                        "minItems": 2,
                        "maxItems": 2,
                    },
                    "description": '不开放的时段,例如 [["22:00", "06:00"]]',
                },
                "direction": {"enum": ["up", "down", "both"], "description": "escalator"},
            },
        },
        "geometry": {
            "type": "object",
            "required": ["type", "coordinates"],
            "properties": {
                "type": {"enum": ["Point", "LineString", "Polygon"]},
                "coordinates": {"type": "array", "description": "米,x 向右,y 向下"},
            },
        },
    },
}
MAP_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "features"],
    "properties": {"type": {"const": "FeatureCollection"}, "features": {"type": "array", "items": _FEATURE}},
}
