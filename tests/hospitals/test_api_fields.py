"""A value is taken as the document describes it or refused: types are not guessed, and rules hold for what was sent."""

from typing import Any

import jsonschema_rs
import pytest
from django.core import cache as counters
from django.test import Client

from hospitals.services import webhooks
from tests.hospitals.joining import V1, Joined, fill, joined

pytestmark = pytest.mark.django_db
APPLICATION = {
    "code": "river",
    "name": "江边医院",
    "city": "岚州市",
    "licence_number": "PDY00001",
    "contact": {"name": "王工", "phone": "13900000001", "email": "it@river.example"},
}


@pytest.fixture(autouse=True)
def _fresh_counters() -> None:
    counters.cache.clear()


@pytest.fixture()
def river() -> Joined:
    hospital = joined("river")
    fill(hospital)
    return hospital


def pointers(answer: Any) -> list[str]:
    assert answer.status_code == 400, answer.content
    return [error["pointer"] for error in answer.json()["errors"]]


def document() -> Any:
    return Client().get(f"{V1}/openapi.json").json()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("address", "\f一号路"),
        ("address", "一号路\n"),
        ("address", "路" * 200 + " "),
        ("phone", 92),
        ("opening_hours", "\n"),
        ("avatar", "river-nurse\n"),
        ("has_emergency", "yes"),
        ("has_emergency", 1),
        ("hold_min", "5"),
        ("hold_min", True),
        ("hold_min", 5.5),
    ],
)
def test_a_hospitals_facts_are_refused_as_the_document_says(river: Joined, field: str, value: Any) -> None:
    shape = {**document(), "$ref": "#/components/schemas/PatchedProfileChange"}
    assert not jsonschema_rs.is_valid(shape, {field: value})
    before = river.get("/hospital/").json()
    assert pointers(river.call("PATCH", "/hospital/", {field: value})) == [f"/{field}"]
    assert river.get("/hospital/").json() == before


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        ("/hospital/", {"opening_hour": "8:00"}, "/opening_hour"),
        ("/test-appointments/", {"slots": "T1"}, "/slots"),
        ("/webhooks/sandbox/", {"url": "https://hooks.river.example/", "enable": False}, "/enable"),
        ("/webhooks/sandbox/rotate/", {"overlap": 5}, "/overlap"),
        ("/credentials/rotate/", {"kind": "client", "overlap": 5}, "/overlap"),
        ("/hospital/", {"张三 13900000000": 1}, ""),  # a name of her own making is not repeated
    ],
)
def test_a_member_that_is_not_known_is_refused_as_the_document_says(
    river: Joined, path: str, body: dict[str, Any], place: str
) -> None:
    method = {"/hospital/": "PATCH", "/webhooks/sandbox/": "PUT"}.get(path, "POST")
    operation = document()["paths"][f"{V1}{path}".replace("sandbox", "{environment}")][method.lower()]
    shape = operation["requestBody"]["content"]["application/json"]["schema"]
    assert not jsonschema_rs.is_valid({**document(), **shape}, body)
    answer = river.call(method, path, body)
    assert pointers(answer) == [place] and answer.json()["errors"][0]["code"] == "unknown_field"


def test_a_clock_to_midnight_is_in_the_document_as_in_the_map() -> None:
    shape = document()["paths"][f"{V1}/directory/map/"]["put"]["requestBody"]["content"]["application/json"]["schema"]
    lift = {"kind": "lift", "id": "L1", "building": "1", "floor": 1, "closed": [["22:00", "24:00"]]}
    point = {"type": "Point", "coordinates": [1, 2]}
    feature = {"type": "Feature", "properties": lift, "geometry": point}
    assert jsonschema_rs.is_valid(shape, {"type": "FeatureCollection", "features": [feature]})


def test_blanks_around_a_text_are_taken_off(river: Joined) -> None:
    answer = river.call("PATCH", "/hospital/", {"address": "  一号路 ", "opening_hours": "  ", "hold_min": 5.0})
    told = answer.json()
    assert (told["address"], told["opening_hours"], told["hold_min"]) == ("一号路", "", 5)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"name": "\t江边医院"}, "/name"),
        ({"name": 5}, "/name"),
        ({"licence_number": "PDY00001 "}, "/licence_number"),
        ({"contact": APPLICATION["contact"] | {"email": " it@river.example"}}, "/contact/email"),  # type: ignore[operator]
    ],
)
def test_an_application_is_refused_as_the_document_says(changes: dict[str, Any], place: str) -> None:
    def applied(body: dict[str, Any]) -> Any:
        return Client().post(f"{V1}/applications/", body, content_type="application/json")

    assert pointers(applied(APPLICATION | changes)) == [place]
    assert applied(APPLICATION).status_code == 201


def test_a_webhook_is_switched_by_true_and_false_alone(river: Joined, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "system_resolve", lambda _host, _port: ["1.1.1.1"])
    body = {"url": "https://hooks.river.example/", "enabled": "off"}
    assert pointers(river.put("/webhooks/sandbox/", body)) == ["/enabled"]
    assert pointers(river.put("/webhooks/sandbox/", body | {"enabled": False, "url": f"{body['url']}\n"})) == ["/url"]
    assert river.put("/webhooks/sandbox/", body | {"enabled": False}).status_code == 201
    assert pointers(river.call("POST", "/webhooks/sandbox/rotate/", {"overlap_s": "60"})) == ["/overlap_s"]


@pytest.mark.parametrize("query", ["outcome=", "cursor=", "appointment_id=", "limit="])
def test_an_empty_filter_of_the_deliveries_is_not_read_as_none(river: Joined, query: str) -> None:
    assert pointers(river.get(f"/deliveries/?{query}")) == [f"/{query[:-1]}"]
    assert river.get("/deliveries/").status_code == 200


@pytest.mark.parametrize(
    ("path", "changes", "place"),
    [
        ("departments/D1", {"room_name": "眼科诊室\n"}, "/room_name"),
        ("departments/D1", {"room_name": "室" * 60 + " "}, "/room_name"),
        ("departments/D1", {"bookable": "no"}, "/bookable"),
        ("departments/D1", {"bookable": 0}, "/bookable"),
        ("notices/N1", {"starts_at": 946684800}, "/starts_at"),
        ("notices/N1", {"starts_at": "946684800"}, "/starts_at"),
    ],
)
def test_a_row_is_refused_as_the_document_says(river: Joined, path: str, changes: dict[str, Any], place: str) -> None:
    assert pointers(river.call("PATCH", f"/directory/{path}/", changes)) == [place]


def test_a_body_that_must_be_there_is_said_to_be(river: Joined) -> None:
    paths = document()["paths"]
    assert paths[f"{V1}/events/"]["post"]["requestBody"]["required"] is True
    assert paths[f"{V1}/directory/map/"]["put"]["requestBody"]["required"] is True
    assert river.put("/directory/map/", None).status_code == 400
