"""The manifest and the pictures of an avatar over HTTP."""

import pytest

from avatar.renderers import get_renderer

pytestmark = pytest.mark.urls("tests.avatar.only_avatar_urls")


@pytest.fixture
def manifest(client):
    return client.get("/api/avatar/xiaolan/manifest.json").json()


def test_the_manifest_names_what_there_is(client, manifest):
    renderer = get_renderer("xiaolan")
    assert manifest["version"] == renderer.version
    assert set(manifest["mouth"]["rest"]) == set(manifest["eyes"]["states"]) == {"neutral", "smile", "concern"}
    ids = [
        *manifest["mouth"]["rest"].values(),
        *(s["id"] for states in manifest["eyes"]["states"].values() for s in states),
    ]
    for address in [manifest["portrait"], manifest["mask"], *(manifest["patch_url"].format(id=i) for i in ids)]:
        answer = client.get(address)
        assert answer.status_code == 200 and answer["Content-Type"].startswith("image/")
        assert "immutable" in answer["Cache-Control"]
        assert b"".join(answer) if answer.streaming else answer.content


def test_the_manifest_is_asked_for_again_but_sent_once(client):
    first = client.get("/api/avatar/xiaolan/manifest.json")
    assert "no-cache" in first["Cache-Control"]
    again = client.get("/api/avatar/xiaolan/manifest.json", headers={"if-none-match": first["ETag"]})
    assert again.status_code == 304


def test_what_is_not_there_answers_typed(client, manifest):
    for address in [
        "/api/avatar/nobody/manifest.json",
        "/api/avatar/xiaolan/0000/portrait",
        manifest["patch_url"].format(id=999_999),
    ]:
        answer = client.get(address)
        assert answer.status_code == 404
        assert answer.json()["code"] == "avatar_not_found"
    assert client.post("/api/avatar/xiaolan/manifest.json").status_code == 405
