"""Requests made from an OpenAPI document, with canaries wherever text can stand: where it belongs, and where it does not."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

from drf_spectacular.generators import SchemaGenerator

from tests.canaries.words import ALL, ID_NUMBER, NAME, PHONE, SYMPTOM

METHODS = ("get", "put", "post", "patch", "delete")
FORMATS = {
    "uuid": str(UUID(int=7)),
    "date": "2026-12-01",
    "date-time": "2026-12-01T09:00:00+08:00",
    "uri": f"https://hooks.example.org/{PHONE}",
    "email": "canary@example.org",
}
# What the contracts' patterns take, the telling ones first.
FITTING = (ALL, NAME, SYMPTOM, PHONE, "canary-river", "a1", "12:00", "https://hooks.example.org/a", "8:00-17:00")
LONG = json.dumps({"name": ALL * 3000}).encode()
HEADERS = {
    "If-Match": f'"{PHONE}"',
    "If-None-Match": f'"{PHONE}"',
    "Idempotency-Key": PHONE,
    "Cookie": f"sessionid={PHONE}; a={quote(NAME)}",
    "User-Agent": f"{PHONE} {ID_NUMBER}",
    "Referer": f"https://example.org/?q={quote(SYMPTOM)}&p={PHONE}",
    "X-Forwarded-For": PHONE,
    "Accept-Language": PHONE,
}


@dataclass(frozen=True)
class Operation:
    """One of a document. ``schemas``: its components."""

    method: str
    path: str
    told: dict[str, Any] = field(hash=False, compare=False)
    schemas: dict[str, Any] = field(hash=False, compare=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def bodies(self) -> dict[str, Any]:
        """Media type → schema."""
        content = self.told.get("requestBody", {}).get("content", {})
        return {media: entry.get("schema", {}) for media, entry in content.items()}


@dataclass(frozen=True)
class Request:
    path: str
    body: bytes = b""
    media: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


@cache
def operations(urlconf: str | None) -> tuple[Operation, ...]:
    """All of the document that is made of this urlconf; None: of the whole service."""
    made = SchemaGenerator(urlconf=urlconf).get_schema(request=None, public=True)
    schemas = made["components"]["schemas"]
    return tuple(
        Operation(method.upper(), path, told, schemas)
        for path, item in made["paths"].items()
        for method, told in item.items()
        if method in METHODS
    )


def example(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """A value that fits, with canaries in its words."""
    if reference := schema.get("$ref"):
        return example(schemas[reference.rsplit("/", 1)[-1]], schemas)
    for several in ("allOf", "oneOf", "anyOf"):
        if several in schema:
            return example(schema[several][0], schemas)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "string":
        return _text(schema)
    if kind == "array":
        return [example(schema.get("items", {}), schemas)]
    if kind == "object":
        return {name: example(inner, schemas) for name, inner in schema.get("properties", {}).items()}
    return {"integer": schema.get("minimum", 1), "number": 1.0, "boolean": False}.get(kind)


def _text(schema: dict[str, Any]) -> str:
    if schema.get("format") in FORMATS:
        return FORMATS[schema["format"]]
    most, pattern = schema.get("maxLength", 10**6), schema.get("pattern", "")
    fitting = (text for text in FITTING if len(text) <= most and (not pattern or re.search(pattern, text)))
    return next(fitting, PHONE)


def addressed(path: str, values: str | dict[str, str]) -> str:
    """``values``: for each part of the address, or one for all."""

    def part(found: re.Match[str]) -> str:
        return quote(values if isinstance(values, str) else values.get(found[1], str(UUID(int=7))), safe="")

    return re.sub(r"\{([^}]+)\}", part, path)


def requests(one: Operation, known: dict[str, str], members: dict[str, Any]) -> Iterator[Request]:
    """``known``: parts of addresses that lead somewhere; ``members``: of bodies, likewise. First what fits, then ever worse."""
    real = addressed(one.path, known)
    for media, schema in one.bodies.items():
        fits = example(schema, one.schemas)
        fits = {**fits, **members} if isinstance(fits, dict) else fits
        yield Request(real, _written(fits, media), media)
        if isinstance(fits, dict):
            for wrong in (ALL, [{ALL: PHONE}]):
                yield Request(real, _written(dict.fromkeys([*fits, ALL, PHONE], wrong), media), media)
        yield Request(real, f"{{{ALL}".encode(), media)
        yield Request(real, ALL.encode("gbk") + b"," + PHONE.encode(), media)
    if one.bodies:
        yield Request(real, _picture(), "multipart/form-data; boundary=x")
        yield Request(real, ALL.encode(), f"text/{PHONE}")
    else:
        yield Request(real)
    query = {p["name"]: PHONE for p in one.told.get("parameters", []) if p["in"] == "query"} | {"q": ALL, PHONE: NAME}
    yield Request(f"{real}?{urlencode(query)}", headers=HEADERS)
    yield Request(real, headers={"Accept": f"text/{PHONE}"})
    yield Request(real, headers={"Authorization": f"Bearer {PHONE}"})
    if "{" in one.path:
        yield Request(addressed(one.path, PHONE))
        yield Request(addressed(one.path, ALL))


def anywhere() -> Iterator[Request]:
    """What is refused before or beside any operation."""
    yield Request("/api/session/", LONG)
    yield Request("/api/session/", b"[" * 9_000_000 + ALL.encode())
    yield Request(f"/{quote(NAME)}/{PHONE}?q={quote(ALL)}")
    yield Request(f"/api/{quote(NAME)}/{PHONE}?q={quote(ALL)}")
    yield Request(f"/static/{quote(NAME)}/../{PHONE}")
    yield Request("/api/session/", headers={"Host": f"{PHONE}.example"})
    yield Request("/api/session/", headers={"Host": PHONE + "_/"})
    yield Request("/admin/login/", headers={"Origin": f"https://{PHONE}", "Referer": f"https://{PHONE}/"})
    yield Request("/api/session/", headers={"Authorization": f"Basic {PHONE}"})
    yield Request("/api/session/", headers={"Content-Length": PHONE})


def _picture() -> bytes:
    head = f'--x\r\ncontent-disposition: form-data; name="{NAME}"; filename="{PHONE}.jpg"\r\ncontent-type: image/jpeg'
    return f"{head}\r\n\r\n\xff\xd8{ALL}\r\n--x--\r\n".encode()


def _written(value: Any, media: str) -> bytes:
    if "urlencoded" in media:
        return urlencode(value).encode()
    if media == "text/csv" and isinstance(value, str):
        return f"{NAME},{PHONE}\r\n{ALL},{ID_NUMBER}\r\n".encode()
    return b"" if value is None else json.dumps(value, ensure_ascii=False).encode()
