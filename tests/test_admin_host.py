"""The admin on a host of its own: it answers there and nowhere else, and nothing else answers there."""

from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.test import Client

from companion import checks

pytestmark = pytest.mark.django_db
THERE = {"host": "admin.example:8443"}


@pytest.fixture()
def own_host(settings: Any) -> None:
    settings.ADMIN_HOST = "admin.example"
    settings.ALLOWED_HOSTS = ["testserver", "admin.example"]


def test_without_the_setting_all_is_on_one_host(client: Client) -> None:
    assert client.get("/admin/login/").status_code == client.get("/health/").status_code == 200


@pytest.mark.parametrize("address", ["/admin/", "/admin/login/", "/admin/hospitals/hospital/"])
def test_the_admin_answers_there_only(client: Client, own_host: None, address: str) -> None:
    assert client.get(address, headers=THERE).status_code in (200, 302)
    assert client.get(address).status_code == 404


@pytest.mark.parametrize(
    "address", ["/", "/health/", "/api/session/", "/api/hospitals/developers/", "/api/docs/", "/nowhere"]
)
def test_nothing_else_answers_there(client: Client, own_host: None, address: str) -> None:
    refused = client.get(address, headers=THERE)
    assert refused.status_code == 404
    assert "default-src 'self'" in refused["Content-Security-Policy"]
    assert address == "/nowhere" or client.get(address).status_code != 404


def test_its_files_come_along(client: Client, own_host: None) -> None:
    assert client.get("/static/admin/js/core.js", headers=THERE).status_code == 200


@pytest.mark.parametrize(
    ("host", "path"),
    [(b"Admin.example", "/ws/companion/"), (b"Admin.example", "/ws/mini/"), (b"testserver", "/ws/nowhere/")],
)
async def test_no_socket_opens_there(own_host: None, host: bytes, path: str) -> None:
    from companion.asgi import application

    scope = {"type": "websocket", "path": path, "headers": [(b"host", host)], "subprotocols": []}
    socket = ApplicationCommunicator(application, scope)
    await socket.send_input({"type": "websocket.connect"})
    assert (await socket.receive_output())["type"] == "websocket.close"


def test_the_residents_host_cannot_be_the_admins(settings: Any) -> None:
    settings.PUBLIC_URL, settings.ADMIN_HOST = "https://companion.example", "companion.example"
    assert "companion.E009" in [message.id for message in checks.settings_make_sense(None)]
    settings.ADMIN_HOST = "admin.example"
    assert "companion.E009" not in [message.id for message in checks.settings_make_sense(None)]
