"""Turns are picked for review, corrections are recorded, and what is exported holds nobody's data. All invented."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from companion import quality
from companion.models import Conversation, FamilyLink, Incident, Patient, Resident, Turn, TurnReview
from companion.quality import Because, CorrectionInvalid, Export, Label
from hospitals import vault
from hospitals.models import AuditEvent

WEEK = timedelta(days=7)


@pytest.fixture()
def conversation(resident: Resident, patient: Patient) -> Conversation:
    return Conversation.objects.create(resident=resident, patient=patient)


@pytest.fixture()
def spoke(conversation: Conversation) -> Any:
    count = 0

    def make(said: str = "眼睛干涩挂什么科", **changes: Any) -> Turn:
        nonlocal count
        count += 1
        values: dict[str, Any] = {
            "conversation": conversation,
            "resident_id": conversation.resident_id,
            "number": count,
            "said": said,
            "answered": ["建议挂眼科。"],
            "understood": {"intent": "triage", "because": ["干涩"]},
            "intent": "triage",
            "urgency": "outpatient",
        }
        return Turn.objects.create(**{**values, **changes})

    return make


def picked(count: int = 10, seed: int = 7) -> list[TurnReview]:
    now = timezone.now()
    return quality.pick(since=now - WEEK, until=now + timedelta(minutes=1), count=count, seed=seed)


def reviewed(turn: Turn, label: str = Label.MISUNDERSTOOD, **more: Any) -> TurnReview:
    review = TurnReview.objects.create(turn=turn, resident_id=turn.resident_id, because=Because.RANDOM)
    return quality.record(review, reviewer="评审甲", label=label, **more)


# --- picking ---------------------------------------------------------------------------------------------------


def test_what_went_wrong_is_picked_first(spoke: Any, conversation: Conversation) -> None:
    Incident.objects.create(kind=Incident.Kind.GUARD, codes=["dose"], conversation=conversation)
    wanted = {
        spoke(rating=-1).id: Because.LOW_RATING,
        spoke(intent="unknown").id: Because.NOT_UNDERSTOOD,
        spoke(urgency="ambulance").id: Because.EMERGENCY,
        spoke(understood={"replaced": ["dose"]}).id: Because.REPLACED,
        spoke(understood={"reasons": ["by_model"]}).id: Because.BY_MODEL,
    }
    for n in range(30):
        spoke(f"第{n}句普通的话")
    reviews = picked(count=10)
    assert len(reviews) == 10
    because = {review.turn_id: review.because for review in reviews}
    assert {turn: because.get(turn) for turn in wanted} == wanted
    assert list(because.values()).count(Because.RANDOM) == 5


def test_no_turn_is_picked_twice_and_taps_never(spoke: Any) -> None:
    spoke()
    spoke(said="")
    assert len(picked()) == 1
    assert picked() == []


def test_reviewed_turns_and_other_days_are_left_alone(spoke: Any) -> None:
    reviewed(spoke())
    old = spoke()
    Turn.objects.filter(id=old.id).update(created_at=timezone.now() - 2 * WEEK)
    assert picked() == []


def test_the_same_seed_picks_the_same(spoke: Any) -> None:
    for n in range(40):
        spoke(f"第{n}句普通的话")
    first = {review.turn_id for review in picked(count=5, seed=3)}
    TurnReview.objects.all().delete()
    assert {review.turn_id for review in picked(count=5, seed=3)} == first


# --- deciding --------------------------------------------------------------------------------------------------


def test_a_correction_stands_on_the_turn(spoke: Any) -> None:
    turn = spoke()
    review = reviewed(turn, intent="health_question", department="眼科", urgency="self_care", better_words="少看手机。")
    turn.refresh_from_db()
    assert (turn.corrected_intent, turn.corrected_department, turn.corrected_urgency) == (
        "health_question",
        "眼科",
        "self_care",
    )
    assert turn.reviewed_at == review.reviewed_at is not None
    assert TurnReview.objects.get(id=review.id).better_words == "少看手机。"


def test_a_decision_is_on_record_under_whom_it_is_about(spoke: Any, patient: Patient) -> None:
    review = reviewed(spoke(), note="像是本人")
    seen = AuditEvent.objects.get(action="review.record")
    assert (seen.actor, seen.entity_id, seen.subject) == ("评审甲", str(review.id), patient.id)
    assert "像是本人" not in seen.why + seen.detail


@pytest.mark.parametrize("wrong", [{"intent": "fly"}, {"department": "魔法科"}, {"urgency": "soon"}, {"label": "nice"}])
def test_what_does_not_exist_is_refused(spoke: Any, wrong: dict[str, str]) -> None:
    with pytest.raises(CorrectionInvalid):
        reviewed(spoke(), **wrong)


def test_figures_count_ratings_and_labels(spoke: Any) -> None:
    spoke(rating=1)
    spoke(rating=-1)
    reviewed(spoke(), label=Label.RIGHT)
    now = timezone.now()
    counted = quality.figures(since=now - WEEK, until=now + timedelta(minutes=1))
    assert (counted["turns"], counted["rated_up"], counted["rated_down"], counted["right"]) == (3, 1, 1, 1)


# --- exporting -------------------------------------------------------------------------------------------------


def test_a_damaged_turn_is_neither_picked_nor_exported_and_ends_nothing(spoke: Any) -> None:
    whole, hurt = spoke("耳朵响挂哪个科"), spoke("眼睛干涩怎么护理")
    Turn.objects.filter(id=hurt.id).update(said=vault.Ciphertext(bytes(40)), understood=vault.Ciphertext(bytes(40)))
    assert [review.turn_id for review in picked()] == [whole.id]
    TurnReview.objects.all().delete()
    for turn in (whole, hurt):
        reviewed(turn, label=Label.RIGHT)
    export = Export()
    assert [row.text for row in export] == ["耳朵响挂哪个科"] and export.left_out == {"damaged": 1}


def test_corrections_become_rows(spoke: Any) -> None:
    reviewed(spoke("眼睛干涩怎么护理"), intent="health_question", better_words="少看手机。")
    reviewed(spoke("耳朵响挂哪个科"), label=Label.RIGHT)
    reviewed(spoke("这句没改"), label=Label.UNSAFE)
    rows = {row.text: row for row in Export()}
    assert set(rows) == {"眼睛干涩怎么护理", "耳朵响挂哪个科"}
    assert rows["眼睛干涩怎么护理"].intent == "health_question"
    assert rows["眼睛干涩怎么护理"].was_intent == "triage"
    assert rows["眼睛干涩怎么护理"].better_words == "少看手机。"
    assert {row.split for row in rows.values()} <= {"test", "train"}


def test_no_personal_data_leaves(spoke: Any, resident: Resident) -> None:
    other = Patient.objects.create(
        keeper=resident, name="周国平", id_number="", phone="", birth_date="", sex=Patient.Sex.MALE
    )
    FamilyLink.objects.create(resident=resident, patient=other, relation="spouse", consented_at=timezone.now())
    said = [
        "我是陈玉兰,给国平挂眼科",
        "周国平身份证990101196101150028",
        "打我电话13800000000",
        "我住在岚州市青石区幸福路12号3单元",
        "我1961年1月15日生的,眼睛干",
        "帮李桂芳挂个号",
        "我的邮箱a@example.com",
    ]
    for words in said:
        reviewed(spoke(words), label=Label.RIGHT, better_words=f"好的,{words}")
    out = json.dumps([row.to_dict() for row in Export()], ensure_ascii=False)
    for secret in ("陈玉兰", "玉兰", "周国平", "国平", "李桂芳", "990101", "138000", "幸福路", "1961", "example.com"):
        assert secret not in out
    assert "某某" in out and "挂眼科" in out
    assert str(resident.id) not in out


def test_long_stories_and_doubles_are_left_out(spoke: Any) -> None:
    for words in ("眼睛干", "眼睛干", "我从头说起," * 20):
        reviewed(spoke(words), label=Label.RIGHT)
    export = Export()
    assert len(list(export)) == 1
    assert export.left_out == {"twice": 1, "long": 1}


def test_an_erased_resident_is_neither_picked_nor_exported(spoke: Any, resident: Resident) -> None:
    reviewed(spoke(), label=Label.RIGHT)
    spoke("还没评审")
    vault.erase("resident", resident.id)
    export = Export()
    assert list(export) == []
    assert export.left_out == {"erased": 1}
    assert picked() == []


def test_only_what_was_reviewed_since_a_day(spoke: Any) -> None:
    reviewed(spoke(), label=Label.RIGHT)
    assert len(list(Export(timezone.now() - WEEK))) == 1
    assert list(Export(timezone.now() + WEEK)) == []


def test_the_command_writes_one_json_object_a_line(spoke: Any, tmp_path: Path, capsys: Any) -> None:
    reviewed(spoke(), label=Label.RIGHT, department="眼科")
    out = tmp_path / "corrections.jsonl"
    call_command("export_corrections", str(out))
    (row,) = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert row["text"] == "眼睛干涩挂什么科"
    assert row["department"] == "眼科"
    assert out.stat().st_mode & 0o077 == 0
    assert "1" in capsys.readouterr().out
    with pytest.raises(CommandError):
        call_command("export_corrections", str(out))


@pytest.mark.parametrize("day", ["tomorrow", "2026-13-01"])
def test_an_unreadable_day_is_refused(db: None, tmp_path: Path, day: str) -> None:
    with pytest.raises(CommandError):
        call_command("export_corrections", str(tmp_path / "x.jsonl"), since=day)
    assert list(tmp_path.iterdir()) == []


# --- in the admin ----------------------------------------------------------------------------------------------


@pytest.fixture()
def reviewer(db: None, client: Client) -> Client:
    user = User.objects.create_user("reviewer-x", password="for-tests", is_staff=True)
    wanted = ("view_turnreview", "change_turnreview")
    user.user_permissions.set(Permission.objects.filter(codename__in=wanted))
    client.force_login(user)
    return client


def address(name: str, *args: Any) -> str:
    return reverse(f"admin:companion_turnreview_{name}", args=args)


def test_a_reviewer_picks_reads_and_corrects(reviewer: Client, spoke: Any) -> None:
    spoke("陈玉兰想挂眼科", answered=["陈玉兰您好,建议挂眼科。"], rating=-1)
    spoke("后面一句")
    answer = reviewer.get(address("pick_sample"), follow=True)
    assert "抽取了 2 轮" in answer.content.decode()
    review = TurnReview.objects.get(because=Because.LOW_RATING)
    page = reviewer.get(address("change", review.id)).content.decode()
    assert "某某想挂眼科" in page and "后面一句" in page
    assert "陈玉兰" not in page
    form = {"label": Label.MISUNDERSTOOD, "intent": "book", "department": "眼科", "urgency": "", "better_words": "好。"}
    answer = reviewer.post(address("change", review.id), form)
    assert answer.status_code == 302
    review.refresh_from_db()
    review.turn.refresh_from_db()
    assert (review.label, review.reviewer, review.better_words) == ("misunderstood", "reviewer-x", "好。")
    assert review.turn.corrected_intent == "book"


def test_a_review_needs_a_label_and_what_exists(reviewer: Client, spoke: Any) -> None:
    turn = spoke()
    review = TurnReview.objects.create(turn=turn, resident_id=turn.resident_id, because=Because.RANDOM)
    for form in ({"label": "", "intent": "book"}, {"label": "right", "intent": "fly"}):
        assert reviewer.post(address("change", review.id), form).status_code == 200
    review.refresh_from_db()
    assert review.reviewed_at is None


def test_nobody_else_sees_reviews(client: Client, spoke: Any) -> None:
    turn = spoke()
    review = TurnReview.objects.create(turn=turn, resident_id=turn.resident_id, because=Because.RANDOM)
    client.force_login(User.objects.create_user("desk-x", password="for-tests", is_staff=True))
    assert client.get(address("changelist")).status_code == 403
    assert client.get(address("change", review.id)).status_code == 403
    client.get(address("pick_sample"))
    assert TurnReview.objects.count() == 1
