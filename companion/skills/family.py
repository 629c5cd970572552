"""Family: her real-name card, a child's, an invitation to an adult and its answer, and the end of a consent."""

import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from companion.events import Event, Option, Say, ShowCard, SwitchPatient
from companion.ports import as_card
from companion.ports.people import AgentView, CardView, PersonView
from companion.skills.people import people_card
from companion.skills.scene import Contract, Scene
from companion.understanding import Person

CONTRACT = Contract(
    name="family",
    intents=("add_person", "withdraw_consent", "invitation"),
    actions=(
        *("add_person", "person_form", "card_saved", "invite", "invitation", "accept_invitation"),
        *("decline_invitation", "withdraw_consent", "renew_consent"),
    ),
    expects=("invitation_code", "withdraw_sure"),
    needs=("person",),
    asks={"invitation_code": "请把家人发来的邀请码打在下面。", "person": "您要添加哪位家人?"},
    does=(
        *("people", "agents", "card", "invite", "invitation", "answer_invitation"),
        *("withdraw_consent", "renew_consent", "next_step"),
    ),
    says="how somebody is added and who agreed to what; nobody acts for an adult who has not agreed herself",
)
ADULT_AT = 18
CODES = {"爱人": "spouse", "父亲": "father", "母亲": "mother", "子女": "child", "孙辈": "grandchild", "其他": "other"}
_WORDS = {code: word for word, code in CODES.items()}
_CODE = re.compile(r"(?:[2-9A-HJKMNP-Z]{4}[\s\-—]*){3}")
_MAY_BE_MINORS = ("子女", "孙辈", "其他")
# How a family member is called whose relation is this, in words.
_CALLED = {
    "子女": "女儿|儿子|闺女|姑娘|孩子|小子",
    "爱人": "爱人|老伴|老公|老婆|丈夫|妻子|老头|媳妇",
    "父母": "爸|妈|父亲|母亲|爹|娘",
    "父亲": "爸|父亲|爹",
    "母亲": "妈|母亲|娘",
    "祖辈": "爷爷|奶奶|外公|外婆|姥",
    "孙辈": "孙|外孙",
}


async def run(scene: Scene) -> AsyncIterator[Event]:
    kind = scene.kind or ("invitation" if scene.answers("invitation_code") else scene.wish.intent)
    if scene.answers("withdraw_sure") and not scene.action:
        kind = "withdraw_consent"
    match kind:
        case "person_form":
            events = fill(scene, str(scene.action.get("relation", "self")))
        case "card_saved":
            events = saved(scene)
        case "invite":
            events = invite(scene, str(scene.action.get("relation", "")))
        case "invitation":
            events = invitation(scene)
        case "accept_invitation" | "decline_invitation":
            events = answer(scene, accept=kind == "accept_invitation")
        case "withdraw_consent":
            events = withdraw(scene)
        case "renew_consent":
            events = renew(scene)
        case _:
            person = scene.understood.person
            if relation := _WORDS.get(str(scene.action.get("relation", ""))):
                person = Person(relation, relation)
            events = begin(scene, person)
    async for event in events:
        yield event


def form(card: CardView, *, then: dict[str, Any] | None = None, held_until: datetime | None = None) -> ShowCard:
    """A card to be filled; ``then``: what goes on when it is saved."""
    shown = as_card(card) | {"held_until": as_card(held_until) if held_until else "", "then": then}
    return ShowCard("person_form", shown)


# --- adding -------------------------------------------------------------------------------------------------


async def begin(scene: Scene, person: Person | None, more: tuple[Option, ...] = ()) -> AsyncIterator[Event]:
    """How this person is added: a minor by her parents at once, an adult by agreeing."""
    if person is None or person.relation == "本人":
        own = re.search(r"实名|我(?:自己|本人)?的(?:信息|卡)", scene.understood.text) or person is not None
        if own:
            async for event in fill(scene, "self"):
                yield event
            return
        yield Say(CONTRACT.asks["person"])
        options = (Option(word, "", {"kind": "add_person", "relation": code}) for word, code in CODES.items())
        yield scene.ask("next", tuple(options))
        return
    code = CODES.get(person.relation, "other")
    may_be_minor = person.relation in _MAY_BE_MINORS
    adult = Option(
        f"邀请{person.word}" if not may_be_minor else "满18岁,发邀请", "", {"kind": "invite", "relation": code}
    )
    minor = Option("未满18岁,我来填", "", {"kind": "person_form", "relation": code})
    if may_be_minor and person.age_years is None:
        yield Say(f"{person.word}满18岁了吗?没满18岁的由父母或监护人填写,满了的要本人同意。")
        yield scene.ask("next", (minor, adult, *more[:1]))
    elif may_be_minor and person.age_years is not None and person.age_years < ADULT_AT:
        yield Say(f"{person.word}没满18岁,由您作为父母或监护人填写就行。")
        yield scene.ask("next", (minor, *more))
    else:
        yield Say(
            f"替{person.word}办,要{person.word}自己同意。我给您一个邀请码,请转给{person.word},在自己的手机上点同意就行。"
        )
        yield scene.ask("next", (adult, *more))


async def fill(scene: Scene, relation: str) -> AsyncIterator[Event]:
    """An empty form for a minor, or her own card."""
    if relation in ("child", "grandchild", "other"):
        yield Say("请填孩子的信息。您填写,就是确认您是孩子的父母或监护人。")
        yield form(CardView("", "", relation, complete=False, mine=True, version=0))
        return
    yield Say("请照证件填写,填好点保存。")
    yield form(await _own(scene))


async def _own(scene: Scene) -> CardView:
    herself = next(p for p in await scene.port.people() if p.relation == "本人")
    return await scene.port.for_patient(herself.patient_id).card()


async def saved(scene: Scene) -> AsyncIterator[Event]:
    yield Say("好了,记下了。")
    yield SwitchPatient(scene.patient.id, scene.patient.name)  # the name she has now
    yield await people_card(scene)
    async for event in scene.next_events(None):
        yield event


# --- consent ------------------------------------------------------------------------------------------------


async def invite(scene: Scene, relation: str) -> AsyncIterator[Event]:
    own = await _own(scene)
    if not own.complete:
        yield Say("请先填好您自己的实名信息,家人才知道是谁在请求。填好我就给您邀请码。")
        yield form(own, then={"kind": "invite", "relation": relation})
        return
    made = await scene.port.invite(relation)
    yield ShowCard("invitation", as_card(made))
    yield Say("邀请码在卡片上,请转给家人。家人在自己的手机上打开健康伴行,填上邀请码,点同意就行。")
    yield Say("邀请码三天内有效,只能用一次。没有手机的老人,现在还不能这样办,请到医院窗口挂号。")


async def invitation(scene: Scene) -> AsyncIterator[Event]:
    """Who asks for what, before she says yes or no."""
    text = str(scene.action.get("code", "")) or scene.understood.text
    found = _CODE.search(text.upper())
    if found is None:
        yield Say(CONTRACT.asks["invitation_code"])
        yield scene.ask("invitation_code")
        return
    asked = await scene.port.invitation(found.group())
    yield ShowCard("consent", as_card(asked))
    yield Say(f"{asked.name}说是您的{asked.relation},想替您挂号、取号、缴费、看报告和用药。")
    yield Say("同意了,一年内有效,您随时可以撤回。同意吗?")


async def answer(scene: Scene, *, accept: bool) -> AsyncIterator[Event]:
    code = str(scene.action.get("code", ""))
    if accept:
        own = await _own(scene)
        if not own.complete:
            yield Say("请先填好您自己的实名信息,填好就接着办。")
            yield form(own, then={"kind": "accept_invitation", "code": code})
            return
    agent = await scene.port.answer_invitation(code, accept=accept)
    if agent is None:
        yield Say("好的,没有同意。这个邀请码不能再用了。")
    else:
        yield Say(f"好了,{agent.name}现在可以替您办了。不想让{agent.name}办了,跟我说一声就行。")
    yield await people_card(scene)


async def withdraw(scene: Scene) -> AsyncIterator[Event]:
    """End a consent, after asking once which and whether."""
    agents = await scene.port.agents()
    acted_for = [p for p in await scene.port.people() if p.consent_id is not None]
    both: tuple[AgentView | PersonView, ...] = (*agents, *acted_for)
    wanted = scene.action.get("consent_id", scene.expecting.get("consent_id"))
    if scene.answers("withdraw_sure") and scene.understood.answer == "no":
        yield Say("好的,不变。")
        return
    chosen = [one for one in both if one.consent_id == wanted]
    sure = bool(chosen) and (bool(scene.action.get("sure")) or scene.understood.answer == "yes")
    if not chosen:
        text = scene.understood.text
        chosen = [one for one in both if _means(text, one)] or list(both)
    if not chosen:
        yield Say("现在没有别人能替您办,您也没有替成年家人办。")
        return
    if len(chosen) > 1:
        yield await people_card(scene)
        yield Say("要结束哪一位的代办?请点卡片上的按钮。")
        return
    (one,) = chosen
    if not sure:
        mine = isinstance(one, AgentView)
        yield Say(f"以后不让{one.name}替您办了,对吗?" if mine else f"以后您不再替{one.name}办了,对吗?")
        options = (Option("对,结束", "是的"), Option("先不", "不用了"))
        yield scene.ask("withdraw_sure", options, consent_id=one.consent_id)
        return
    assert one.consent_id is not None
    await scene.port.withdraw_consent(one.consent_id)
    if isinstance(one, AgentView):
        yield Say(f"好了,{one.name}从现在起不能再替您办,也看不到您的信息了。")
    else:
        yield Say(f"好了,您从现在起不再替{one.name}办了。")
        if one.patient_id == scene.patient.id:
            herself = next(p for p in await scene.port.people() if p.relation == "本人")
            yield scene.about(herself)
    yield await people_card(scene)


def _means(text: str, one: AgentView | PersonView) -> bool:
    called = _CALLED.get(one.relation, "")
    return (bool(one.name) and one.name in text) or (bool(called) and re.search(called, text) is not None)


async def renew(scene: Scene) -> AsyncIterator[Event]:
    wanted = scene.action.get("consent_id")
    until = await scene.port.renew_consent(wanted if isinstance(wanted, int) else 0)
    yield Say(f"好了,续到{until.year}年{until.month}月{until.day}日。" if until else "好了。")
    yield await people_card(scene)
