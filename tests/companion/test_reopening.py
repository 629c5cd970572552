"""A page that only lost its line goes on without a word, but only if everything is still as it shows it."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from companion import dialogue, reopening, signin, visits
from companion.identity.base import Identity
from companion.journey import OwnEvent
from companion.models import Conversation, FamilyLink, Patient, ResidentSession, Visit, VisitPrompt
from companion.reopening import Shown

pytestmark = pytest.mark.django_db


def returning(name: str = "her", *, events: int = 1) -> tuple[str, Shown]:
    """A resident in the middle of a visit: her token, and what her page shows, rightly."""
    token, who = signin.open_session(Identity("development", "app", name))
    session = dialogue.open_session(who.resident_id, None)
    Conversation.objects.filter(id=session.id).update(turns_count=1)
    at = {"hospital_id": uuid4(), "hospital_name": "岚州市第一人民医院", "department": "眼科"}
    start = timezone.now() + timedelta(hours=1)
    visit = Visit.objects.create(resident_id=who.resident_id, patient_id=session.patient_id, start=start, **at)
    for number in range(events):
        visits.own_event(visit.id, OwnEvent.BOOKED, key=f"booked {number}")
    VisitPrompt.objects.filter(visit=visit).update(said_at=timezone.now())
    return token, shown_by(token, hello(session.id, session.patient_id, visit.id, events))


def hello(conversation: UUID, patient: UUID, visit: UUID | None, number: int) -> dict[str, Any]:
    about = {"id": str(visit), "number": number} if visit else None
    return {"type": "hello", "conversation": str(conversation), "patient": str(patient), "visit": about}


def shown_by(token: str, said: dict[str, Any]) -> Shown:
    page = reopening.shown(signin.claims(token), said)
    assert page is not None
    return page


def test_a_page_that_shows_what_is_so_is_told_so_and_nothing_is_decrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    _token, page = returning(events=3)
    monkeypatch.setattr("hospitals.vault.unseal", None)
    assert reopening.unchanged([page]) == [True]


def test_without_a_visit_too() -> None:
    token, who = signin.open_session(Identity("development", "app", "her"))
    session = dialogue.open_session(who.resident_id, None)
    Conversation.objects.filter(id=session.id).update(turns_count=1)
    assert reopening.unchanged([shown_by(token, hello(session.id, session.patient_id, None, 0))]) == [True]


def newer_event(page: Shown) -> None:
    assert page.visit_id is not None
    visits.own_event(page.visit_id, OwnEvent.ARRIVED)
    VisitPrompt.objects.filter(visit_id=page.visit_id).update(said_at=timezone.now())


def another_visit(page: Shown) -> None:
    at = {"hospital_id": uuid4(), "hospital_name": "岚州市第二人民医院", "department": "内科"}
    whose = {"resident_id": page.claims.resident_id, "patient_id": page.patient_id}
    Visit.objects.create(start=timezone.now() + timedelta(minutes=1), **whose, **at)


def something_to_say(page: Shown) -> None:
    VisitPrompt.objects.create(
        visit_id=page.visit_id, key="x", name="called", part_id="", by_itself=True, due_at=timezone.now()
    )


def signed_out(page: Shown) -> None:
    signin.revoke(page.claims.session_id)


def token_ran_out(page: Shown) -> None:
    ResidentSession.objects.filter(id=page.claims.session_id).update(expires_at=timezone.now())


def erased(page: Shown) -> None:
    signin.forget(page.claims.resident_id)


def consent_withdrawn(page: Shown) -> None:
    FamilyLink.objects.filter(patient_id=page.patient_id).update(withdrawn_at=timezone.now())


def consent_ended(page: Shown) -> None:
    FamilyLink.objects.filter(patient_id=page.patient_id).update(expires_at=timezone.now())


def never_consented(page: Shown) -> None:
    FamilyLink.objects.filter(patient_id=page.patient_id).update(relation="parent", consented_at=None)


def slept_the_night(page: Shown) -> None:
    long_ago = timezone.now() - dialogue.RESUME_WITHIN
    Conversation.objects.filter(id=page.conversation_id).update(last_seen_at=long_ago)


def about_somebody_else(page: Shown) -> None:
    card = {"name": "林建国", "id_number": "", "phone": "", "birth_date": "", "sex": "male"}
    other = Patient.objects.create(keeper_id=page.claims.resident_id, **card)
    Conversation.objects.filter(id=page.conversation_id).update(patient=other)


@pytest.mark.parametrize(
    "happened",
    [
        newer_event,
        another_visit,
        something_to_say,
        signed_out,
        token_ran_out,
        erased,
        consent_withdrawn,
        consent_ended,
        never_consented,
        slept_the_night,
        about_somebody_else,
    ],
    ids=lambda happened: happened.__name__,
)
def test_whatever_happened_meanwhile_is_noticed(happened: Callable[[Shown], None]) -> None:
    _token, page = returning()
    _token, other = returning("another")
    assert reopening.unchanged([page, other]) == [True, True]
    happened(page)
    assert reopening.unchanged([page, other]) == [False, True]


def test_what_is_another_s_is_never_unchanged() -> None:
    token, mine = returning()
    _token, hers = returning("another")
    for conversation, patient in (
        (hers.conversation_id, mine.patient_id),
        (mine.conversation_id, hers.patient_id),
        (hers.conversation_id, hers.patient_id),
    ):
        assert reopening.unchanged([shown_by(token, hello(conversation, patient, hers.visit_id, 1))]) == [False]


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"conversation": str(uuid4())},
        {"conversation": 7, "patient": str(uuid4())},
        {"conversation": "x", "patient": str(uuid4())},
        {"conversation": str(uuid4()), "patient": str(uuid4()), "visit": "x"},
        {"conversation": str(uuid4()), "patient": str(uuid4()), "visit": {"id": str(uuid4())}},
        {"conversation": str(uuid4()), "patient": str(uuid4()), "visit": {"id": str(uuid4()), "number": "many"}},
        {"conversation": str(uuid4()), "patient": str(uuid4()), "visit": {"id": str(uuid4()), "number": float("inf")}},
        {"conversation": str(uuid4()), "patient": str(uuid4()), "visit": [1]},
    ],
)
def test_a_page_that_does_not_say_legibly_what_it_shows_goes_the_whole_way(said: dict[str, Any]) -> None:
    assert reopening.shown(signin.Claims(uuid4(), uuid4()), said) is None


def test_two_hundred_pages_take_no_more_statements_than_one() -> None:
    pages = [returning(str(number))[1] for number in range(12)]
    with CaptureQueriesContext(connection) as one:
        reopening.unchanged(pages[:1])
    with CaptureQueriesContext(connection) as all_of_them:
        assert all(reopening.unchanged(pages))
    assert len(all_of_them) == len(one) <= 8


def test_that_she_was_seen_is_put_down_once_an_hour() -> None:
    _token, page = returning()
    row = Conversation.objects.filter(id=page.conversation_id)
    before = timezone.now() - timedelta(minutes=59)
    row.update(last_seen_at=before)
    assert reopening.unchanged([page]) == [True]
    assert row.get().last_seen_at == before
    row.update(last_seen_at=before - timedelta(minutes=2))
    assert reopening.unchanged([page]) == [True]
    assert timezone.now() - row.get().last_seen_at < timedelta(minutes=1)


# --- together ---------------------------------------------------------------------------------------------


def page() -> Shown:
    return Shown(signin.Claims(uuid4(), uuid4()), uuid4(), uuid4(), None, 0)


async def test_who_asks_while_a_look_is_under_way_is_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    under_way, may_end = asyncio.Event(), asyncio.Event()

    async def look(_work: Any, pages: list[Shown]) -> list[bool]:
        batches.append(len(pages))
        under_way.set()
        await may_end.wait()
        return [True] * len(pages)

    monkeypatch.setattr(reopening, "in_thread", look)
    looks = reopening.Looks()
    first = asyncio.ensure_future(looks.unchanged(page()))
    await under_way.wait()
    rest = [asyncio.ensure_future(looks.unchanged(page())) for _ in range(reopening.LOOKED_AT_TOGETHER + 5)]
    await asyncio.sleep(0)
    rest[3].cancel()  # this one's line is lost again
    may_end.set()
    answers = await asyncio.gather(first, *rest, return_exceptions=True)
    assert batches == [1, reopening.LOOKED_AT_TOGETHER, 5]
    assert answers.count(True) == len(answers) - 1


async def test_where_it_cannot_be_looked_up_the_page_goes_the_whole_way_and_the_next_is_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: list[list[bool] | Exception] = [OSError("the database is away"), [True]]

    async def look(_work: Any, _pages: list[Shown]) -> list[bool]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(reopening, "in_thread", look)
    looks = reopening.Looks()
    assert await looks.unchanged(page()) is False
    assert await looks.unchanged(page()) is True


def test_of_two_sockets_of_a_conversation_the_newer_one_is_live() -> None:
    older, newer = page(), page()
    taken = {"taken": older.conversation_id.hex, "since": newer.since}
    assert older.since < newer.since
    assert older.overtaken_by(taken)
    assert not newer.overtaken_by(taken)  # its own word, and another conversation's
    assert not older.overtaken_by({"taken": older.conversation_id.hex, "since": older.since})
