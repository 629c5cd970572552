"""A newcomer books with a real browser: she fills in her card on the way, invites, is let in, and takes it back."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.companion.people import id_number
from tests.scenario.conftest import PHONE
from tests.scenario.stack import Stack
from tests.scenario.test_visit import card, say

pytestmark = [pytest.mark.browser, pytest.mark.services]
HERS, MOTHERS = id_number("19880115", "006"), id_number("19610115", "004")


def fill(page: Page, name: str, number: str) -> None:
    form = card(page, "person_form")
    form.get_by_label("姓名").fill(name)
    form.get_by_label("证件号码").fill(number)
    form.get_by_label("手机号").fill("139 0000 7788")
    form.get_by_role("button", name="保存").click()


def in_line(page: Page, url: str, name: str, number: str) -> None:
    """A newcomer who has booked, and stands in the queue of the eye clinic."""
    page.goto(url)
    page.wait_for_selector("body[data-network=online]")
    say(page, "明天上午市一医院眼科")
    card(page, "slots").locator(".offer").first.click()
    fill(page, name, number)
    expect(card(page, "appointment")).to_contain_text("已预约", timeout=30_000)
    say(page, "取号")
    expect(card(page, "queue")).to_be_visible(timeout=30_000)


def test_a_newcomer_fills_in_her_card_books_invites_her_mother_and_is_let_in(
    page: Page, browser: Browser, stack: Stack, shoot
) -> None:
    page.goto(f"{stack.url}/?as=demo-newcomer-lin")
    page.wait_for_selector("body[data-network=online]")
    say(page, "明天上午市一医院眼科")
    card(page, "slots").locator(".offer").first.click()

    # --- the form comes instead of a refusal; what is wrong is said where it is wrong
    form = card(page, "person_form")
    expect(form).to_contain_text("号给您留到")
    shoot("30-card-form")
    fill(page, "林小岚", HERS[:-1] + ("1" if HERS[-1] != "1" else "2"))
    expect(form.locator("#wrong-id_number")).to_contain_text("对不上")
    expect(form.get_by_label("证件号码")).to_have_attribute("aria-invalid", "true")
    expect(form.get_by_label("证件号码")).to_be_focused()
    shoot("31-card-form-wrong-digit")
    form.get_by_label("证件号码").fill(HERS)
    form.get_by_role("button", name="保存").click()

    # --- and the booking goes on with the slot she chose
    expect(card(page, "appointment")).to_contain_text("已预约", timeout=30_000)
    expect(card(page, "appointment")).to_contain_text("林小岚")
    expect(page.locator("#person-name")).to_have_text("林小岚")
    shoot("32-booked-with-the-card")
    left = page.evaluate("JSON.stringify([localStorage, sessionStorage, location.href])")
    assert HERS not in left and "0000" not in left.replace("139 0000", "")

    # --- she invites her mother
    say(page, "给我妈挂号")
    page.locator("#options").get_by_role("button", name=re.compile("邀请")).click()
    code = card(page, "invitation").locator(".invite-code").inner_text().replace(" ", "")
    shoot("33-invitation")

    # --- who opens the link in her own account, fills in her card, and agrees
    mothers = browser.new_context(viewport=PHONE, device_scale_factor=2, locale="zh-CN", timezone_id="Asia/Shanghai")
    mothers.set_default_timeout(15_000)
    mother = mothers.new_page()
    mother.goto(f"{stack.url}/?as=demo-newcomer-mother#invite={code}")
    expect(card(mother, "consent")).to_contain_text("林小岚", timeout=30_000)
    assert "invite" not in mother.url
    mother.screenshot(path="var/screenshots/34-asked.png")
    card(mother, "consent").get_by_role("button", name="同意", exact=True).click()
    expect(card(mother, "person_form")).to_be_visible()
    fill(mother, "林桂英", MOTHERS)
    expect(card(mother, "people")).to_contain_text("谁能替我办", timeout=30_000)
    expect(card(mother, "people")).to_contain_text("林小岚")
    mother.screenshot(path="var/screenshots/35-let-in.png", full_page=True)

    # --- the daughter turns to her, and is turned back when her mother takes it back
    page.click("#person")
    card(page, "people").get_by_role(
        "button", name=re.compile("林桂英(母亲)".replace("(", r"\(").replace(")", r"\)"))
    ).click()
    expect(page.locator("#person-name")).to_have_text("林桂英")
    page.click("#person")
    shoot("36-for-whom")
    card(mother, "people").get_by_role("button", name="撤回").click()
    mother.locator("dialog").get_by_role("button", name="结束").click()
    expect(mother.locator("#caption")).to_contain_text("不能再替您办")
    say(page, "我的预约")
    expect(page.locator("#person-name")).to_have_text("林小岚")
    mothers.close()
