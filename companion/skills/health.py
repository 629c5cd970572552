"""Health questions, answered from the knowledge base with its sources, or with an honest 「我不确定」."""

from collections.abc import AsyncIterator

from companion import knowledge
from companion.events import Event, Option, Say, ShowCard
from companion.skills.scene import Contract, Scene

CONTRACT = Contract(
    name="health",
    intents=("health_question",),
    needs=("question",),
    does=("next_step",),
    says="an answer composed from reviewed passages, each with its source; below a confidence, that it does not know",
)
NOT_SURE = "这个我不确定,不敢乱说。"


async def run(scene: Scene) -> AsyncIterator[Event]:
    async for event in answer_from_knowledge(scene, topic=_topic(scene)):
        yield event


def _topic(scene: Scene) -> str:
    """What 「它」 or an unfinished question is about: the last thing named."""
    text = scene.wish.text
    leans = any(word in text for word in ("它", "这个", "那个", "这病", "这药", "这种")) or len(text) <= 8
    return scene.memory.topic if leans else ""


async def answer_from_knowledge(scene: Scene, topic: str = "") -> AsyncIterator[Event]:
    """Ask the knowledge base; ``topic`` is what a question means that does not name its subject."""
    question = scene.understood.text if scene.understood.text else scene.wish.text
    answer = knowledge.ask(
        question, context=topic or None, age_years=scene.patient.age_years, sex=scene.patient.sex or None
    )
    if answer is None:
        yield Say(NOT_SURE)
        yield Say("您可以问医生,或者我帮您转人工。")
        yield scene.ask("next", (Option("转人工", "转人工"), Option("帮我挂号", "帮我挂号")))
        return
    scene.memory.topic = answer.passages[0].title if answer.passages else ""
    sources = tuple(dict.fromkeys(p.source for p in answer.passages))
    yield Say(answer.text, sources=sources)
    passages = [{"id": p.id, "title": p.title, "text": p.text, "source": p.source} for p in answer.passages]
    yield ShowCard("answer", {"title": passages[0]["title"] if passages else "", "passages": passages})
