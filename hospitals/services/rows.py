"""The directory's rows as a hospital writes them: which fields, which rules, and which of its other rows each names.

A row names others by the hospital's own identifiers; the hospital itself is never part of a row.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Annotated, Any, ClassVar

from django.db import models
from django.utils import timezone
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    create_model,
)

from hospitals.models import Building, Campus, Department, Floor, Notice, Practitioner, Schedule, Slot
from hospitals.services import standard_departments

IDENTIFIER = r"^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,63}$"
IDENTIFIER_PATTERN = re.compile(IDENTIFIER)
_PLAIN = r"^[^\x00-\x1f\x7f]*$"
_A_NAME = re.compile(r"[A-Za-z][A-Za-z_]{0,39}")
_A_DAY = re.compile(r"\s*\d{4}-\d\d-\d\d")
_YEARS = (2000, 2100)
_LONGEST_SLOT = timedelta(hours=12)

Identifier = Annotated[str, Field(pattern=IDENTIFIER, description="本院自己的编号")]
Found = Mapping[tuple[str, str], models.Model]  # (kind, identifier) → row


class Fault(Exception):
    """What is wrong with one row: where (JSON pointer), a stable code, words for the engineer, and what may help."""

    def __init__(self, pointer: str, code: str, detail: str, **extra: Any) -> None:
        super().__init__(code)
        self.pointer, self.code, self.detail, self.extra = pointer, code, detail, extra

    def shown(self) -> dict[str, Any]:
        return {"pointer": self.pointer, "code": self.code, "detail": self.detail, **self.extra}


def _written_out(value: Any) -> Any:
    """Pydantic would read seconds since 1970 as well."""
    if isinstance(value, date) or (isinstance(value, str) and _A_DAY.match(value)):
        return value
    raise ValueError("not_a_date")


def _this_century(value: Any) -> Any:
    if not _YEARS[0] <= value.year <= _YEARS[1]:
        raise ValueError("year_out_of_range")
    return value


Plain = Annotated[str, Field(pattern=_PLAIN)]
Moment = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_this_century)]
Day = Annotated[date, BeforeValidator(_written_out), AfterValidator(_this_century)]


class Row(BaseModel):
    """One row without its identifier. ``refs``: field → kind it names."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    kind: ClassVar[str]
    model: ClassVar[Any]
    refs: ClassVar[dict[str, str]] = {}
    derived: ClassVar[dict[str, type]] = {}  # shown, never written
    volatile: ClassVar[tuple[str, ...]] = ()  # changed by bookings as well: not part of the ETag, nor of a merge

    def values(self, found: Found, known: Any) -> dict[str, Any]:
        """Column → value. ``known``: the row as it is, or None. Raises ``Fault``."""
        given = {name: getattr(self, name) for name in type(self).model_fields if name not in self.refs}
        return given | {name: self.named(name, found) for name in self.refs}

    def named(self, field: str, found: Found) -> Any:
        """The row that ``field`` names. Raises ``Fault`` when this hospital has none of that identifier."""
        identifier = getattr(self, field)
        row = found.get((self.refs[field], identifier))
        if row is None:
            raise Fault(f"/{field}", "unknown_reference", "本院没有这个编号,请先上传它。", kind=self.refs[field])
        return row

    @classmethod
    def shown(cls, row: Any) -> dict[str, Any]:
        """What the hospital reads back."""
        named = {f: getattr(row, f).identifier if f in cls.refs else getattr(row, f) for f in cls.model_fields}
        return {"identifier": row.identifier, **named, **{f: getattr(row, f) for f in cls.derived}}


class CampusRow(Row):
    kind, model = "campuses", Campus
    name: Plain = Field(min_length=1, max_length=60)
    address: Plain = Field("", max_length=200)


class BuildingRow(Row):
    kind, model, refs = "buildings", Building, {"campus": "campuses"}
    campus: Identifier
    name: Plain = Field(min_length=1, max_length=60)


class FloorRow(Row):
    kind, model, refs = "floors", Floor, {"building": "buildings"}
    building: Identifier
    number: Annotated[int, Field(ge=-20, le=200, strict=True, description="1 是一楼,-1 是地下一层")]
    name: Plain = Field(min_length=1, max_length=20)


class DepartmentRow(Row):
    kind, model, derived = "departments", Department, {"national_code": str}
    name: Plain = Field(min_length=1, max_length=60)
    standard_name: Plain = Field(
        "",
        max_length=30,
        description="标准科室名;不写则按本院名称对应,对应不上就退回并给出最接近的几个。可以写:"
        + "、".join(department.name for department in standard_departments.listed()),
    )
    room_code: Plain = Field("", max_length=64)
    room_name: Plain = Field("", max_length=60)
    place: Plain = Field("", max_length=100)
    bookable: bool = True

    def values(self, found: Found, known: Any) -> dict[str, Any]:
        named = self.standard_name
        meant = standard_departments.standard(named) if named else standard_departments.meant_by(self.name)
        if meant is None:
            raise Fault(
                "/standard_name" if named else "/name",
                "unmapped_department",
                "对应不上标准科室,请在 standard_name 里写明。",
                suggestions=standard_departments.nearest(named or self.name),
            )
        return super().values(found, known) | {"standard_name": meant.name, "national_code": meant.code}


class PractitionerRow(Row):
    kind, model, refs = "practitioners", Practitioner, {"department": "departments"}
    department: Identifier
    name: Plain = Field(min_length=1, max_length=30)
    title: Plain = Field("", max_length=30)
    specialty: Plain = Field("", max_length=200)


class ScheduleRow(Row):
    kind, model = "schedules", Schedule
    refs = {"department": "departments", "practitioner": "practitioners"}
    department: Identifier
    practitioner: Identifier
    day: Day
    period: Schedule.Period
    stopped: bool | None = Field(None, description="停诊;不写则照旧")

    def values(self, found: Found, known: Any) -> dict[str, Any]:
        given = super().values(found, known)
        stopped = given.pop("stopped")
        since = known.stopped_at if known else None
        if stopped is None:  # a nightly upload that does not speak of it puts no stopped clinic back on sale
            return given | {"stopped_at": since}
        return given | {"stopped_at": (since or timezone.now()) if stopped else None}

    @classmethod
    def shown(cls, row: Any) -> dict[str, Any]:
        plain = {"day": row.day, "period": row.period, "stopped": row.stopped_at is not None}
        return {"identifier": row.identifier, **{f: getattr(row, f).identifier for f in cls.refs}, **plain}


class SlotRow(Row):
    """``free``: what the hospital still has, as it knows; places we sold that it has not confirmed yet are taken off.

    ``stopped``: this slot by itself; ``on_sale`` counts its half day, practitioner and department as well.
    """

    kind, model, refs = "slots", Slot, {"schedule": "schedules"}
    derived, volatile = {"on_sale": bool}, ("free",)
    schedule: Identifier
    start: Moment
    end: Moment
    capacity: Annotated[int, Field(ge=0, le=1000, strict=True)]
    free: (
        Annotated[int, Field(ge=0, le=1000, strict=True, description="余号;不写则新号源全空、旧号源按号数增减")] | None
    ) = None
    fee_fen: Annotated[int, Field(ge=0, le=10_000_000, strict=True, description="诊查费,单位分")] = 0
    stopped: bool = False

    def values(self, found: Found, known: Any) -> dict[str, Any]:
        given = super().values(found, known)
        schedule = given["schedule"]
        if self.end <= self.start or self.end - self.start > _LONGEST_SLOT:
            raise Fault("/end", "not_after_start", "结束要晚于开始,且不超过 12 小时。")
        if timezone.localtime(self.start).date() != schedule.day:
            raise Fault("/start", "another_day", "开始时间不在排班的那一天。")
        if self.free is not None and self.free > self.capacity:
            raise Fault("/free", "more_than_capacity", "余号比号数多。")
        return given | {
            "stopped_itself": given.pop("stopped"),
            "free": self._free(known),
            "department_id": schedule.department_id,
            "practitioner_id": schedule.practitioner_id,
        }

    def _free(self, known: Any) -> int:
        """``known.taken``: places held or sold here, ``known.unconfirmed``: those of them its hospital cannot know yet.

        What was sold here is never on sale again, however old the hospital's picture.
        """
        if known is None:
            return self.capacity if self.free is None else self.free
        if self.free is None:
            free = known.free + self.capacity - known.capacity
        else:
            free = self.free - known.unconfirmed
        return max(0, min(free, self.capacity - known.taken))

    @classmethod
    def shown(cls, row: Any) -> dict[str, Any]:
        plain = {name: getattr(row, name) for name in ("start", "end", "capacity", "free", "fee_fen")}
        mine = {"identifier": row.identifier, "schedule": row.schedule.identifier}
        return mine | plain | {"stopped": row.stopped_itself, "on_sale": not row.stopped}


class NoticeRow(Row):
    kind, model = "notices", Notice
    text: Plain = Field(min_length=1, max_length=300)
    starts_at: Moment
    ends_at: Moment

    def values(self, found: Found, known: Any) -> dict[str, Any]:
        if self.ends_at <= self.starts_at:
            raise Fault("/ends_at", "not_after_start", "结束要晚于开始。")
        return super().values(found, known)


# In the order in which they can be written: what is named before what names it.
ROWS: tuple[type[Row], ...] = (
    CampusRow,
    BuildingRow,
    FloorRow,
    DepartmentRow,
    PractitionerRow,
    ScheduleRow,
    SlotRow,
    NoticeRow,
)
BY_KIND = {row.kind: row for row in ROWS}


def _exactly(row: type[Row]) -> type[Row]:
    """The row as the API's document has it: what databases and files pad or spell otherwise is not taken as meant."""
    flags: dict[str, Any] = {
        name: (StrictBool if info.annotation is bool else StrictBool | None, info)
        for name, info in row.model_fields.items()
        if info.annotation in (bool, bool | None)
    }
    unpadded = type(row.__name__, (row,), {"model_config": ConfigDict(str_strip_whitespace=False)})
    return create_model(row.__name__, __base__=unpadded, **flags)


_EXACT = {row: _exactly(row) for row in ROWS}


def shown_model(row: type[Row]) -> type[BaseModel]:
    """The OpenAPI shape of a row as it is read: with its identifier, what is derived, and when it changed."""
    extra: dict[str, Any] = {name: (kind, ...) for name, kind in row.derived.items()}
    return create_model(
        row.__name__.replace("Row", ""),
        __base__=row,
        identifier=(Identifier, ...),
        changed_at=(datetime, ...),
        withdrawn_at=(datetime | None, ...),
        **extra,
    )


_WORDS = {
    "missing": "缺少这一项。",
    "extra_forbidden": "没有这个字段。",
    "string_pattern_mismatch": "含有不允许的字符。",
    "string_too_long": "太长:最多 {max_length} 个字。",
    "string_too_short": "不能为空。",
    "string_type": "要写成文字,JSON 里加引号。",
    "int_type": "要写整数,没有小数,JSON 里不加引号。",
    "bool_type": "要写 true 或 false。",
    "bool_parsing": "要写 true 或 false。",
    "enum": "只能写 {expected}。",
    "greater_than_equal": "不能小于 {ge}。",
    "less_than_equal": "不能大于 {le}。",
    "timezone_aware": "时间要带时区,例如 +08:00。",
    "value_error": "日期写成 2026-03-02,时间写成 2026-03-02T09:00:00+08:00,年份在 2000 到 2100 之间。",
}
_WORDS |= dict.fromkeys(
    ("date_from_datetime_parsing", "date_from_datetime_inexact", "date_parsing"), "日期写成 2026-03-02。"
)
_WORDS |= dict.fromkeys(("datetime_from_date_parsing", "datetime_parsing"), "时间写成 2026-03-02T09:00:00+08:00。")


def parse(row: type[Row], data: Any, *, exactly: bool = False) -> Row:
    """The row, without white space around its texts. ``exactly``: the rules hold for those as they were sent, too.

    Raises ``Fault`` with the first thing that is wrong, and the others in ``also``; quotes nothing of what was sent.
    """
    try:
        if exactly:
            _EXACT[row].model_validate(data)
        return row.model_validate(data)
    except ValidationError as error:
        found = [(e["loc"], e["type"], e.get("ctx", {})) for e in error.errors(include_input=False, include_url=False)]
    # a member that is not known is named by whoever sent it: told only where it can be no name, number or words
    found = [
        (place if code != "extra_forbidden" or _A_NAME.fullmatch(str(place[-1])) else place[:-1], code, rule)
        for place, code, rule in found
    ]
    faults = [
        {
            "pointer": "".join(f"/{p}" for p in place),
            "code": code,
            "detail": _WORDS.get(code, "内容的格式不对。").format_map(rule),
        }
        for place, code, rule in found[:10]
    ]
    first, *rest = faults
    raise Fault(first["pointer"], first["code"], first["detail"], **({"also": rest} if rest else {}))
