"""Reports explained line by line, what is marked first; panic values go to the doctor unexplained."""

from collections.abc import AsyncIterator

from companion.events import Event, Say, ShowCard
from companion.ports import as_card
from companion.ports.encounter import ReportLineView, ReportView
from companion.skills.scene import Contract, Scene, no_visit

CONTRACT = Contract(
    name="report",
    intents=("report",),
    actions=("report",),
    needs=("visit",),
    does=("current", "upcoming", "reports", "report_read", "examinations", "next_step"),
    says="every marked line with what it means and its source, then how many are normal; never a diagnosis",
)
_MARKS = {"high": "偏高", "low": "偏低", "abnormal": "异常"}


async def run(scene: Scene) -> AsyncIterator[Event]:
    visit = await scene.visit()
    if visit is None:
        async for event in no_visit(scene):
            yield event
        return
    found = await scene.port.reports(visit.visit_id)
    if not found:
        waiting = [e for e in await scene.port.examinations(visit.visit_id) if e.status in ("ordered", "completed")]
        if waiting and waiting[0].status == "completed":
            yield Say(f"{waiting[0].name}的报告还没有出来。一出来我马上告诉您。")
        elif waiting:
            yield Say(f"{waiting[0].name}还没有做,做完才有报告。")
        else:
            yield Say("您现在没有报告。")
        async for event in scene.next_events(visit.visit_id):
            yield event
        return
    wanted = str(scene.action.get("report_id", ""))
    chosen = [r for r in found if r.id == wanted] or [r for r in found if r.status == "issued"] or [found[-1]]
    line = _line_named(scene.understood.text, found)
    if line is not None and not wanted:
        for event in explained(line):
            yield event
        yield Say("是什么原因,要医生结合您的情况看。")
        return
    for report in chosen:
        yield ShowCard("report", {"reports": [as_card(report)]})
        for event in told(report):
            yield event
        await scene.port.report_read(visit_id=visit.visit_id, report_id=report.id)
    async for event in scene.next_events(visit.visit_id):
        yield event


def _line_named(text: str, reports: tuple[ReportView, ...]) -> ReportLineView | None:
    """The one line she asks about: 「白细胞怎么高了」."""
    for report in reports:
        for line in report.lines:
            if len(line.name) >= 2 and line.name in text:
                return line
    return None


def told(report: ReportView) -> list[Event]:
    """The words for one report."""
    if report.critical:
        return [
            Say(
                f"{report.name}出来了,里面有结果需要医生马上看。请现在就拿给医生,或者找护士站。",
                mood="concern",
                urgent=True,
            ),
            Say("这一份请让医生当面讲给您听。", mood="concern"),
        ]
    marked = [line for line in report.lines if line.mark != "normal"]
    normal = len(report.lines) - len(marked)
    words: list[Event] = []
    if marked:
        words.append(Say(f"{report.name},一共{len(report.lines)}项,有{len(marked)}项要留意。我一项一项讲。"))
        for line in marked:
            words += explained(line)
        if normal:
            words.append(Say(f"其余{normal}项都在参考范围内。"))
    elif report.lines:
        words.append(Say(f"{report.name},{len(report.lines)}项都在参考范围内。", mood="smile"))
        for line in report.lines[:3]:
            words += explained(line)
    if report.conclusion:
        words.append(Say(f"医院写的结论是:{report.conclusion.rstrip('。')}。", sources=(report.name,)))
    words.append(Say("我只帮您看懂,诊断以医生为准。"))
    return words


def explained(line: ReportLineView) -> list[Event]:
    unit = f"{line.unit}" if line.unit else ""
    mark = _MARKS.get(line.mark, "正常")
    span = f",参考范围{line.range}" if line.range else ""
    words: list[Event] = [Say(f"{line.name}{line.value}{unit},{mark}{span}。", sources=("检验报告",))]
    if line.explanation:
        words.append(Say(line.explanation.rstrip("。") + "。", sources=(line.source,) if line.source else ()))
    return words
