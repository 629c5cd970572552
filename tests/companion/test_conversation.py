"""One resident, one whole visit, said the way a resident says it; and what must hold at every step."""

import pytest

from companion.exceptions import CompanionError
from companion.ports.booking import SlotTaken
from companion.ports.people import LookView
from tests.companion.desk import Desk
from tests.companion.talking import Talk
from tests.companion.world import NOW, World


async def test_whole_visit() -> None:
    talk = Talk()
    first = await talk.say("眼睛干涩挂什么科?")
    assert "眼科" in first.text
    assert first.cards == ["departments", "slots"]
    named = await talk.say("明天上午市一医院")
    assert "岚州市第一人民医院眼科" in named.text and "明天上午" in named.text
    booked = await talk.say("好")
    assert "已为陈玉兰约好" in booked.text
    assert booked.card("appointment")["status"] == "booked"
    assert "下一步" in booked.text
    ticket = await talk.say("取号")
    assert "您是70号" in ticket.text
    where = await talk.say("我排到哪了")
    assert "当前您需要就诊,前面排队4人,当前叫号66号,地址位于7号楼1楼B区眼科检查一区" in where.text
    assert where.card("queue")["ahead"] == 4
    way = await talk.say("怎么走")
    assert "您现在在哪儿" in way.text
    assert {"kind": "route", "start": "E-S", "goal": "7-1-B-01"} in way.actions
    walked = await talk.tap(kind="route", start="E-S", goal="7-1-B-01")
    assert walked.cards == ["route"] and "直走50米" in walked.text
    lift = await talk.say("我腿脚不好,走电梯")
    assert lift.card("route")["lift_only"] and "电梯" in lift.text
    talk.world.consult("v1")
    bill = await talk.say("接下来做什么")
    assert "缴费" in bill.text
    ask = await talk.say("缴费")
    assert "一共120元" in ask.text and "医保支付80元" in ask.text and "您自付40元" in ask.text
    assert talk.world.invoices["v1"][0].status == "issued"
    paid = await talk.say("好的")
    assert "缴费成功" in paid.text and talk.world.invoices["v1"][0].status == "paid"
    assert "泪液分泌试验" in paid.text
    exam = await talk.say("检查要注意什么")
    assert "检查前取下隐形眼镜" in exam.text
    talk.world.report("v1")
    report = await talk.say("报告出来了吗")
    assert "左眼泪液分泌4mm,偏低" in report.text and "泪液偏少" in report.text
    assert talk.world.reports["v1"][0].status == "read"
    talk.world.prescribe("v1")
    drug = await talk.say("药怎么用")
    assert "每次1滴,每日4次" in drug.text and "瓶口不要碰到眼睛" in drug.text
    again = await talk.say("什么时候复诊")
    assert "12月9日" in again.text and again.cards == ["follow_up"]


async def waiting() -> Talk:
    talk = Talk()
    await talk.waiting()
    return talk


class TestTheWay:
    async def walking(self) -> Talk:
        talk = await waiting()
        await talk.say("怎么走")
        await talk.tap(kind="route", start="E-S", goal="7-1-B-01")
        return talk

    @pytest.mark.parametrize("words", ["外面下雨,不想淋雨", "下大雨了", "我没带伞", "怎么走不淋雨", "有连廊吗"])
    async def test_she_may_ask_for_a_way_out_of_the_rain(self, words: str) -> None:
        dry = await (await self.walking()).say(words)
        assert dry.card("route")["covered"] and dry.card("route")["goal"] == "7-1-B-01"
        assert "有8米露天" in dry.text

    @pytest.mark.parametrize("words", ["雨停了,不下雨了", "下雨天膝盖疼怎么办"])
    async def test_not_every_word_of_rain_is_about_the_way(self, words: str) -> None:
        said = await (await self.walking()).say(words)
        assert not any(kind == "route" for kind in said.cards)

    async def test_before_any_way_was_asked_for_rain_is_no_place(self) -> None:
        talk = await waiting()
        asked = await talk.say("外面下雨,不想淋雨,怎么走")
        assert "您现在在哪儿" in asked.text
        way = await talk.say("南门")
        assert way.card("route")["covered"] and way.card("route")["goal"] == "7-1-B-01"

    async def test_lift_and_roof_are_kept_until_she_takes_them_back(self) -> None:
        talk = await self.walking()
        await talk.say("我腿脚不好,走电梯")
        both = await talk.tap(kind="route", start="E-S", goal="7-1-B-01", covered=True)
        assert both.card("route")["lift_only"] and both.card("route")["covered"] and "只走电梯" in both.text
        again = await talk.say("怎么走")
        assert again.card("route")["lift_only"] and again.card("route")["covered"]
        plain = await talk.tap(kind="route", start="E-S", goal="7-1-B-01", lift_only=False, covered=False)
        assert not plain.card("route")["lift_only"] and not plain.card("route")["covered"]

    async def test_what_else_she_may_choose_is_offered(self) -> None:
        talk = await waiting()
        await talk.say("怎么走")
        way = await talk.tap(kind="route", start="E-S", goal="7-1-B-01")
        again = {"kind": "route", "start": "E-S", "goal": "7-1-B-01"}
        assert again | {"covered": True} in way.actions and again | {"lift_only": True} in way.actions
        dry = await talk.tap(**again, covered=True)
        assert again | {"covered": True} not in dry.actions

    async def test_what_is_closed_is_said_before_the_steps(self) -> None:
        talk = await self.walking()
        talk.world.late = True
        way = await talk.say("走电梯")
        assert way.text.index("1号电梯22:00后停运,改走3号电梯。") < way.text.index("从入口直走50米")
        assert way.card("route")["notice"] == "1号电梯22:00后停运,改走3号电梯。"

    async def test_a_scanned_door_is_where_she_stands(self) -> None:
        talk = await waiting()
        way = await talk.tap(kind="scan", code="h1.E-N")
        assert "您在门诊楼北门。" in way.text
        assert (way.card("route")["start"], way.card("route")["goal"]) == ("E-N", "7-1-B-01")
        toilet = await talk.say("厕所在哪")
        assert toilet.card("route")["start"] == "E-N"
        moved = await talk.tap(kind="scan", code="h1.E-S")
        assert (moved.card("route")["start"], moved.card("route")["goal"]) == ("E-S", "2-1-A-05")

    async def test_another_hospitals_door_leads_nowhere(self) -> None:
        talk = await waiting()
        said = await talk.tap(kind="scan", code="h2.E-N")
        assert "不是您这次就诊的医院的" in said.text and said.cards == []
        assert "您现在在哪儿" in (await talk.say("怎么走")).text

    async def test_a_door_scanned_without_a_visit(self) -> None:
        said = await Talk().tap(kind="scan", code="h1.E-N")
        assert "要先知道您去哪家医院" in said.text

    async def test_where_no_way_leads_she_is_asked_again_where_she_is(self) -> None:
        talk = await self.walking()
        shut = await talk.tap(kind="route", start="E-SHUT", goal="7-1-B-01")
        assert "东门20:00后关闭" in shut.text
        assert "您现在在哪儿" in (await talk.say("怎么走")).text


async def test_she_is_told_who_looked_at_her_data_and_nothing_is_made_up() -> None:
    talk = Talk()
    none = await talk.say("谁看过我的信息?")
    assert "没有人看过" in none.text and none.cards == []
    mine = LookView(NOW, "resident", "您", "预约(岚州市第一人民医院)")
    staff = LookView(NOW, "commission", "卫生健康委工作人员", "查看了记录", "处理投诉")
    talk.world.looks = (staff, mine)
    heard = await talk.tap(kind="who_looked")
    assert "有1次不是您自己办的" in heard.text
    assert [look["who"] for look in heard.card("looks")["looks"]] == ["卫生健康委工作人员", "您"]
    talk.world.looks = (mine,)
    assert "都是您自己办事时留下的" in (await talk.say("有没有人翻过我的病历")).text


async def test_tapping_an_offer_books_it_and_twice_books_once() -> None:
    talk = Talk()
    await talk.say("帮我挂眼科")
    offer = talk.stored["offers"][1]["slot_id"]
    heard = await talk.tap(kind="book", slot_id=offer)
    assert heard.cards == ["appointment"]
    talk.turns -= 1  # the same turn sent again after a lost connection
    talk.stored["expecting"] = {}
    assert len(talk.world.visits) == 1
    assert talk.world.slots[offer].free == 2


async def test_taken_slot_is_said_and_the_next_offered() -> None:
    talk = Talk()
    await talk.say("明天上午市一医院眼科")
    slot = talk.stored["expecting"]["slot_id"]

    class Quick(Desk):
        async def book(self, *, slot_id, key):
            raise SlotTaken

    original = Desk.book
    Desk.book = Quick.book
    try:
        heard = await talk.say("好")
    finally:
        Desk.book = original
    assert "被别人约走了" in heard.text
    assert heard.cards == ["slots"]
    assert slot not in [o["slot_id"] for o in talk.stored["offers"]]
    assert talk.world.visits == {}


async def test_full_slot_offers_the_next() -> None:
    talk = Talk()
    await talk.say("帮我挂眼科")
    heard = await talk.tap(kind="book", slot_id="gone")
    assert "被别人约走了" in heard.text and "slots" in heard.cards


@pytest.mark.parametrize("words", ["取消预约", "我不去了,把号退了", "帮我退号"])
async def test_cancel_asks_first(words: str) -> None:
    talk = await Talk().booked()
    asked = await talk.say(words)
    assert "确定要取消吗" in asked.text and talk.world.visits["v1"].status == "booked"
    done = await talk.say("确定")
    assert "已经取消" in done.text and talk.world.visits["v1"].status == "cancelled"


async def test_cancel_taken_back() -> None:
    talk = await Talk().booked()
    await talk.say("取消预约")
    kept = await talk.say("不取消")
    assert "号给您留着" in kept.text and talk.world.visits["v1"].status == "booked"


async def test_reschedule_takes_the_new_slot_before_giving_back_the_old() -> None:
    talk = await Talk().booked()
    asked = await talk.say("改到后天下午")
    assert "后天下午" in asked.text and "好吗" in asked.text
    await talk.say("好")
    calls = talk.world.calls
    assert calls.index("book") < calls.index("cancel")
    statuses = sorted(v.status for v in talk.world.visits.values())
    assert statuses == ["booked", "cancelled"]


async def test_when_the_old_one_cannot_be_given_back_she_hears_that_she_has_two(monkeypatch) -> None:
    async def too_late(_desk, **_asked):
        raise CompanionError("离就诊不到60分钟,不能线上取消,请打医院电话。", code="too_late")

    talk = await Talk().booked()
    await talk.say("改到后天下午")
    monkeypatch.setattr(Desk, "cancel", too_late)
    heard = await talk.say("好")
    assert "新的号约好了" in heard.text and "两个号都在" in heard.text and "请打医院电话" in heard.text
    assert heard.card("appointment")["visit_id"] == "v2"


async def test_correction_of_the_person_runs_the_wish_again() -> None:
    talk = Talk()
    await talk.say("帮我挂个明天上午市一医院的骨科")
    heard = await talk.say("不是,是我爱人")
    assert heard.switched == "周国平"
    assert "给周国平约这个号" in heard.text


async def test_person_without_a_card_cannot_be_booked() -> None:
    talk = Talk()
    heard = await talk.say("帮我爸挂个眼科")
    assert "还没有您爸的信息" in heard.text or "实名" in heard.text
    assert talk.world.visits == {}


async def test_switch_forgets_what_was_known_of_the_other() -> None:
    talk = Talk()
    await talk.say("帮我挂眼科")
    heard = await talk.say("换成我老伴")
    assert heard.switched == "周国平"
    assert talk.stored["departments"] == [] and talk.stored["offers"] == []


async def test_payment_needs_a_yes() -> None:
    talk = await Talk().consulted()
    await talk.say("缴费")
    heard = await talk.say("先不缴")
    assert "先不缴" in heard.text and talk.world.invoices["v1"][0].status == "issued"


async def test_pay_button_is_a_yes() -> None:
    talk = await Talk().consulted()
    heard = await talk.tap(kind="pay", invoice_id="i1")
    assert "缴费成功" in heard.text


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ({"pay_at": "https://gateway.example"}, "去付款"),
        ({"pay_code": "data:image/svg+xml;base64,AA=="}, "用微信扫卡片上的码"),
    ],
)
async def test_at_a_gateway_she_is_told_how_to_pay_and_not_that_she_has(way: dict[str, str], told: str) -> None:
    talk = await Talk(world=World(pays_by=way)).consulted()
    heard = await talk.tap(kind="pay", invoice_id="i1")
    (bill,) = heard.card("invoice")["invoices"]
    assert told in heard.text and "成功" not in heard.text and way.items() <= bill.items()


async def test_slow_hospital_is_told_honestly() -> None:
    talk = await Talk(world=World(slow_hospital=True)).booked()
    heard = await talk.say("取号")
    assert "号一出来" in heard.text and "取号成功" not in heard.text


async def test_panic_value_is_never_explained() -> None:
    talk = await Talk().consulted()
    talk.world.report("v1", critical=True)
    heard = await talk.say("看报告")
    assert "医生马上看" in heard.text and heard.card("report")["reports"][0]["lines"] == []


async def test_manner() -> None:
    talk = await Talk().waiting()
    first = await talk.say("我排到哪了")
    again = await talk.say("再说一遍")
    assert again.says == first.says
    slower = await talk.say("说慢一点")
    assert slower.adjusted == "rate" and talk.stored["rate"] < 1
    louder = await talk.say("听不见")
    assert louder.adjusted == "volume"
    assert (await talk.say("别说了")).adjusted == "stop"


async def test_open_question_survives_small_talk() -> None:
    talk = await Talk().booked()
    await talk.say("取消预约")
    heard = await talk.say("你是谁")
    assert "AI" in heard.text and "确定要取消吗" in heard.text
    await talk.say("确定")
    assert talk.world.visits["v1"].status == "cancelled"


async def test_ai_notice_at_the_start_and_after_two_hours() -> None:
    talk = Talk(stored={})
    opened = await talk.tap(kind="open")
    assert "AI" in opened.text and "不是医生" in opened.text
    assert "AI" not in (await talk.say("谢谢")).text
    talk.later(hours=2, minutes=1)
    assert "我是AI助手" in (await talk.say("谢谢")).text
    assert "AI" not in (await talk.say("谢谢")).text


async def test_resume_says_what_is_next() -> None:
    talk = await Talk().waiting()
    heard = await talk.tap(kind="resume")
    assert "回来了" in heard.text and "下一步" in heard.text


async def test_two_wishes_in_one_sentence() -> None:
    talk = await Talk().booked()
    heard = await talk.say("先取号,然后告诉我怎么走")
    assert "您是70号" in heard.text and "您现在在哪儿" in heard.text


async def test_memory_is_json_and_survives_unknown_keys() -> None:
    import json

    talk = Talk()
    await talk.say("明天上午市一医院眼科")
    json.dumps(talk.stored)
    talk.stored["from_another_version"] = 1
    assert (await talk.say("好")).cards == ["appointment"]
