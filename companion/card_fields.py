"""What is given for a real-name card, field by field: brought into its normal form, or told in words what is wrong with it."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from django.utils import timezone

from companion import documents
from companion.exceptions import FieldError, InvalidCard
from companion.models import Patient

_WORDS = {
    ("name", "empty"): "请填写姓名。",
    ("name", "characters"): "姓名里只能有文字和「·」,请照证件上的写。",
    ("name", "length"): "姓名太长了,请照证件上的写。",
    ("id_number", "empty"): "请填写证件号码。",
    ("id_number", "length"): "身份证号是18位,请数一数是不是少了或者多了。",
    ("id_number", "characters"): "证件号码里有不该有的字,请照证件重新填。",
    ("id_number", "check_digit"): "这个身份证号对不上,可能有一位填错了,请照身份证再核对一遍。",
    ("id_number", "birth_date"): "身份证号中间的出生日期不对,请照身份证再核对一遍。",
    ("phone", "empty"): "请填写手机号。",
    ("phone", "characters"): "手机号是1开头的11位数字,请再核对一遍。",
    ("birth_date", "empty"): "请填写出生日期。",
    ("birth_date", "birth_date"): "出生日期不对,请照证件再核对一遍。",
    ("birth_date", "mismatch"): "出生日期和身份证号对不上,请再核对一遍。",
    ("sex", "mismatch"): "性别和身份证号对不上,请再核对一遍。",
    ("relation", "relation"): "请选择和您的关系。未满18岁的家人选子女、孙辈或其他。",
    ("guardian", "guardian"): "请确认您是孩子的父母或监护人。",
}


def wrong(field: str, code: str) -> FieldError:
    """What is wrong with a field of a card, and what to do."""
    return FieldError(f"/{field}", code, _WORDS[(field, code)])


def checked(patient: Patient, given: Mapping[str, Any]) -> dict[str, str]:
    """The card's values in their normal form: what is given, over what stood there. Raises ``InvalidCard``."""
    values = {
        name: str(given[name] if given.get(name) is not None else getattr(patient, name))
        for name in ("name", "document", "id_number", "phone", "birth_date", "sex")
    }
    other_document = "id_number" in given or values["document"] != patient.document
    if other_document and "id_number" not in given:
        values["id_number"] = ""
    found: list[FieldError] = []
    today = timezone.localdate()
    for field, normal in (("name", documents.name), ("phone", documents.mobile)):
        try:
            values[field] = normal(values[field])
        except documents.Wrong as error:
            found.append(wrong(field, error.code))
    try:
        if values["document"] == Patient.Document.ID_CARD:
            read = documents.identity_number(values["id_number"], today=today)
            values["id_number"] = read.number
            for field, says in (("birth_date", read.birth_date.isoformat()), ("sex", read.sex)):
                if given.get(field) and str(given[field]) != says:
                    found.append(wrong(field, "mismatch"))
                values[field] = says
        else:
            values["id_number"] = documents.other_number(values["id_number"])
    except documents.Wrong as error:
        found.append(wrong("id_number", error.code))
    if values["document"] != Patient.Document.ID_CARD:
        found += _born(values["birth_date"], today)
    if found:
        raise InvalidCard(found)
    return values


def _born(text: str, today: date) -> list[FieldError]:
    if not text:
        return [wrong("birth_date", "empty")]
    try:
        documents.check_born(date.fromisoformat(text), today=today)
    except ValueError:
        return [wrong("birth_date", "birth_date")]
    return []
