"""Nobody acts for an adult who has not agreed in her own account; either side ends it at once; it runs out after a year."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from companion import acting, consents, dialogue, signin, visits
from companion.events import Say
from companion.exceptions import NotAllowed
from companion.journey import OwnEvent
from companion.models import Conversation, FamilyLink, Invitation, Visit, VisitPrompt
from hospitals import indexing, vault
from hospitals.models import AuditEvent
from hospitals.services import limits
from tests.companion.hearing import heard
from tests.companion.people import Person

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test counts from nothing; the counters outlive a test's transaction."""
    for name in ("INVITED", "WRONG_CODES"):
        limit = getattr(consents, name)
        monkeypatch.setattr(consents, name, limits.Limit(f"{limit.name}-{uuid4().hex}", limit.quota, limit.window_s))


@pytest.fixture()
def mother() -> Person:
    return Person("陈玉兰", "19610115", "002")


@pytest.fixture()
def daughter() -> Person:
    return Person("周敏", "19880115", "006")


def invite(daughter: Person, relation: str = "mother") -> str:
    answer = daughter.call("post", "people/invitations/", {"relation": relation})
    assert answer.status_code == 201
    return str(answer.json()["code"])


def agree(daughter: Person, mother: Person) -> int:
    answer = mother.call("post", f"people/invitations/{invite(daughter)}/accept/")
    assert answer.status_code == 201
    return int(answer.json()["consent"]["id"])


def may(daughter: Person, mother: Person) -> bool:
    return acting.acts_for(daughter.resident_id, mother.patient.id)


def test_she_sees_who_asks_for_what_and_agrees_for_a_year(daughter: Person, mother: Person) -> None:
    code = invite(daughter)
    asked = mother.call("get", f"people/invitations/{code}/").json()
    assert (asked["name"], asked["relation"], asked["card_complete"]) == ("周敏", "子女", True)
    assert not may(daughter, mother)
    agent = mother.call("post", f"people/invitations/{code.lower()}/accept/").json()
    assert (agent["name"], agent["relation"], agent["consent"]["holds"]) == ("周敏", "子女", True)
    assert may(daughter, mother)
    hers = [c for c in daughter.people()["cards"] if c["relation"] == "mother"]
    assert [(c["name"], c["mine"], c["complete"]) for c in hers] == [("陈玉兰", False, True)]
    until = FamilyLink.objects.get(id=agent["consent"]["id"]).expires_at
    assert until and timedelta(days=364) < until - timezone.now() <= timedelta(days=365)


def test_only_a_keyed_hash_of_the_code_is_kept(daughter: Person) -> None:
    code = invite(daughter)
    row = Invitation.objects.get()
    assert row.code_index == indexing.blind_index("invitation", code.replace("-", ""))
    assert code.replace("-", "") not in str(vars(row)) and row.expires_at - timezone.now() <= timedelta(hours=72)


@pytest.mark.parametrize("why", ["used", "declined", "too old", "unknown"])
def test_a_code_is_worth_something_once(daughter: Person, mother: Person, why: str) -> None:
    code = invite(daughter)
    if why == "used":
        mother.call("post", f"people/invitations/{code}/accept/")
        FamilyLink.objects.filter(patient=mother.patient, relation="mother").delete()
    elif why == "declined":
        assert mother.call("post", f"people/invitations/{code}/decline/").status_code == 204
    elif why == "too old":
        Invitation.objects.update(expires_at=timezone.now())
    else:
        code = "ABCD-EFGH-JKMN"
    for method, path in (("get", ""), ("post", "accept/"), ("post", "decline/")):
        answer = mother.call(method, f"people/invitations/{code}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "invitation_over")
    assert not may(daughter, mother)


def test_guessing_is_held_back(daughter: Person, mother: Person) -> None:
    code = invite(daughter)
    for _guess in range(10):
        assert mother.call("get", "people/invitations/2222-2222-2222/").status_code == 404
    assert mother.call("get", f"people/invitations/{code}/").status_code == 429


def test_nobody_accepts_her_own_invitation(daughter: Person) -> None:
    answer = daughter.call("post", f"people/invitations/{invite(daughter)}/accept/")
    assert (answer.status_code, answer.json()["code"]) == (409, "own_invitation")
    twin = Person("周敏敏", filled=False)  # another account of the same person
    twin.call("post", "people/", {**daughter.given, "relation": "self"})
    answer = twin.call("post", f"people/invitations/{invite(daughter)}/accept/")
    assert answer.json()["code"] == "own_invitation"


def test_both_sides_have_a_card_of_their_own_first(daughter: Person) -> None:
    newcomer = Person("林晓雨", filled=False)
    answer = newcomer.call("post", "people/invitations/", {"relation": "mother"})
    assert (answer.status_code, answer.json()["code"]) == (409, "own_card_first")
    code = invite(daughter, "other")
    assert newcomer.call("post", f"people/invitations/{code}/accept/").json()["code"] == "own_card_first"
    newcomer.call("post", "people/", {**newcomer.given, "relation": "self", "name": "林晓雨"})
    newcomer.call("get", f"people/invitations/{code}/")
    assert Invitation.objects.get().state == "open"  # the refusal did not use it up


@pytest.mark.parametrize("side", ["mother", "daughter"])
def test_either_side_ends_it_at_once(daughter: Person, mother: Person, side: str) -> None:
    consent = agree(daughter, mother)
    who = {"mother": mother, "daughter": daughter}[side]
    assert who.call("delete", f"people/consents/{consent}/").status_code == 204
    assert not may(daughter, mother)
    assert [c["relation"] for c in daughter.people()["cards"]] == ["self"] and mother.people()["agents"] == []
    assert who.call("delete", f"people/consents/{consent}/").status_code == 404
    last = AuditEvent.objects.filter(subject=mother.patient.id).order_by("-number").first()
    assert last and (last.action, last.actor) == ("consent.withdraw", str(who.resident_id))


def test_a_third_person_ends_and_renews_nothing(daughter: Person, mother: Person) -> None:
    consent, other = agree(daughter, mother), Person("林晓雨", "19900101", "004")
    assert other.call("delete", f"people/consents/{consent}/").status_code == 404
    assert other.call("post", f"people/consents/{consent}/renew/").status_code == 404
    own = FamilyLink.objects.get(resident_id=mother.resident_id, relation="self")
    assert mother.call("delete", f"people/consents/{own.id}/").status_code == 404
    assert may(daughter, mother)


def test_it_runs_out_after_a_year_and_only_she_renews_it(daughter: Person, mother: Person) -> None:
    consent = agree(daughter, mother)
    FamilyLink.objects.filter(id=consent).update(expires_at=timezone.now())
    assert not may(daughter, mother)
    (shown,) = [c for c in daughter.people()["cards"] if c["relation"] == "mother"]
    assert (shown["consent"]["holds"], shown["id_number"], shown["age_years"]) == (False, "", None)
    assert daughter.call("post", f"people/consents/{consent}/renew/").status_code == 403
    assert mother.call("post", f"people/consents/{consent}/renew/").status_code == 200
    assert may(daughter, mother)


def test_asked_again_after_it_ended_she_may_agree_again(daughter: Person, mother: Person) -> None:
    consent = agree(daughter, mother)
    mother.call("delete", f"people/consents/{consent}/")
    assert agree(daughter, mother) == consent and may(daughter, mother)


MATRIX = [
    (given, ends, withdrawn, given and ends != "past" and not withdrawn)
    for given in (True, False)
    for ends in ("never", "later", "past")
    for withdrawn in (True, False)
]


@pytest.mark.parametrize(("given", "ends", "withdrawn", "allowed"), MATRIX)
def test_consent_matrix(
    daughter: Person, mother: Person, given: bool, ends: str, withdrawn: bool, allowed: bool
) -> None:
    """Everywhere the same answer: acting, opening her page on it again, and being told unasked."""
    now = timezone.now()
    link = FamilyLink.objects.get(id=agree(daughter, mother))
    session = dialogue.open_session(daughter.resident_id, None)
    session = dialogue.adjusted(session, dialogue.SwitchPatient(str(mother.patient.id), "陈玉兰"))
    visit = booked(daughter, mother)
    link.consented_at = now if given else None
    link.expires_at = {"never": None, "later": now + timedelta(days=1), "past": now - timedelta(seconds=1)}[ends]
    link.withdrawn_at = now if withdrawn else None
    link.save()
    again = dialogue.open_session(daughter.resident_id, session.id)
    assert (again.patient_id == mother.patient.id) is allowed
    assert (dialogue.visit_frame(daughter.resident_id, mother.patient.id, visit.id) is not None) is allowed
    VisitPrompt.objects.create(visit=visit, key="k", name="booked", by_itself=True, due_at=now)
    said = [event for event in heard(again) if isinstance(event, Say)]
    assert bool(said) is allowed
    if not allowed:
        with pytest.raises(NotAllowed):
            acting.may_act_for(daughter.resident_id, mother.patient.id)


def booked(daughter: Person, mother: Person) -> Visit:
    visit = Visit.objects.create(
        resident=daughter.resident,
        patient=mother.patient,
        hospital_id=uuid4(),
        hospital_name="甲医院",
        department="眼科",
        start=timezone.now() + timedelta(days=1),
    )
    visits.own_event(visit.id, OwnEvent.TRIAGED)
    visits.own_event(visit.id, OwnEvent.BOOKED)
    VisitPrompt.objects.all().delete()
    return visit


def test_a_visit_under_way_is_hers_to_hear_of_when_consent_ends(
    daughter: Person, mother: Person, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    consent = agree(daughter, mother)
    visit = booked(daughter, mother)
    heard: list[Any] = []
    monkeypatch.setattr("companion.visits.notify", lambda resident_id, *_rest: heard.append(resident_id))
    with django_capture_on_commit_callbacks(execute=True):
        mother.call("delete", f"people/consents/{consent}/")
    assert heard == [mother.resident_id]
    vault.erase("resident", daughter.resident_id)  # nothing of it is sealed with the daughter's key any more
    visit = Visit.objects.get(id=visit.id)
    assert (
        visit.resident_id == mother.resident_id and visits.journey_of(visit).state == "booked" and visit.snapshot == {}
    )


def test_an_open_page_turns_back_to_herself_when_consent_ends(daughter: Person, mother: Person) -> None:
    consent = agree(daughter, mother)
    session = dialogue.open_session(daughter.resident_id, None)
    dialogue.adjusted(session, dialogue.SwitchPatient(str(mother.patient.id), "陈玉兰"))
    assert session.patient_name == "陈玉兰"
    mother.call("delete", f"people/consents/{consent}/")
    loaded = dialogue._load(session)
    assert (loaded.ended, session.patient_name, loaded.patient.relation) == ("陈玉兰", "周敏", "本人")
    assert dialogue._load(session).ended == ""


def test_what_was_said_of_her_is_forgotten_when_the_page_comes_back_after_her_consent_ended(
    daughter: Person, mother: Person
) -> None:
    consent = agree(daughter, mother)
    session = dialogue.open_session(daughter.resident_id, None)
    dialogue.adjusted(session, dialogue.SwitchPatient(str(mother.patient.id), "陈玉兰"))
    talk = Conversation.objects.get(id=session.id)
    talk.memory = {"dialogue": {"triage": {"said": [["妈妈胸闷", ""]]}, "departments": ["心内科"], "rate": 0.8}}
    talk.save()
    mother.call("delete", f"people/consents/{consent}/")
    assert dialogue.open_session(daughter.resident_id, session.id).patient_name == "周敏"
    kept = dialogue._load(session).memory["dialogue"]
    assert (kept["triage"], kept["departments"], kept["rate"]) == ({}, [], 0.8)


def test_who_was_erased_is_acted_for_no_more(daughter: Person, mother: Person) -> None:
    agree(daughter, mother)
    vault.erase("resident", mother.resident_id)
    signin.forget(mother.resident_id)
    assert not may(daughter, mother)
    assert [c["relation"] for c in daughter.people()["cards"]] == ["self"]
