"""The page of the hospitals' API is true, in both languages: its addresses, scopes, kinds, codes and limits are the code's."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.urls import Resolver404, resolve

from hospitals.connectors import codec
from hospitals.connectors.base import CommandKind, PaidBill
from hospitals.models import ApiClient, Delivery, Hospital
from hospitals.services import (
    access,
    conformance,
    conformance_checks,
    idempotency,
    importing,
    limits,
    names,
    outbox,
    rehearsal,
)
from hospitals.services.rows import IDENTIFIER_PATTERN, ROWS
from hospitals.urls import urlpatterns

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("hospital-api.md", "hospital-api.zh.md")
BASE = "/api/hospitals/v1/"
AN_ID = "7c0e0000-0000-4000-8000-000000000001"
ONE_OF_EACH = {"kind": "slots", "identifier": "P1", "environment": "live"}
# The onboarding page tells the first three; a run's report is where `Location` leads, one delivery is on the list as well.
ELSEWHERE = {
    *("hospital-application", "hospital-applications", "hospital-credentials"),
    *("hospital-conformance-run", "hospital-delivery"),
}


def text(page: str) -> str:
    """With line breaks inside a paragraph as blanks."""
    return " ".join((ROOT / "docs" / page).read_text(encoding="utf-8").split())


def spans(page: str) -> set[str]:
    without_blocks = re.sub(r"```.*?```", "", (ROOT / "docs" / page).read_text(encoding="utf-8"), flags=re.S)
    return {" ".join(span.split()) for span in re.findall(r"`([^`]+)`", without_blocks)}


def addresses(page: str) -> set[str]:
    """What the page names, as a request would have it."""
    named = set()
    for span in spans(page):
        place = re.sub(r"^(GET|PUT|POST|PATCH|DELETE) ", "", span).partition("?")[0]
        if re.fullmatch(r"[a-z-]+/([a-z-]+/|\{[^}]+\}/)*", place):
            named.add(BASE + re.sub(r"\{([^}]+)\}", lambda found: ONE_OF_EACH.get(found[1], AN_ID), place))
    return named


@pytest.mark.parametrize("page", PAGES)
def test_every_address_that_it_names_leads_somewhere_and_none_is_left_out(page: str) -> None:
    met = set()
    for address in addresses(page):
        try:
            met.add(resolve(address).url_name)
        except Resolver404:
            pytest.fail(f"{address} is none")
    for address in re.findall(r"`(/api/hospitals/[^`]+)`", text(page)):
        if address != BASE:
            met.add(resolve(address).url_name)
    ours = {pattern.name for pattern in urlpatterns if hasattr(pattern, "name")}
    assert ours - met - ELSEWHERE == set()


@pytest.mark.parametrize("page", PAGES)
def test_it_tells_every_scope_and_environment(page: str) -> None:
    assert {span for span in spans(page) if re.fullmatch(r"[a-z]+:[a-z]+", span)} == set(access.SCOPES)
    assert set(ApiClient.Environment.values) <= spans(page)


@pytest.mark.parametrize("page", PAGES)
def test_its_table_has_every_kind_with_what_it_names(page: str) -> None:
    rows = re.findall(r"^\| `([a-z]+)`[^|]*\| ([^|]*)\|", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.M)
    told = {kind: set(re.findall(r"`([a-z]+)`", names)) for kind, names in rows if kind not in ("sandbox", "live")}
    assert told == {row.kind: set(row.refs) for row in ROWS}


@pytest.mark.parametrize("page", PAGES)
def test_its_example_of_a_payment_has_what_pay_says(page: str) -> None:
    *_others, paid = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.S)
    assert set(json.loads(paid)) == set(PaidBill.__dataclass_fields__)
    assert {kind.value for kind in CommandKind} | set(Delivery.Outcome.values) <= spans(page)


@pytest.mark.parametrize("page", PAGES)
def test_its_states_are_a_hospital_s(page: str) -> None:
    drawn = text(page).rpartition("applied →")[2].partition("```")[0]
    assert all(state in drawn for state in set(Hospital.State.values) - {"applied"})


def whole(span: timedelta, unit: timedelta) -> int:
    assert span % unit == timedelta()
    return span // unit


MIB, KIB = 1024 * 1024, 1024
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
# What stands in the code, and how either page has it.
LIMITS = {
    "a token": (access.TOKEN_TTL_S // 60, "for {} minutes", "有效 {} 分钟"),
    "the longest overlap": (access.LONGEST_OVERLAP_S // (7 * 86_400), "a week at most", "最长一周"),
    "the usual overlap": (access.OVERLAP_S // 86_400, "a day by default", "默认一天"),
    "an identifier": (64, "at most {}, the first a letter", "最多 {} 个,第一个是"),
    "an answer kept": (whole(idempotency.KEPT, HOUR), "for {} hours", "{} 小时内得到同一个回答"),
    "nicknames": (names.NICKNAMES, "at most {} `nicknames`", "俗称最多 {} 个"),
    "an upload": (importing.MOST_BYTES // MIB, "at most {} MiB", "最多 {} MiB"),
    "a line": (importing.LINE_MAX_BYTES // KIB, "{} KiB a line", "每行最多 {} KiB"),
    "an upload cut off": (whole(importing.STALE_AFTER, MINUTE) // 5, "for five minutes", "五分钟没有进展"),
    "an event": (codec.BODY_MAX_BYTES // KIB, "at most {} KiB, signed", "最多 {} KiB,按 Standard Webhooks 签名"),
    "a batch": (codec.BATCH_MAX_EVENTS, "up to {} of them", "最多发 {} 个"),
    "a batch's size": (codec.BATCH_MAX_BYTES // MIB, "`, {} MiB) by one signature", "`,{} MiB)"),
    "a command": (whole(outbox.GIVE_UP_AFTER, timedelta(days=1)), "for a day at most", "最长一天"),
    "a check-in": (whole(outbox.CHECK_IN_AT_LEAST, 30 * MINUTE), "half an hour at least", "至少半小时"),
    "requests": (limits.CREDENTIAL.quota, "{} requests a minute for each client", "每个账号每分钟 {} 次"),
    "tokens": (limits.TOKENS.quota, "client and address, {} a minute", "来源地址计,每分钟 {} 次"),
    "tokens of an address": (limits.TOKENS_ADDRESS.quota, "{} tokens", "{} 次换令牌"),
    "refused events": (limits.REFUSED_EVENTS.quota, "code and address, {} a minute", "来源地址计,每分钟 {} 次"),
    "refused events of an address": (limits.REFUSED_EVENTS_ADDRESS.quota, "{} refused events", "{} 个被拒的事件"),
    "outward calls": (limits.OUTWARD.quota, "a replay): {} a minute", "重新送达)每分钟 {} 次"),
    "applications": (limits.APPLICATIONS.quota, "Applications: {} an hour", "同一个来源地址每小时 {} 次"),
    "a run": (whole(conformance.OPEN_FOR, HOUR) // 2, "for two hours", "两小时内有效"),
    "a command of a run": (conformance_checks.ATTEMPTS // 3, "tried three times", "试三次"),
    "test appointments": (rehearsal.KEPT_MOST, "at most {} at a time", "同时最多 {} 个"),
}


@pytest.mark.parametrize(("number", "english", "chinese"), LIMITS.values(), ids=LIMITS)
def test_its_limits_are_the_code_s(number: int, english: str, chinese: str) -> None:
    for page, words in zip(PAGES, (english, chinese), strict=True):
        assert "{}" in words or number == 1, "a number that is written out has changed"
        assert words.format(number) in text(page)


def test_the_longest_identifier_is_what_it_says() -> None:
    assert IDENTIFIER_PATTERN.fullmatch("a" * LIMITS["an identifier"][0])
    assert not IDENTIFIER_PATTERN.fullmatch("a" * (LIMITS["an identifier"][0] + 1))
    assert IDENTIFIER_PATTERN.fullmatch("_1") and not IDENTIFIER_PATTERN.fullmatch("-1")
