"""The page without a mouse: what is asked can be answered with the keys, and nothing is lost by pressing Enter too soon."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.scenario.stack import Stack
from tests.scenario.test_visit import card, say, step

pytestmark = [pytest.mark.browser, pytest.mark.services]


def test_a_booking_is_kept_and_a_number_drawn_by_keys_alone(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.url}/?as=demo-daughter")
    page.wait_for_selector("body[data-network=online]")
    say(page, "后天下午市一医院眼科")
    card(page, "slots").locator(".offer").first.press("Enter")
    expect(card(page, "appointment")).to_contain_text("已预约", timeout=30_000)

    # --- Enter too soon keeps the appointment
    card(page, "appointment").get_by_role("button", name="取消预约").press("Enter")
    asked = page.get_by_role("dialog", name=re.compile("眼科。真的要取消吗"))
    expect(asked.get_by_role("button", name="保留预约")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("dialog")).to_be_hidden()
    expect(card(page, "appointment")).to_contain_text("已预约")

    # --- numbers that change by themselves do not take the keys away from what she is on
    card(page, "appointment").get_by_role("button", name="取号").press("Enter")
    way = card(page, "queue").get_by_role("button", name="怎么走")
    way.focus()
    ahead = int(page.locator("#queue-ahead").inner_text())
    step(page, "call_next")
    expect(page.locator("#queue-ahead")).to_have_text(str(ahead - 1), timeout=30_000)
    expect(way).to_be_focused()
