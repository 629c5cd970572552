"""A phone in a lift: the line is dead both ways, and neither end knows."""

import pytest
from playwright.sync_api import Page, expect

from tests.companion.people import id_number
from tests.scenario.stack import Stack
from tests.scenario.test_people import in_line
from tests.scenario.test_visit import IDLE, step

pytestmark = [pytest.mark.browser, pytest.mark.services]
LIFT = """const Plain = WebSocket; Object.assign(window, { lift: false, lines: [], lost: '', asked: 0, confirmed: 0 });
window.WebSocket = class extends Plain {
  constructor(...a) {
    super(...a);
    window.lines.push(this);
    this.addEventListener('message', (event) => {
      const text = typeof event.data === 'string' ? event.data : '';
      if (!window.lift) return void (window.asked += text.includes('"told"'));
      event.stopImmediatePropagation();
      window.lost += text;
    });
  }
  send(text) {
    if (window.lift) return;
    if (text.includes('"heard"')) window.confirmed += 1;
    super.send(text);
  }
};"""
UNSAID = """from companion.models import UNSAID, Visit
answer = Visit.objects.latest('created_at').prompts.filter(UNSAID, name='{}').count()"""


def test_what_came_while_she_was_in_it_is_said_when_she_is_out(page: Page, stack: Stack, shoot) -> None:
    page.add_init_script(LIFT)
    in_line(page, f"{stack.url}/?as=demo-lift", "罗玉梅", id_number("19580303", "128"))
    page.wait_for_selector(IDLE, timeout=60_000)
    step(page, "call_mine")
    expect(page.locator("#caption")).to_contain_text("轮到您了", timeout=30_000)
    page.wait_for_selector(IDLE, timeout=60_000)
    assert page.evaluate("() => window.asked === window.confirmed && window.asked > 0")
    assert stack.ask_database(UNSAID.format("called")) == 0

    page.evaluate("() => { window.lift = true; }")
    step(page, "start")
    page.wait_for_function("""() => window.lost.includes('"told"')""", timeout=30_000)
    assert "我先不打扰您" in page.evaluate("() => window.lost")
    expect(page.locator("#caption")).not_to_contain_text("我先不打扰您")
    assert stack.ask_database(UNSAID.format("in_consultation")) == 1

    page.evaluate("() => { window.lift = false; window.lines.at(-1).close(); }")
    expect(page.locator("#caption")).to_contain_text("我先不打扰您", timeout=30_000)
    shoot("40-out-of-the-lift")
    page.wait_for_selector(IDLE, timeout=60_000)
    assert stack.ask_database(UNSAID.format("in_consultation")) == 0
