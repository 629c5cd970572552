"""Family, waiting and sign-ins in the talk: what she says leads to the card that does it, and nothing happens unasked."""

from dataclasses import replace
from datetime import timedelta

import pytest

from companion.ports.people import AgentView, AskedView, PersonView, SignInView
from tests.companion.talking import Talk
from tests.companion.world import NOW, World

DAUGHTER = AgentView(7, "周敏", "子女", NOW + timedelta(days=100))
SON = AgentView(8, "周亮", "子女", NOW + timedelta(days=100))


async def test_for_a_mother_who_has_no_card_she_is_offered_to_invite_her() -> None:
    talk = Talk()
    heard = await talk.say("给我妈挂眼科的号")
    assert "自己同意" in heard.text and {"kind": "invite", "relation": "mother"} in heard.actions
    invited = await talk.tap(kind="invite", relation="mother")
    assert invited.card("invitation")["code"] == "ABCD-EFGH-JKMN" and "邀请码" in invited.text
    assert "ABCD" not in invited.text  # shown, not said aloud


async def test_a_small_child_is_filled_in_and_a_grown_one_asked() -> None:
    talk = Talk(world=World(people=[PersonView("p1", "陈玉兰", "本人", True, 65, "female")]))
    young = await talk.say("给我儿子挂儿科,他三岁")
    assert {"kind": "person_form", "relation": "child"} in young.actions
    either = await talk.say("添加我女儿")
    assert {a["kind"] for a in either.actions} >= {"person_form", "invite"}
    form = (await talk.tap(kind="person_form", relation="child")).card("person_form")
    assert (form["patient_id"], form["relation"]) == ("", "child")


async def test_an_incomplete_card_keeps_the_place_and_booking_goes_on_with_it() -> None:
    talk = Talk(world=World(incomplete={"p1"}))
    slot = "h1-眼科-11250830"
    heard = await talk.tap(kind="book", slot_id=slot)
    form = heard.card("person_form")
    assert form["then"] == {"kind": "book", "slot_id": slot} and form["held_until"] and "上午10点10分" in heard.text
    assert not talk.world.visits
    talk.world.incomplete.clear()
    assert "约好" in (await talk.tap(**form["then"])).text


async def test_before_she_invites_her_own_card_is_filled() -> None:
    talk = Talk(world=World(incomplete={"p1"}))
    heard = await talk.tap(kind="invite", relation="mother")
    assert heard.card("person_form")["then"] == {"kind": "invite", "relation": "mother"}
    assert "invite" not in talk.world.calls


@pytest.mark.parametrize("words", ["我收到一个邀请码", "女儿给我发了邀请码"])
async def test_a_code_is_asked_for_shown_and_only_then_answered(words: str) -> None:
    asked = AskedView("ABCD-EFGH-JKMN", "周敏", "子女", NOW + timedelta(days=365), True)
    talk = Talk(world=World(asked={asked.code: asked}))
    assert (await talk.say(words)).asked == "invitation_code"
    seen = await talk.say("abcd-efgh-jkmn")
    assert seen.card("consent")["name"] == "周敏" and "看报告" in seen.text and not talk.world.agents
    done = await talk.tap(kind="accept_invitation", code=asked.code)
    assert "可以替您办了" in done.text and talk.world.agents


async def test_she_takes_it_back_after_being_asked_once() -> None:
    talk = Talk(world=World(agents=[DAUGHTER]))
    sure = await talk.say("以后不让女儿替我办了")
    assert sure.asked == "withdraw_sure" and "周敏" in sure.text and talk.world.agents
    assert "不变" in (await talk.say("不用了")).text and talk.world.agents
    await talk.say("以后不让女儿替我办了")
    assert "不能再替您办" in (await talk.say("是的")).text and not talk.world.agents


async def test_of_two_children_she_is_asked_which() -> None:
    talk = Talk(world=World(agents=[DAUGHTER, SON]))
    heard = await talk.say("以后不让孩子替我办了")
    assert heard.cards == ["people"] and "哪一位" in heard.text and len(talk.world.agents) == 2
    assert "周亮" in (await talk.say("取消周亮的授权")).text


async def test_nobody_to_take_it_back_from() -> None:
    assert "没有别人" in (await Talk().say("取消代办授权")).text


async def test_everything_gone_she_may_wait_hears_her_place_and_leaves() -> None:
    talk = Talk()
    for slot in [s for s in talk.world.slots.values() if s.department == "眼科"]:
        talk.world.slots[slot.slot_id] = replace(slot, free=0)
    full = await talk.say("挂市一医院眼科的号")
    assert full.asked == "wait" and "候补" in full.text and not talk.world.waiting
    done = await talk.say("好的")
    assert "前面还有2位" in done.text and done.card("waiting")["waiting"][0]["hospital"] == "岚州市第一人民医院"
    assert "第3位" in (await talk.say("我候补到第几了")).text
    assert "不再候补" in (await talk.say("取消候补")).text and not talk.world.waiting


async def test_a_no_leaves_the_line_alone() -> None:
    talk = Talk()
    talk.world.slots = {key: replace(slot, free=0) for key, slot in talk.world.slots.items()}
    await talk.say("挂市一医院眼科的号")
    assert (await talk.say("不用了")).asked == "department" and not talk.world.waiting


async def test_where_she_is_signed_in_and_out_again_elsewhere() -> None:
    here, old = SignInView("s1", "支付宝", NOW, True), SignInView("s2", "微信", NOW - timedelta(hours=1))
    talk = Talk(world=World(sign_ins=[here, old]))
    heard = await talk.say("我在哪些手机上登录了")
    assert "还有1处" in heard.text and "微信" in heard.text
    assert [one["current"] for one in heard.card("sign_ins")["sign_ins"]] == [True, False]
    assert "只有这里" in (await talk.tap(kind="end_sign_in", session="s2")).text
    talk.world.sign_ins.append(old)
    assert "退出了别处的1次" in (await talk.say("别的手机上都退出")).text
