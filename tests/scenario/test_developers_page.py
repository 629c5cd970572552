"""The page for hospitals' engineers: each command can be read to its end, and the button that copies it covers none of it."""

import pytest
from playwright.sync_api import Page

from tests.scenario.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.services]

HIDDEN = """() => [...document.querySelectorAll('.sample')].filter((sample) => {
  const words = document.createRange();
  words.selectNodeContents(sample.querySelector('code'));
  const button = sample.querySelector('button').getBoundingClientRect();
  const edge = sample.getBoundingClientRect().right;
  return [...words.getClientRects()].some((line) => line.right > edge ||
    (line.right > button.left && line.top < button.bottom && line.bottom > button.top));
}).map((sample) => sample.textContent)"""


def test_commands_are_whole(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.url}/api/hospitals/developers/")
    page.wait_for_selector(".sample button")
    assert page.locator(".sample").count() >= 6
    assert page.evaluate(HIDDEN) == []


def test_what_a_hospital_is_sent_stands_there_message_by_message(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.url}/api/hospitals/developers/")
    page.wait_for_selector(".webhooks .opblock")
    assert page.locator(".webhooks .opblock").count() == 5
