"""The page to somebody who has the screen read out: what Chromium tells a screen reader, and what it tells it at each change."""

import pytest
from playwright.sync_api import Page, expect

from tests.companion.people import id_number
from tests.scenario.stack import Stack
from tests.scenario.test_people import in_line
from tests.scenario.test_visit import card, say, step

pytestmark = [pytest.mark.browser, pytest.mark.services]
# Whatever is written into a live region, as a screen reader is told of it.
LISTEN = """() => {
  window.told = [];
  for (const place of document.querySelectorAll('[aria-live], [role=status], [role=alert]'))
    new MutationObserver(() => place.textContent && window.told.push([place.id, place.textContent]))
      .observe(place, {childList: true, characterData: true, subtree: true});
}"""


def live(page: Page) -> dict[str, str]:
    """The live regions of the accessibility tree, by the id of their element: polite or assertive."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("DOM.enable")
    devtools.send("DOM.getDocument", {"depth": -1})
    found = {}
    for node in devtools.send("Accessibility.getFullAXTree")["nodes"]:
        values = {each["name"]: each["value"].get("value") for each in node.get("properties", [])}
        if values.get("live") not in (None, "off") and "root" not in values and node.get("backendDOMNodeId"):
            described = devtools.send("DOM.describeNode", {"backendNodeId": node["backendDOMNodeId"]})["node"]
            attributes = described.get("attributes", [])
            names = dict(zip(attributes[::2], attributes[1::2], strict=True))
            found[names.get("id", described["nodeName"])] = values["live"]
    devtools.detach()
    return found


def told(page: Page, where: str) -> list[str]:
    return [text for place, text in page.evaluate("() => window.told.splice(0)") if place == where]


def test_only_what_changed_is_read_out_and_an_emergency_at_once(page: Page, stack: Stack) -> None:
    in_line(page, f"{stack.url}/?as=demo-read-aloud", "罗玉芬", id_number("19590404", "146"))

    regions = live(page)
    assert regions.get("news") == regions.get("told") == "polite"
    assert regions.get("alarm") == "assertive"
    assert "card" not in regions

    page.evaluate(LISTEN)
    ahead = int(page.locator("#queue-ahead").inner_text())
    step(page, "call_next")
    expect(page.locator("#queue-ahead")).to_have_text(str(ahead - 1), timeout=30_000)
    (line,) = told(page, "news")
    assert f"前面还有{ahead - 1}位" in line and len(line) < 30

    say(page, "老头子端碗的手突然抬不起来,嘴角流口水")
    expect(card(page, "emergency")).to_be_visible(timeout=30_000)
    heard = told(page, "alarm")
    assert len(heard) == 1 and heard[0].startswith("请马上拨打 120")
