"""Every page works under its Content-Security-Policy: the browser reports nothing blocked and no fault of a script."""

import pytest
from playwright.sync_api import Browser, Page

from tests.scenario.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.services]
# Told by the browser itself, also for what a script catches.
WATCH = "addEventListener('securitypolicyviolation', (e) => console.log(`Content Security: ${e.violatedDirective} ${e.blockedURI}`))"
PASSWORD = "蓝色 lamp under 7 stairs"


def complaints(page: Page) -> list[str]:
    found: list[str] = []
    page.add_init_script(WATCH)
    page.on("console", lambda message: found.append(message.text) if "Content Security" in message.text else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


def test_the_resident_s_page_speaks(page: Page, stack: Stack) -> None:
    found = complaints(page)
    page.goto(stack.url)
    page.wait_for_selector("body[data-avatar=speaking]", timeout=30_000)
    page.fill("#words", "眼睛干涩挂什么科?")
    page.click(".send")
    page.wait_for_selector("#card:not([hidden])", timeout=30_000)
    assert not found


@pytest.mark.parametrize(
    ("address", "shows"),
    [("/api/docs/", ".opblock"), ("/api/hospitals/developers/", "#operations .opblock")],
    ids=["API page", "developers"],
)
def test_pages_for_developers_draw_the_document(page: Page, stack: Stack, address: str, shows: str) -> None:
    found = complaints(page)
    page.goto(stack.url + address)
    page.wait_for_selector(shows, timeout=30_000)
    assert not found


def test_staff_sign_in_and_look_around(browser: Browser, stack: Stack) -> None:
    stack.ask_database(
        "from django.contrib.auth.models import User\n"
        f"answer = User.objects.create_superuser('officer', password={PASSWORD!r}).id"
    )
    page = browser.new_page()
    found = complaints(page)
    page.goto(f"{stack.url}/admin/login/")
    page.fill("[name=username]", "officer")
    page.fill("[name=password]", PASSWORD)
    page.click("[type=submit]")
    for name in ("companion/visit", "hospitals/hospital", "auth/user"):
        page.goto(f"{stack.url}/admin/{name}/")
        page.wait_for_selector("#changelist, #result_list, main", timeout=30_000)
    page.close()
    assert not found


def test_what_a_stranger_puts_into_the_page_does_not_run(page: Page, stack: Stack) -> None:
    """The counterproof: the watch above hears a script that is not ours, and the browser does not run it."""
    found = complaints(page)
    page.goto(stack.url)
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    )
    page.wait_for_timeout(200)
    assert page.evaluate("window.ran") is None
    assert any("script-src" in complaint for complaint in found)
