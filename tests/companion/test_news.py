"""What a hospital tells everybody reaches her: its notices and its hours, in its own words, and nothing made up."""

from companion.ports.booking import HospitalNews
from tests.companion.talking import Talk

NEWS = HospitalNews(
    "岚州市第一人民医院", "周一至周日8点到17点", "湖滨路1号", "0990-1", ("南门施工,请走北门。", "周五停电检修")
)


async def on_a_visit() -> Talk:
    talk = Talk()
    await talk.say("明天上午市一医院眼科")
    await talk.say("好")
    return talk


async def test_notices_of_the_hospital_of_her_visit() -> None:
    talk = await on_a_visit()
    assert "岚州市第一人民医院现在没有通知" in (await talk.say("医院有什么通知")).text
    talk.world.news["h1"] = NEWS
    heard = await talk.say("医院有什么通知")
    assert heard.says[:2] == [
        "岚州市第一人民医院通知:南门施工,请走北门。",
        "岚州市第一人民医院通知:周五停电检修。",
    ]
    assert "下一步" in heard.text


async def test_when_it_is_open_and_that_it_has_not_said() -> None:
    talk = await on_a_visit()
    talk.world.news["h1"] = HospitalNews(NEWS.hospital, phone="0990-1")
    assert "没有告诉我门诊时间。您可以打0990-1问一问" in (await talk.say("几点开门")).text
    talk.world.news["h1"] = NEWS
    heard = await talk.say("医院几点开门")
    assert "门诊时间是周一至周日8点到17点" in heard.text and "南门施工" in heard.text


async def test_of_a_hospital_that_she_names() -> None:
    talk = Talk()
    talk.world.news["h1"] = NEWS
    assert "门诊时间是周一至周日8点到17点" in (await talk.say("市一医院几点开门")).text


async def test_without_any_hospital_she_is_told_how_to_begin() -> None:
    heard = await Talk().say("医院有什么通知")
    assert "没有正在办的就诊" in heard.text and "帮我挂号" in heard.options


async def test_she_hears_them_when_she_opens_the_page_and_not_again_when_she_comes_back() -> None:
    talk = await on_a_visit()
    talk.world.news["h1"] = NEWS
    assert "南门施工" in (await talk.tap(kind="open")).text
    assert "南门施工" not in (await talk.tap(kind="resume")).text
