"""Who speaks: the avatar and voice of the hospital that she visits, as far as they are here; otherwise the province's."""

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from avatar import dispatch, streams
from avatar.renderers import ASSETS, custom_folder
from companion import consumers, dialogue, signin
from companion.background import in_thread
from companion.models import Visit
from tests.companion.test_consumers import Page, resident
from tests.hospitals.own_rows import a_hospital

pytestmark = pytest.mark.django_db(transaction=True)
VOICE = "zh-CN-XiaoyiNeural"


@pytest.fixture(autouse=True)
async def spoken(monkeypatch: pytest.MonkeyPatch):
    """What was asked of the speech queue."""
    asked: list[streams.Utterance] = []
    monkeypatch.setattr(dispatch, "_send", lambda u, attempt: asked.append(u))
    yield asked
    await streams.close()


@pytest.fixture
def nurse(settings: Any, tmp_path: Path) -> str:
    """A second avatar is installed."""
    settings.DATA_DIR = tmp_path
    shutil.copytree(ASSETS / "xiaolan", custom_folder() / "nurse")
    return "nurse"


def visits_a_hospital(who: signin.SignedIn, conversation: str, avatar: str, state: str = "booked") -> None:
    row = a_hospital(
        code="one", name="第一医院", city="岚州市", state="live", avatar=avatar, voice=VOICE, lexicon=[["岚", "lán"]]
    )
    session = dialogue.open_session(who.resident_id, consumers._uuid(conversation))
    Visit.objects.create(
        resident_id=who.resident_id,
        patient_id=session.patient_id,
        hospital_id=row.id,
        hospital_name=row.name,
        department="眼科",
        start=timezone.now() + timedelta(days=1),
        state=state,
    )


async def test_the_hospital_s_own_speaks_while_its_visit_is_under_way(
    nurse: str, spoken: list[streams.Utterance]
) -> None:
    token, who = await in_thread(resident, "her")
    page = Page(token)
    assert (await page.open())["avatar"] == "xiaolan"
    await page.close()
    await in_thread(visits_a_hospital, who, page.conversation, nurse)
    again = Page(token, page.conversation)
    assert (await again.open(quietly=False))["avatar"] == nurse
    await again.until("turn.ended")
    await again.close()
    mine = [u for u in spoken if u.session == again.conversation and u.avatar == nurse]
    assert mine and {(u.voice, u.lexicon) for u in mine} == {(VOICE, (("岚", "lán"),))}


@pytest.mark.parametrize(("avatar", "state"), [("not-here", "booked"), ("nurse", "closed")])
async def test_the_province_s_speaks_where_it_is_not_installed_or_the_visit_is_over(
    nurse: str, avatar: str, state: str
) -> None:
    token, who = await in_thread(resident, "her")
    page = Page(token)
    await page.open()
    await page.close()
    await in_thread(visits_a_hospital, who, page.conversation, avatar, state)
    session = await in_thread(dialogue.open_session, who.resident_id, consumers._uuid(page.conversation))
    assert (session.avatar, session.voice, session.lexicon) == ("xiaolan", "", (("岚", "lán"),))


async def test_a_page_that_shows_another_face_is_told_before_it_hears_the_voice(nurse: str) -> None:
    token, who = await in_thread(resident, "her")
    page = Page(token)
    ready = await page.open(quietly=False)
    await page.until("turn.ended")
    await page.close()
    await in_thread(visits_a_hospital, who, page.conversation, nurse)
    visit = await in_thread(lambda: Visit.objects.get())
    back = Page(token, page.conversation)
    showing = {"patient": ready["patient"]["id"], "visit": {"id": str(visit.id), "number": 0}, "avatar": "xiaolan"}
    assert (await back.open(**showing))["as_before"] is True
    await back.say({"type": "text", "id": "t1", "text": "你好"})
    assert (await asyncio.wait_for(back.until("avatar"), 20))["avatar"] == nurse
    await back.close()
