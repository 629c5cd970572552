"""The whole visit of a 65-year-old resident, lived in a real browser against the real processes."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.scenario.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.services, pytest.mark.timeout(900)]

SPEAKING = "body[data-avatar=speaking]"
IDLE = "body[data-avatar=idle]"


def say(page: Page, text: str) -> None:
    page.fill("#words", text)
    page.click(".send")


def card(page: Page, kind: str) -> Any:
    return page.locator(f"#card[data-kind={kind}]")


def step(page: Page, name: str) -> None:
    """The hospital does something: through its sandbox, whose events come in at the webhook door."""
    page.evaluate(
        """async (step) => {
          const token = JSON.parse(sessionStorage.getItem('token')).token;
          const answer = await fetch('/api/demo/advance/', {method: 'POST', body: JSON.stringify({step}),
            headers: {'Content-Type': 'application/json', Authorization: `Bearer ${token}`}});
          if (!answer.ok) throw new Error(step + ' ' + await answer.text());
        }""",
        name,
    )


def mouth(page: Page) -> int:
    """A fingerprint of the mouth region's pixels, in face space (before breathing and sway move the head)."""
    return page.evaluate("() => window.companion.player.mouthPixels()")


def quiet(page: Page) -> None:
    """She touches 停 once the avatar has begun to speak."""
    page.wait_for_selector(SPEAKING, timeout=30_000)
    page.click("#stop")
    page.wait_for_selector(IDLE, timeout=5_000)


def test_the_whole_visit(page: Page, stack: Stack, shoot) -> None:
    page.goto(stack.url)
    caption = page.locator("#caption")

    # --- the greeting, aloud and lip-synced
    page.wait_for_selector(SPEAKING)
    seen = {mouth(page)}
    while len(seen) < 4 and page.locator(SPEAKING).count():
        page.wait_for_timeout(80)
        seen.add(mouth(page))
    assert len(seen) >= 3, "the mouth does not move while she speaks"
    shoot("01-greeting")
    page.wait_for_selector(IDLE, timeout=60_000)
    assert mouth(page) == mouth(page)
    expect(page.locator("#caption .lit")).not_to_be_empty()

    # --- 1 which department, and a booking
    say(page, "眼睛干涩挂什么科?")
    expect(caption).to_contain_text("眼科")
    expect(card(page, "slots")).to_be_visible()
    expect(card(page, "slots").locator(".offer").first).to_contain_text("医院")
    shoot("02-department-and-slots")
    say(page, "明天上午市一医院")
    expect(card(page, "slots").locator(".offer").first).to_contain_text("岚州市第一人民医院")
    shoot("03-offers")
    slot = card(page, "slots").locator(".offer").first.get_attribute("data-slot")
    before = stack.ask_database(f"from hospitals.models import Slot; answer = Slot.objects.get(id='{slot}').free")
    card(page, "slots").locator(".offer").first.click()
    expect(card(page, "appointment")).to_contain_text("已预约")
    expect(card(page, "appointment")).to_contain_text("岚州市第一人民医院")
    shoot("04-booked")
    assert (
        stack.ask_database(f"from hospitals.models import Slot; answer = Slot.objects.get(id='{slot}').free")
        == before - 1
    )
    booked = stack.ask_database(
        "from companion.models import Visit; v = Visit.objects.latest('created_at'); answer = [v.state, v.department, v.hospital_name]"
    )
    assert booked[0] == "booked" and booked[1] == "眼科"

    # --- 2 check-in
    say(page, "取号")
    expect(card(page, "queue")).to_be_visible()
    ticket = page.locator("#queue-ticket").inner_text()
    expect(caption).to_contain_text(f"{ticket}号", timeout=20_000)
    shoot("05-checked-in")

    # --- 3 where she stands; the numbers move by themselves
    quiet(page)
    say(page, "我排到哪了?")
    expect(caption).to_contain_text(re.compile(r"前面排队\d+人,当前叫号.*号,地址位于7号楼1楼B区"))
    shoot("06-queue")
    ahead = int(page.locator("#queue-ahead").inner_text())
    while ahead > 2:
        step(page, "call_next")
        expect(page.locator("#queue-ahead")).to_have_text(str(ahead - 1))
        ahead -= 1
    expect(caption).to_contain_text("快到您了", timeout=30_000)
    page.wait_for_selector(SPEAKING)
    shoot("07-two-ahead")

    # --- 4 the way, drawn, and by lift only
    say(page, "怎么走")
    expect(page.locator("#options button").first).to_be_visible()
    shoot("08-where-are-you")
    page.locator("#options button").first.click()
    expect(card(page, "route").locator("svg .path").first).to_be_visible()
    assert card(page, "route").locator(".steps li").count() >= 2
    shoot("09-route")
    card(page, "route").get_by_role("button", name="只走电梯").click()
    expect(card(page, "route").get_by_role("button", name="所有走法")).to_be_visible()
    shoot("10-route-lift-only")

    # --- her turn: the avatar speaks up by itself
    step(page, "call_mine")
    expect(caption).to_contain_text("轮到您了", timeout=30_000)
    expect(card(page, "queue")).to_contain_text("轮到您了")
    shoot("11-called")

    # --- 5 after the consultation the next step comes by itself
    step(page, "start")
    expect(page.locator("body")).to_have_attribute("data-visit-state", "in_consultation")
    step(page, "finish")
    expect(card(page, "invoice")).to_contain_text("您自付", timeout=30_000)
    expect(card(page, "invoice")).to_contain_text("医保支付")
    quiet(page)
    shoot("12-invoice")
    while stack.ask_database(UNPAID):
        say(page, "缴费")
        expect(card(page, "invoice").get_by_role("button", name=re.compile("确认缴费")).first).to_be_visible()
        unpaid = stack.ask_database(UNPAID)
        card(page, "invoice").get_by_role("button", name=re.compile("确认缴费")).first.click()
        expect(caption).to_contain_text(re.compile("已提交|缴费成功|已缴"), timeout=30_000)
        page.wait_for_timeout(1500)
        assert stack.ask_database(UNPAID) < unpaid
    shoot("13-paid")
    say(page, "下一步做什么")
    expect(card(page, "journey")).to_contain_text("泪液与眼压检查", timeout=30_000)
    say(page, "我要做什么检查")
    expect(card(page, "examination")).to_be_visible(timeout=30_000)
    shoot("14-examination")
    step(page, "complete_examination")
    step(page, "issue_report")
    expect(card(page, "report").locator(".report-line").first).to_be_visible(timeout=60_000)
    expect(card(page, "report").locator(".report-line.low, .report-line.high").first).to_be_visible()
    quiet(page)
    shoot("15-report")
    say(page, "药怎么用")
    expect(card(page, "medicine")).to_contain_text("滴眼液", timeout=30_000)
    expect(card(page, "medicine").locator("li").first).to_be_visible()
    shoot("16-medicine")
    step(page, "dispense")
    step(page, "close")
    expect(page.locator("body")).to_have_attribute("data-visit-state", "follow_up", timeout=30_000)
    quiet(page)
    shoot("17-closed")
    done = stack.ask_database(
        "from companion.models import Visit; from companion import visits; v = Visit.objects.latest('created_at'); j = visits.journey_of(v);"
        "answer = [j.state, [p.state for p in j.payments], [p.state for p in j.prescriptions], bool(j.follow_up)]"
    )
    assert done[0] == "follow_up" and set(done[1]) == {"paid"} and done[2] == ["dispensed"] and done[3]

    # --- closing the page and coming back resumes
    page.reload()
    page.wait_for_selector("body[data-network=online]")
    expect(page.locator("#caption")).not_to_be_empty()
    shoot("18-resumed")


UNPAID = (
    "from companion.models import Visit; from companion import visits;"
    "answer = len(visits.journey_of(Visit.objects.latest('created_at')).unpaid)"
)


def test_she_may_interrupt_ask_for_a_human_and_act_for_family(page: Page, stack: Stack, shoot) -> None:
    page.goto(f"{stack.url}/?as=demo-daughter")
    page.wait_for_selector(SPEAKING)
    page.click("#stop")
    page.wait_for_selector(IDLE, timeout=2000)

    say(page, "高血压平时要注意什么")
    expect(page.locator("#sources")).to_be_visible()
    shoot("20-health-question")
    say(page, "转人工")
    expect(card(page, "human")).to_be_visible()
    shoot("21-human")
    page.click("#person")
    expect(card(page, "people")).to_be_visible()
    shoot("22-family")
    card(page, "people").get_by_role("button", name=re.compile("^陈玉兰")).click()
    expect(page.locator("#person-name")).to_have_text("陈玉兰")


def test_an_emergency_stops_everything_and_offers_one_tap(page: Page, stack: Stack, shoot) -> None:
    page.goto(f"{stack.url}/?as=demo-neighbour")
    page.wait_for_selector("body[data-network=online]")
    say(page, "老头子端碗的手突然抬不起来,嘴角流口水")
    expect(card(page, "emergency")).to_be_visible()
    expect(card(page, "emergency").get_by_role("button", name="拨打 120")).to_have_attribute("href", "tel:120")
    expect(page.locator("#card .offer")).to_have_count(0)
    shoot("30-emergency")


def test_a_line_that_was_lost_comes_back_by_itself_and_nothing_she_said_is_lost(page: Page, stack: Stack) -> None:
    page.add_init_script(
        """const Plain = WebSocket; window.lines = [];
        window.WebSocket = class extends Plain { constructor(...a) { super(...a); window.lines.push(this); } };"""
    )
    page.goto(f"{stack.url}/?as=demo-tunnel")
    page.wait_for_selector("body[data-network=online]")
    quiet(page)
    page.evaluate("() => window.lines.at(-1).close()")
    page.wait_for_selector("body[data-network=offline]")
    say(page, "眼睛干涩挂什么科?")
    page.wait_for_selector("body[data-network=online]")
    assert page.evaluate("() => window.lines.length") == 2
    expect(card(page, "slots")).to_be_visible(timeout=30_000)
