"""Invented people with numbers that hold: area code 99 was never assigned."""

from datetime import date
from typing import Any

from django.test import Client

from companion import documents, people, signin
from companion.identity.base import Identity
from companion.models import Resident

TODAY_PHONE = "13900007788"


def id_number(born: str = "19610115", order: str = "002", area: str = "990101") -> str:
    """``born``: YYYYMMDD; an odd order is a man's."""
    first = f"{area}{born}{order}"
    return first + documents.check_digit(first)


def card(name: str = "陈玉兰", **changes: Any) -> dict[str, Any]:
    return {"name": name, "document": "id_card", "id_number": id_number(), "phone": TODAY_PHONE, **changes}


def years_ago(years: int) -> str:
    return f"{date.today().year - years}0101"


class Person:
    """Somebody with an account of her own, and a client that is signed in."""

    def __init__(self, name: str, born: str = "19880115", order: str = "006", *, filled: bool = True) -> None:
        self.token, signed_in = signin.open_session(Identity("alipay", "app", f"{name}-{born}-{order}"))
        self.resident_id, self.session_id = signed_in.resident_id, signed_in.session_id
        self.client = Client(headers={"authorization": f"Bearer {self.token}"})
        self.given = card(name, id_number=id_number(born, order))
        if filled:
            people.create(resident_id=self.resident_id, relation="self", **self.given)

    @property
    def resident(self) -> Resident:
        return Resident.objects.get(id=self.resident_id)

    @property
    def patient(self) -> Any:
        return people.own_card(self.resident)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        content = {"data": body, "content_type": "application/json"} if body is not None else {}
        return getattr(self.client, method)(f"/api/session/{path}", **content, headers=headers or None)

    def people(self) -> dict[str, Any]:
        answer = self.call("get", "people/")
        assert answer.status_code == 200 and "no-store" in answer["Cache-Control"]
        return dict(answer.json())
