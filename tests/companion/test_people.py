"""Real-name cards over HTTP: filled, changed, removed by her alone; every refusal says what to do and quotes nothing."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from companion import people
from companion.models import FamilyLink, Patient, Resident, Visit
from hospitals.models import AuditEvent
from tests.companion.people import TODAY_PHONE, Person, card, id_number, years_ago

pytestmark = pytest.mark.django_db


@pytest.fixture()
def lan() -> Person:
    return Person("陈玉兰", "19610115", "002")


@pytest.fixture()
def newcomer() -> Person:
    return Person("周敏", filled=False)


def minor(**changes: Any) -> dict[str, Any]:
    born = years_ago(6)
    return card("周小禾", id_number=id_number(born, "004"), relation="grandchild", guardian=True, **changes)


def errors(answer: Any) -> dict[str, str]:
    body = answer.json()
    assert answer["Content-Type"] == "application/problem+json" and body["code"] == "invalid_card"
    assert all(error["detail"] for error in body["errors"])
    return {error["pointer"]: error["code"] for error in body["errors"]}


def test_a_newcomer_s_card_is_empty_of_unknown_sex_and_then_filled(newcomer: Person) -> None:
    (own,) = newcomer.people()["cards"]
    assert (own["relation"], own["complete"], own["sex"], own["mine"]) == ("self", False, "", True)
    answer = newcomer.call("post", "people/", card("周敏", relation="self", phone="+86 139-0000-7788"))
    assert answer.status_code == 201 and answer["ETag"] == '"2"'
    body = answer.json()
    assert (body["id_number"], body["phone"]) == ("*" * 14 + id_number()[-4:], "*******7788")
    kept = newcomer.patient
    assert (kept.id_number, kept.phone, kept.birth_date, kept.sex) == (id_number(), TODAY_PHONE, "1961-01-15", "female")
    assert newcomer.resident.name == "周敏"


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"id_number": "990101196101150028"}, {"/id_number": "check_digit"}),
        ({"id_number": "9901"}, {"/id_number": "length"}),
        ({"phone": "12345"}, {"/phone": "characters"}),
        ({"name": "<script>"}, {"/name": "characters"}),
        ({"birth_date": "1961-01-16"}, {"/birth_date": "mismatch"}),
        ({"sex": "male"}, {"/sex": "mismatch"}),
        ({"name": "", "phone": "1"}, {"/name": "blank"}),
        ({"document": "passport", "id_number": "E1234567"}, {"/birth_date": "empty"}),
        (
            {"document": "passport", "id_number": "E#", "birth_date": "2999-01-01"},
            {"/id_number": "characters", "/birth_date": "birth_date"},
        ),
        ({"document": "licence"}, {"/document": "invalid_choice"}),
        ({"is_admin": True}, {"": "unknown_field"}),
        ({"phone": 13900007788}, {"/phone": "invalid"}),
        ({"name": "周敏" + " " * 99}, {"/name": "max_length"}),
    ],
)
def test_each_field_says_what_to_do(newcomer: Person, changes: dict[str, Any], wrong: dict[str, str]) -> None:
    answer = newcomer.call("post", "people/", card("周敏", relation="self") | changes)
    assert answer.status_code == 400 and errors(answer) == wrong
    assert not newcomer.patient.id_number
    assert not [value for value in changes.values() if len(str(value)) > 3 and str(value) in answer.content.decode()]


def test_a_passport_needs_a_birth_date_and_no_sex(newcomer: Person) -> None:
    given = card("Anna Lin", relation="self", document="passport", id_number="e 1234567", birth_date="1980-05-01")
    assert newcomer.call("post", "people/", given).status_code == 201
    assert (newcomer.patient.id_number, newcomer.patient.sex) == ("E1234567", "")


def test_a_change_needs_the_version_that_was_read(lan: Person) -> None:
    path = f"people/{lan.patient.id}/"
    assert lan.call("patch", path, {"phone": "13800001111"}).json()["code"] == "version_missing"
    first = lan.call("patch", path, {"phone": "13800001111"}, **{"if-match": '"2"'})
    assert first.status_code == 200 and first["ETag"] == '"3"'
    stale = lan.call("patch", path, {"phone": "13800002222", "version": 2})
    assert (stale.status_code, stale.json()["code"]) == (412, "outdated")
    assert errors(lan.call("patch", path, {"phone": "13800002222", "version": "3"})) == {"/version": "invalid"}
    assert (lan.patient.phone, lan.patient.name) == ("13800001111", "陈玉兰")


def test_her_number_does_not_change_while_a_visit_is_open(lan: Person) -> None:
    visit = open_visit(lan)
    body = {"id_number": id_number("19610115", "004"), "version": 2}
    answer = lan.call("patch", f"people/{lan.patient.id}/", body)
    assert (answer.status_code, answer.json()["code"]) == (409, "has_visits")
    visit.state = "closed"
    visit.save()
    assert lan.call("patch", f"people/{lan.patient.id}/", body).status_code == 200


def open_visit(who: Person) -> Visit:
    return Visit.objects.create(
        resident=who.resident,
        patient=who.patient,
        hospital_id=who.resident_id,
        hospital_name="甲医院",
        department="眼科",
        start=timezone.now() + timedelta(days=1),
        state="booked",
    )


def test_a_minor_by_a_declared_guardian_until_she_comes_of_age(lan: Person) -> None:
    answer = lan.call("post", "people/", minor())
    assert answer.status_code == 201
    consent = answer.json()["consent"]
    assert consent["guardian"] and consent["expires_at"].startswith(str(timezone.localdate().year + 12))
    assert [c["relation"] for c in lan.people()["cards"]] == ["self", "grandchild"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"guardian": False}, "invalid_card"),
        ({"guardian": "yes"}, "invalid_card"),
        ({"guardian": 1}, "invalid_card"),
        ({"relation": "mother"}, "invalid_card"),
        ({"id_number": id_number(years_ago(18), "004")}, "needs_consent"),
    ],
)
def test_nobody_else_is_added_without_agreeing(lan: Person, changes: dict[str, Any], code: str) -> None:
    answer = lan.call("post", "people/", minor() | changes)
    assert answer.status_code in (400, 409) and answer.json()["code"] == code
    assert Patient.objects.count() == 1


def test_however_many_act_for_her_she_adds_her_grandchild(lan: Person) -> None:
    for _n in range(people.MOST_CARDS + 1):
        agent = Resident(name="周敏")
        agent.save()
        FamilyLink.objects.create(resident=agent, patient=lan.patient, relation="mother", consented_at=timezone.now())
    assert lan.call("post", "people/", minor()).status_code == 201


def test_her_own_card_comes_first(newcomer: Person) -> None:
    assert newcomer.call("post", "people/", minor()).json()["code"] == "own_card_first"


def test_a_person_is_there_once_however_the_number_is_typed(lan: Person) -> None:
    lan.call("post", "people/", minor())
    again = minor()
    again["id_number"] = " ".join(again["id_number"]).lower()
    answer = lan.call("post", "people/", again)
    assert (answer.status_code, answer.json()["code"]) == (409, "already_there")
    assert lan.call("post", "people/", card("陈玉兰", relation="self")).json()["code"] == "already_there"


def test_a_removed_card_is_empty_and_a_new_one_has_the_same_index(lan: Person) -> None:
    made = lan.call("post", "people/", minor()).json()["patient_id"]
    index = Patient.objects.get(id=made).id_number_index
    assert lan.call("delete", f"people/{made}/").status_code == 204
    gone = Patient.objects.get(id=made)
    assert (gone.name, gone.id_number, gone.phone, gone.birth_date, gone.id_number_index) == ("已移除", "", "", "", "")
    assert lan.call("delete", f"people/{made}/").status_code == 404
    again = lan.call("post", "people/", minor()).json()["patient_id"]
    assert Patient.objects.get(id=again).id_number_index == index  # what bars a person goes by it


def test_an_open_visit_keeps_the_card(lan: Person) -> None:
    open_visit(lan)
    answer = lan.call("delete", f"people/{lan.patient.id}/")
    assert (answer.status_code, answer.json()["code"]) == (409, "has_visits")


@pytest.mark.parametrize("method", ["patch", "delete"])
def test_a_stranger_s_card_is_not_there(lan: Person, newcomer: Person, method: str) -> None:
    body = {"phone": "13800001111", "version": 2} if method == "patch" else None
    assert newcomer.call(method, f"people/{lan.patient.id}/", body).status_code == 404
    assert lan.patient.phone == TODAY_PHONE


def test_nobody_who_is_not_signed_in(lan: Person) -> None:
    lan.client.defaults.clear()
    for method, path in (("get", "people/"), ("delete", f"people/{lan.patient.id}/"), ("post", "people/invitations/")):
        answer = getattr(type(lan.client)(), method)(f"/api/session/{path}")
        assert answer.status_code == 401


def test_every_deed_is_on_record_under_her_id(lan: Person) -> None:
    made = lan.call("post", "people/", minor()).json()["patient_id"]
    lan.call("patch", f"people/{made}/", {"name": "周小和", "version": 1})
    lan.call("delete", f"people/{made}/")
    rows = AuditEvent.objects.filter(subject=made).order_by("number")
    assert [(row.action, row.actor_kind, row.actor) for row in rows] == [
        (action, "resident", str(lan.resident_id))
        for action in ("card.create", "card.change", "consent.withdraw", "card.remove")
    ]


def test_the_one_writer_keeps_one_own_card(newcomer: Person) -> None:
    assert people.own_card(newcomer.resident) == people.own_card(newcomer.resident)
    assert FamilyLink.objects.filter(resident_id=newcomer.resident_id).count() == 1
