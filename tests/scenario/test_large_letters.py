"""A phone whose owner has set letters twice as large, as the super-apps do it: the text grows, the screen does not."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.scenario.conftest import PHONE
from tests.scenario.legible import hard_to_read
from tests.scenario.stack import Stack
from tests.scenario.test_visit import card, say

pytestmark = [pytest.mark.browser, pytest.mark.services]
TWICE = """addEventListener('DOMContentLoaded', () => document.body.style.setProperty('-webkit-text-size-adjust', '200%'))"""


@pytest.fixture()
def large(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport=PHONE, is_mobile=True, has_touch=True, locale="zh-CN")
    context.set_default_timeout(30_000)
    page = context.new_page()
    page.add_init_script(TWICE)
    yield page
    context.close()


def test_what_she_needs_is_whole_and_in_sight(large: Page, stack: Stack) -> None:
    large.goto(f"{stack.url}/?as=demo-large-letters")
    large.wait_for_selector("body[data-avatar=speaking]")
    assert not hard_to_read(large)
    say(large, "眼睛干涩挂什么科?")
    expect(card(large, "slots")).to_be_visible()
    assert not hard_to_read(large)

    say(large, "老头子端碗的手突然抬不起来,嘴角流口水")
    call = card(large, "emergency").get_by_role("button", name="拨打 120")
    expect(call).to_be_visible()
    place, below = call.bounding_box(), large.locator("#say").bounding_box()
    assert place is not None and below is not None
    assert place["y"] + place["height"] <= below["y"], "the call is out of sight"
    assert not hard_to_read(large)


ROWS = """() => {
  const boxes = [...document.querySelectorAll('.bar > *')].map((node) => node.getBoundingClientRect()).sort((a, b) => a.top - b.top);
  let rows = 0, until = -1;
  for (const { top, bottom } of boxes) {
    if (top >= until) rows += 1;
    until = Math.max(until, bottom);
  }
  return rows;
}"""


@pytest.mark.parametrize("name", ["陈玉兰", "欧阳建国", "阿卜杜热合曼·买买提"])
@pytest.mark.parametrize("width", [390, 360])
def test_the_header_is_whole_in_two_rows(large: Page, stack: Stack, name: str, width: int) -> None:
    large.set_viewport_size({"width": width, "height": 844})
    large.goto(f"{stack.url}/?as=demo-large-letters")
    large.wait_for_selector("body[data-network=online]")
    large.evaluate("(name) => { document.getElementById('person-name').textContent = name; }", name)
    assert large.evaluate(ROWS) <= 2
    assert not hard_to_read(large)


def test_in_common_letters_the_header_is_one_row(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.url}/?as=demo-large-letters")
    page.wait_for_selector("body[data-network=online]")
    assert page.evaluate(ROWS) == 1
