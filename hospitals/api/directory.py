"""The directory over HTTP: for each kind of row a list in the order of change, and one address a row.

The views of all kinds are made from hospitals.services.rows, so that what is documented is what is checked.
"""

import re
from typing import Any, ClassVar

from django.db import transaction
from django.urls import URLPattern, path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from pydantic import BaseModel, create_model
from rest_framework import status
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from hospitals import audit
from hospitals.api.base import IDEMPOTENCY_KEY, IF_MATCH, HospitalView
from hospitals.api.parsers import JSONParser
from hospitals.exceptions import InvalidInput, NotFound
from hospitals.services import feed, upsert
from hospitals.services.rows import IDENTIFIER_PATTERN, ROWS, Fault, Row, parse, shown_model

READ, WRITE = "directory:read", "directory:write"
LIMIT_MAX = 500
_LIMIT = re.compile(r"[0-9]{1,6}")


class MergePatchParser(JSONParser):
    """RFC 7396."""

    media_type = "application/merge-patch+json"


def _refuse(fault: Fault) -> InvalidInput:
    return InvalidInput("这项内容还有要改的地方。", code=fault.code, errors=[fault.shown()])


def checked_identifier(given: str) -> str:
    """Raises ``InvalidInput`` (bad_identifier)."""
    if not IDENTIFIER_PATTERN.fullmatch(given):
        raise InvalidInput("编号须为 1 到 64 个字母、数字或 _ . : -,且不以符号开头。", code="bad_identifier")
    return given


def _limit(request: Request) -> int:
    given = request.query_params.get("limit", "100")
    if not (_LIMIT.fullmatch(given) and 1 <= int(given) <= LIMIT_MAX):
        raise InvalidInput(f"limit 须为 1 到 {LIMIT_MAX}。", code="bad_limit")
    return int(given)


class DirectoryListView(HospitalView):
    """All rows of a kind in the order they last changed; keep the last cursor and ask again to learn what changed since."""

    row: ClassVar[type[Row]]
    needs = {"GET": READ}

    def get(self, request: Request) -> Response:
        wanted = request.query_params.get("withdrawn", "true")
        if wanted not in ("true", "false"):
            raise InvalidInput("withdrawn 须为 true 或 false。", code="bad_withdrawn")
        found = feed.page(
            hospital_id=self.who.hospital_id,
            kind=self.row.kind,
            cursor=request.query_params.get("cursor", ""),
            limit=_limit(request),
            withdrawn=wanted == "true",
        )
        return Response({"items": found.items, "cursor": found.cursor, "more": found.more})


class DirectoryRowView(HospitalView):
    """One row, by the hospital's own identifier."""

    row: ClassVar[type[Row]]
    needs = {"GET": READ, "PUT": WRITE, "PATCH": WRITE, "DELETE": WRITE}
    parser_classes = [JSONParser, MergePatchParser]
    tagged = ("GET", "PUT", "PATCH")

    def _answer(self, identifier: str, code: int = status.HTTP_200_OK) -> Response:
        row = feed.find(hospital_id=self.who.hospital_id, kind=self.row.kind, identifier=identifier)
        tag = feed.etag(self.row, row)
        return Response(feed.shown(self.row, row), status=code, headers={"ETag": tag})

    def get(self, request: Request, identifier: str) -> Response:
        return self._answer(checked_identifier(identifier))

    def put(self, request: Request, identifier: str) -> Response:
        return self.do_once(request, lambda: self._write(request, identifier, whole=True))

    def patch(self, request: Request, identifier: str) -> Response:
        return self.do_once(request, lambda: self._write(request, identifier, whole=False))

    @transaction.atomic
    def _write(self, request: Request, identifier: str, *, whole: bool) -> Response:
        hospital_id, kind = self.who.hospital_id, self.row.kind
        checked_identifier(identifier)
        if not isinstance(request.data, dict):
            raise ParseError
        upsert.lock(hospital_id)
        known = upsert.rows_of(self.row, hospital_id).filter(identifier=identifier).first()
        if not whole and (known is None or getattr(known, "withdrawn_at", None)):
            raise NotFound  # what was withdrawn comes back by being written as a whole
        feed.check_match(self.row, known, request.headers.get("If-Match", ""), request.headers.get("If-None-Match", ""))
        data = dict(request.data) if whole else _merged(self.row, known, request.data)
        if data.pop("identifier", identifier) != identifier:
            raise _refuse(Fault("/identifier", "another_identifier", "编号与地址里的不一致。"))
        try:
            parsed = parse(self.row, data, exactly=True)
            (outcome,) = upsert.write(hospital_id=hospital_id, kind=kind, rows=[(identifier, parsed)])
        except Fault as fault:
            raise _refuse(fault) from fault
        if outcome.fault:
            raise _refuse(outcome.fault)
        created = outcome.what == upsert.CREATED
        answer = self._answer(identifier, status.HTTP_201_CREATED if created else status.HTTP_200_OK)
        # How many are left is no news: it changes as often as somebody comes to the window.
        columns = sorted({*outcome.columns} - {*self.row.volatile})
        if created or columns:
            self._record(f"directory.{outcome.what}", identifier, ",".join(columns))
        return answer

    def _record(self, action: str, identifier: str, columns: str = "") -> None:
        """Which row of which kind, and the names of the columns that changed; not what stands in them."""
        audit.record(
            action,
            actor=self.actor,
            hospital_id=self.who.hospital_id,
            entity=self.row.kind,
            entity_id=identifier,
            detail=columns,
        )

    def delete(self, request: Request, identifier: str) -> Response:
        return self.do_once(request, lambda: self._withdraw(request, identifier))

    @transaction.atomic
    def _withdraw(self, request: Request, identifier: str) -> Response:
        hospital_id, kind = self.who.hospital_id, self.row.kind
        upsert.lock(hospital_id)
        known = feed.find(hospital_id=hospital_id, kind=kind, identifier=checked_identifier(identifier))
        feed.check_match(self.row, known, request.headers.get("If-Match", ""), "")
        if upsert.withdraw(hospital_id=hospital_id, kind=kind, identifier=identifier):
            self._record("directory.withdrawn", identifier)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _merged(row_type: type[Row], known: Any, patch: dict[str, Any]) -> dict[str, Any]:
    """The row as it is with the patch over it; null takes a field back to its default (RFC 7396)."""
    present = {k: v for k, v in row_type.shown(known).items() if k in row_type.model_fields}
    base = {name: value for name, value in present.items() if name not in row_type.volatile}
    # a hospital that names another own name means another standard department, unless it says which
    if "name" in patch and "standard_name" in base and "standard_name" not in patch:
        base.pop("standard_name")
    return {name: value for name, value in {**base, **patch}.items() if value is not None}


# --- addresses ------------------------------------------------------------------------------------------------

_CURSOR = OpenApiParameter("cursor", OpenApiTypes.STR, description="上一次回答里的 cursor;第一次不写。")
_PAGE_SIZE = OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": 100})
_WITHDRAWN = OpenApiParameter("withdrawn", OpenApiTypes.BOOL, description="false:不要已撤下的。", default=True)
_NONE_MATCH = OpenApiParameter(
    "If-None-Match", OpenApiTypes.STR, OpenApiParameter.HEADER, description="* 表示只新建,不覆盖。"
)
_PATH = OpenApiParameter(
    "identifier", {"type": "string", "pattern": IDENTIFIER_PATTERN.pattern}, OpenApiParameter.PATH, required=True
)


def _page_model(shown: type[BaseModel]) -> type[BaseModel]:
    return create_model(f"{shown.__name__}Page", items=(list[shown], ...), cursor=(str, ...), more=(bool, ...))  # type: ignore[valid-type]


def _partial(row: type[Row]) -> type[BaseModel]:
    """The patch's shape: every field may be absent."""
    fields: dict[str, Any] = {name: (info.annotation | None, None) for name, info in row.model_fields.items()}  # type: ignore[operator]
    return create_model(f"{row.__name__.removesuffix('Row')}Patch", **fields)


def _views(row: type[Row]) -> tuple[Any, Any]:
    shown = shown_model(row)
    name = row.__name__.removesuffix("Row")
    singular = name.lower()
    write = [_PATH, IF_MATCH, IDEMPOTENCY_KEY]
    tags = ["directory"]
    listed = extend_schema_view(
        get=extend_schema(
            operation_id=f"{singular}_list",
            tags=tags,
            parameters=[_CURSOR, _PAGE_SIZE, _WITHDRAWN],
            responses=_page_model(shown),
        )
    )(type(f"{name}ListView", (DirectoryListView,), {"row": row}))
    one = extend_schema_view(
        get=extend_schema(operation_id=f"{singular}_read", tags=tags, parameters=[_PATH], responses=shown),
        put=extend_schema(
            operation_id=f"{singular}_write",
            tags=tags,
            parameters=[*write, _NONE_MATCH],
            request=row,
            responses={200: shown, 201: shown},
        ),
        patch=extend_schema(
            operation_id=f"{singular}_change",
            tags=tags,
            parameters=write,
            request={"application/merge-patch+json": _partial(row), "application/json": _partial(row)},
            responses=shown,
        ),
        delete=extend_schema(
            operation_id=f"{singular}_withdraw", tags=tags, parameters=write, request=None, responses={204: None}
        ),
    )(type(f"{name}View", (DirectoryRowView,), {"row": row}))
    return listed, one


def addresses() -> list[URLPattern]:
    """Two addresses for each kind."""
    found = []
    for row in ROWS:
        listed, one = _views(row)
        found.append(path(f"{row.kind}/", listed.as_view(), name=f"hospital-{row.kind}"))
        found.append(path(f"{row.kind}/<str:identifier>/", one.as_view(), name=f"hospital-{row.kind}-one"))
    return found
