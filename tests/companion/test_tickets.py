"""The door of mini-programs, which send no Origin: a ticket opens it, once."""

import pytest
from asgiref.testing import ApplicationCommunicator

from companion import asgi, open_page, signin
from companion.background import in_thread
from tests.companion.test_consumers import Page, resident

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_worker")]


def at_the_door_of_mini_programs(token: str) -> Page:
    page = Page(token)
    scope = {"type": "websocket", "path": "/ws/mini/", "headers": []}
    page.socket = ApplicationCommunicator(asgi.application, scope)
    return page


async def refused(page: Page, **hello: str) -> str:
    await page.socket.send_input({"type": "websocket.connect"})
    await page.say({"type": "hello", "token": page.token} | hello)
    error = await page.until("error")
    assert await page.until("nothing") == {"type": "closed", "code": open_page.CLOSE_NOT_SIGNED_IN}
    await page.close()
    return str(error["code"])


async def test_a_ticket_opens_the_door_once() -> None:
    token, who = await in_thread(resident, "her")
    ticket = await in_thread(signin.issue_ticket, who.session_id)
    assert await refused(at_the_door_of_mini_programs(token)) == "ticket_invalid"
    page = at_the_door_of_mini_programs(token)
    assert (await page.open(ticket=ticket))["type"] == "ready"
    await page.close()
    assert await refused(at_the_door_of_mini_programs(token), ticket=ticket) == "ticket_invalid"
