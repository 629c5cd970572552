"""Her page's socket: every frame it knows, every action of every skill, and talk, each full of canaries."""

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

import companion.skills
from avatar import streams
from companion import bounded_socket, consumers, people
from companion.background import in_thread
from companion.models import Turn, Visit
from companion.skills.registry import BY_ACTION
from hospitals import tenancy
from hospitals.connectors.base import EventType, HospitalEvent
from hospitals.services import inbox
from tests.canaries import told
from tests.canaries.places import Watch
from tests.canaries.words import ALL, ID_NUMBER, NAME, PHONE, SYMPTOM, found_in
from tests.companion.people import Person
from tests.companion.test_consumers import Page
from tests.hospitals.clinics import Clinic, a_clinic

pytestmark = pytest.mark.services
TALK = [
    f"我叫{NAME},我{SYMPTOM}三天了,挂什么科",
    f"电话{PHONE},身份证{ID_NUMBER}",
    f"给{NAME}挂眼科,要{NAME}医生",
    f"我要投诉{NAME},{SYMPTOM}也没人管",
    f"把我的手机号改成{PHONE}",
    "转人工",
]
FRAMES = [
    "{" + ALL,
    json.dumps(ALL),
    json.dumps([ALL]),
    json.dumps({"type": ALL}),
    json.dumps({"type": PHONE, PHONE: ALL}),
    json.dumps({"type": {ALL: ALL}}),
    json.dumps({"type": "text", "id": "t", "text": ALL * 40}),
    "[" * 3000 + ALL,
    json.dumps({"type": "action", "id": "t", "action": {"kind": "open", "why": ALL * 200}}),
]


def parameters() -> list[str]:
    """Every member of an action that any skill looks at."""
    source = "".join(path.read_text() for path in Path(companion.skills.__path__[0]).glob("*.py"))
    return sorted(set(re.findall(r'action(?:\.get\(|\[)"(\w+)"', source)) - {"kind"})


@pytest.fixture()
async def hurried(monkeypatch: pytest.MonkeyPatch) -> Any:
    """As many messages as we like, and nobody is waited for."""
    monkeypatch.setattr(bounded_socket, "MESSAGES_AT_ONCE", 10_000)
    yield
    await streams.close()


def her() -> Person:
    made = Person("canary", filled=False)
    card = {"name": NAME, "document": "id_card", "id_number": ID_NUMBER, "phone": PHONE}
    people.create(resident_id=made.resident_id, relation="self", **card)
    return made


def slot_id(clinic: Clinic) -> str:
    tomorrow = timezone.localtime().replace(hour=9, minute=0) + timedelta(days=1)
    return str(clinic.slot(of=clinic.schedule(tomorrow.date()), start=tomorrow, capacity=3).id)


def happens(kind: EventType, sequence: int) -> None:
    visit = Visit.objects.latest("created_at")
    event = HospitalEvent(
        f"e{sequence}", kind, visit.hospital_id, str(visit.id), sequence, timezone.now(), told.data(kind)
    )
    with tenancy.scope(visit.hospital_id):
        inbox.store(event)


async def ended(page: Page) -> dict[str, Any]:
    """The turn's end, or the refusal that came instead."""
    while True:
        message = await page.socket.receive_output(timeout=20)
        frame = json.loads(message["text"]) if message.get("text") else {"type": message["type"]}
        if frame["type"] in ("turn.ended", "error", "websocket.close"):
            return dict(frame)


async def acted(page: Page, action: dict[str, Any], turn: str = "") -> dict[str, Any]:
    await page.say({"type": "action", "id": turn or uuid4().hex, "action": action})
    return await ended(page)


def every_action(*values: Any) -> Iterator[dict[str, Any]]:
    """Each kind there is, with canaries in every member that any skill looks at."""
    for kind in [*BY_ACTION, ALL]:
        for value in values:
            yield {"kind": kind, **dict.fromkeys(parameters(), value)}


async def test_all_that_a_page_can_say(watch: Watch, hurried: None) -> None:
    assert len(parameters()) > 12 and len(BY_ACTION) > 25, "the lists are made from the code"
    clinic = await in_thread(a_clinic)
    person = await in_thread(her)
    slot = await in_thread(slot_id, clinic)
    page = Page(person.token)
    refused = []
    await page.open(quietly=False, avatar=ALL, known_patches=[ALL], showing={PHONE: ALL})
    await ended(page)
    for text in TALK:
        await page.say({"type": "text", "id": uuid4().hex, "text": text})
        assert (await ended(page))["type"] == "turn.ended"
    for action in every_action(ALL):
        answer = await acted(page, action)
        refused += [answer] if answer["type"] == "error" else []
    assert (await acted(page, {"kind": "book", "slot_id": slot}, turn=PHONE))["type"] == "turn.ended"
    assert await in_thread(Visit.objects.count) == 1
    kinds = [kind for kind in EventType if kind.value.partition(".")[0] not in ("appointment", "schedule", "visit")]
    for number, kind in enumerate(kinds):
        await in_thread(happens, kind, number + 2)
        await in_thread(watch.work)
    for action in every_action(PHONE, [{PHONE: ALL}]):
        answer = await acted(page, action)
        refused += [answer] if answer["type"] == "error" else []
    for frame in FRAMES:
        await page.socket.send_input({"type": "websocket.receive", "text": frame})
        refused.append(await page.until("error"))
    await page.socket.send_input({"type": "websocket.receive", "bytes": ALL.encode()})
    refused.append(await page.until("error"))
    for kind in consumers.HANDLERS:
        spoilt = dict.fromkeys(("id", "text", "action", "token", "utterance", "pts_ms", "rate", "turn", "value"), ALL)
        if kind not in ("interrupt", "ping"):
            await page.say(spoilt | {"type": kind, "action": ALL, "text": [ALL]})
            refused.append(await page.until("error"))
    await page.close()
    await asyncio.sleep(0)
    assert refused and found_in(json.dumps(refused, ensure_ascii=False)) == []
    assert await in_thread(lambda: {t.said for t in Turn.objects.all()}) >= set(TALK), "it was heard"
    assert [answer for answer in refused if answer.get("status", 400) >= 500] == []
    assert await in_thread(watch.found) == {}
