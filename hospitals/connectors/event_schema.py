"""The events a hospital may send, as JSON Schema: made from what the codec parses with, so that neither can say other things."""

from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, Field, TypeAdapter, create_model

from hospitals.connectors import codec
from hospitals.connectors.base import EventType


def _model(kind: EventType) -> type[BaseModel]:
    name = "".join(word.title() for word in kind.value.replace(".", "_").split("_")) + "Event"
    fields: dict[str, Any] = {"type": (Literal[kind], ...), "data": (None, None)}
    if kind in codec.DATA:
        fields["data"] = (codec.DATA[kind], ...)
    return create_model(name, __base__=codec.Envelope, **fields)


def schema(ref_template: str) -> dict[str, Any]:
    """One schema a type of event, told apart by ``type``; what it refers to is in ``$defs``."""
    every: Any = Annotated[Union[tuple(_model(kind) for kind in EventType)], Field(discriminator="type")]  # noqa: UP007
    made = TypeAdapter(every).json_schema(ref_template=ref_template)
    for name, one in made["$defs"].items():
        one["additionalProperties"] = False
        for field, rule in codec.RULES.get(name, {}).items():
            # beside null where a field may be that: the rule is the other branch's
            found = one["properties"][field]
            (found["anyOf"][0] if "anyOf" in found else found).update(rule)
    return made
