"""What answers carry besides their bodies: what is deprecated and until when; what has not changed."""

from datetime import UTC, datetime
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator

from hospitals.api.answers import AnsweringView, Deprecation
from hospitals.api.facts import MapView
from tests.hospitals.joining import fill, joined

ENDS = Deprecation(
    since=datetime(2026, 1, 1, tzinfo=UTC),
    link="https://companion.example.org/changes",
    sunset=datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC),
)
PATH = "/api/hospitals/v1/directory/map/"


def described() -> dict[str, Any]:
    return SchemaGenerator(urlconf="hospitals.api.published").get_schema(request=None, public=True)


def views(kind: type) -> list[type]:
    return [kind, *(found for below in kind.__subclasses__() for found in views(below))]


def test_nothing_is_deprecated_at_present() -> None:
    assert not [view for view in views(AnsweringView) if view.deprecated]
    operations = [operation for item in described()["paths"].values() for operation in item.values()]
    assert not [operation for operation in operations if operation.get("deprecated")]


@pytest.mark.django_db
def test_what_is_deprecated_says_since_when_until_when_and_where_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MapView, "deprecated", {"GET": ENDS})
    river = joined("river")
    answer = river.get("/directory/map/")
    assert answer["Deprecation"] == "@1767225600"  # RFC 9745: a date of structured fields
    assert answer["Sunset"] == "Thu, 31 Dec 2026 23:59:59 GMT"  # RFC 8594: an HTTP date
    assert answer["Link"] == '<https://companion.example.org/changes>; rel="deprecation"'
    refused = river.put("/directory/map/", [])
    assert refused.status_code == 400 and "Deprecation" not in refused
    item = described()["paths"][PATH]
    assert item["get"]["deprecated"] is True and "deprecated" not in item["put"]
    assert item["get"]["responses"]["200"]["headers"]["Deprecation"]["required"] is True


@pytest.mark.django_db
def test_an_end_that_is_not_decided_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MapView, "deprecated", {"GET": Deprecation(ENDS.since, ENDS.link)})
    answer = joined("river").get("/directory/map/")
    assert "Deprecation" in answer and "Sunset" not in answer


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/hospital/", "/directory/lexicon/", "/directory/map/", "/directory/campuses/main/"])
def test_what_has_not_changed_is_not_sent_again(path: str) -> None:
    river = joined("river")
    fill(river)
    first = river.get(path)
    assert first.status_code == 200
    for known in (first["ETag"], f'"other", W/{first["ETag"]}', "*"):
        again = river.get(path, if_none_match=known)
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
        assert "RateLimit" in again
    assert river.get(path, if_none_match='"other"').status_code == 200
