"""For whom: switches to a family member she may act for, and says so when there is none like that."""

from collections.abc import AsyncIterator

from companion.events import Event, Option, Say, ShowCard
from companion.ports import as_card
from companion.ports.people import PersonView
from companion.skills.scene import Contract, Scene
from companion.understanding import Person

CONTRACT = Contract(
    name="people",
    intents=("switch_person",),
    actions=("switch_patient",),
    expects=("person",),
    needs=("person",),
    asks={"person": "您要为谁办?"},
    does=("people", "agents", "next_step"),
    says="whom everything is about from now on; never somebody without consent",
)
_CHILDREN = frozenset(
    {"宝宝", "小孩", "小孩儿", "孩子", "小朋友", "娃", "娃娃", "小家伙", "毛毛", "细佬", "伢", "伢儿"}
)


async def run(scene: Scene) -> AsyncIterator[Event]:
    people = await scene.port.people()
    chosen = [p for p in people if p.patient_id == scene.action.get("patient_id")]
    if not chosen and not scene.action:
        chosen = list(match(scene.understood.person, people)) if scene.understood.person else []
        chosen = chosen or [p for p in people if p.name and p.name in scene.understood.text]
        choice = scene.understood.slots.choice
        if not chosen and choice and 0 < choice <= len(people):
            chosen = [people[choice - 1]]
    if len(chosen) != 1:
        if scene.understood.person and not chosen and not scene.action:
            yield Say(f"我这里还没有您{scene.understood.person.word}的信息。要先添加这位家人,并得到同意。")
        yield await people_card(scene)
        yield Say(CONTRACT.asks["person"])
        options = tuple(
            Option(f"{p.name}({p.relation})", "", {"kind": "switch_patient", "patient_id": p.patient_id})
            for p in people
        )
        yield scene.ask("person", options[:5])
        return
    person = chosen[0]
    if person.patient_id == scene.patient.id:
        scene.memory.person = {}
        yield Say(f"现在就是在为{person.name}办理。")
    else:
        yield scene.about(person)
        yield Say(f"好的,现在为{person.name}办理。")
    visit = await scene.port.current()
    async for event in scene.next_events(visit.visit_id if visit else None):
        yield event


async def people_card(scene: Scene) -> ShowCard:
    """For whom she may act, and who may act for her."""
    people, agents = await scene.port.people(), await scene.port.agents()
    return ShowCard("people", {"people": as_card(people), "agents": as_card(agents)})


def match(person: Person | None, people: tuple[PersonView, ...]) -> tuple[PersonView, ...]:
    """Those of the family list that the word can mean; a child's word also means a grandchild when there is only that."""
    if person is None:
        return ()
    found = [p for p in people if p.relation == person.relation]
    if not found and person.word in _CHILDREN | {"儿子", "女儿", "闺女"}:
        found = [p for p in people if p.relation == "孙辈" and person.word in _CHILDREN]
    if person.sex:
        found = [p for p in found if p.sex in ("", person.sex)]
    return tuple(found)
