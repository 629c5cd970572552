"""The world of a resident in memory, which a test moves on: slots, visits and what a hospital makes of them."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from companion.ports.booking import HospitalNews, HospitalView, SlotOffer, VisitView
from companion.ports.encounter import (
    ExaminationView,
    FollowUpView,
    InvoiceLineView,
    InvoiceView,
    MedicinesView,
    MedicineView,
    QueueView,
    ReportLineView,
    ReportView,
)
from companion.ports.people import (
    AgentView,
    AskedView,
    InLineView,
    LookView,
    PersonView,
    SignInView,
)
from companion.ports.wayfinding import PlaceView

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 24, 10, 0, tzinfo=ZONE)  # a Tuesday
HOSPITALS = (
    HospitalView("h1", "岚州市第一人民医院", "三级甲等", "岚州市", ("市一医院", "市一院", "一院")),
    HospitalView("h2", "岚州市中医医院", "三级甲等", "岚州市"),
    HospitalView("h3", "岚州市妇幼保健院", "三级", "岚州市"),
    HospitalView("h4", "望川市人民医院", "二级甲等", "望川市"),
)
DEPARTMENTS = (
    "眼科 骨科 儿科 消化内科 心血管内科 神经内科 呼吸内科 内分泌科 皮肤科 口腔科 妇科 产科 普通内科 普外科 耳鼻咽喉科 泌尿外科 "
    "精神心理科 中医科 肾内科 血液内科 风湿免疫科 男科 肛肠科 乳腺外科 甲状腺外科 神经外科 心胸外科 生殖医学科 儿童保健科 肿瘤科 感染科 "
    "整形美容科 康复疼痛科 急诊科"
).split()  # fmt: skip
DOCTORS = ("王芳", "李建国", "张敏")
PEOPLE = (
    PersonView("p1", "陈玉兰", "本人", True, 65, "female"),
    PersonView("p2", "周国平", "爱人", False, 68, "male"),
    PersonView("p3", "周小禾", "孙辈", False, 4, "female"),
)
PLACES = (
    PlaceView("E-S", "门诊楼南门", "entrance"),
    PlaceView("E-N", "门诊楼北门", "entrance"),
    PlaceView("7-1-B-01", "眼科检查一区", "room"),
    PlaceView("7-1-A-09", "药房", "service"),
    PlaceView("2-1-A-03", "检验科", "service"),
    PlaceView("2-1-A-05", "卫生间", "service"),
)


@dataclass
class World:
    """All of one resident's visits; the desk of each of her patients looks at the same world."""

    now: datetime = NOW
    slots: dict[str, SlotOffer] = field(default_factory=dict)
    visits: dict[str, VisitView] = field(default_factory=dict)
    owner: dict[str, str] = field(default_factory=dict)
    queues: dict[str, QueueView] = field(default_factory=dict)
    invoices: dict[str, list[InvoiceView]] = field(default_factory=dict)
    examinations: dict[str, list[ExaminationView]] = field(default_factory=dict)
    reports: dict[str, list[ReportView]] = field(default_factory=dict)
    medicines: dict[str, MedicinesView] = field(default_factory=dict)
    follow_ups: dict[str, FollowUpView] = field(default_factory=dict)
    looks: tuple[LookView, ...] = ()
    news: dict[str, HospitalNews] = field(default_factory=dict)
    incidents: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    done: dict[str, Any] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    slow_hospital: bool = False
    pays_by: dict[str, str] = field(default_factory=dict)  # how a bill is paid at a gateway, where it is
    late: bool = False
    incomplete: set[str] = field(default_factory=set)  # patients whose card is not filled in
    agents: list[AgentView] = field(default_factory=list)
    asked: dict[str, AskedView] = field(default_factory=dict)
    sign_ins: list[SignInView] = field(default_factory=list)
    waiting: list[InLineView] = field(default_factory=list)
    people: list[PersonView] = field(default_factory=lambda: list(PEOPLE))

    def __post_init__(self) -> None:
        if not self.slots:
            self._open()

    def _open(self) -> None:
        midnight = self.now.replace(hour=0, minute=0)
        for hospital in HOSPITALS:
            for department in DEPARTMENTS:
                for day in range(14):
                    for n, hour in enumerate((8.5, 10.0, 14.0, 15.5)):
                        if hospital.hospital_id != "h1" and n % 2:
                            continue
                        start = midnight + timedelta(days=day, hours=hour)
                        if start <= self.now:
                            continue
                        slot_id = f"{hospital.hospital_id}-{department}-{start:%m%d%H%M}"
                        self.slots[slot_id] = SlotOffer(
                            slot_id=slot_id,
                            hospital_id=hospital.hospital_id,
                            hospital=hospital.name,
                            department=department,
                            start=start,
                            hospital_level=hospital.level,
                            practitioner=DOCTORS[n % 3],
                            title="主任医师" if n % 2 == 0 else "主治医师",
                            fee_fen=2000 + 1000 * n,
                            free=3,
                        )

    def consult(self, visit_id: str) -> None:
        """The doctor has seen her: a bill, an examination, a report, medicine and a follow-up, step by step below."""
        self.visits[visit_id] = replace(self.visits[visit_id], status="consulted", can_cancel=False)
        self.invoices[visit_id] = [
            InvoiceView("i1", "检查费", 12000, 8000, 4000, (InvoiceLineView("泪液分泌试验", 12000),)),
        ]
        self.examinations[visit_id] = [
            ExaminationView("e1", "泪液分泌试验", "7号楼1楼B区", "眼科检查二室", "7-1-B-02", "检查前取下隐形眼镜。"),
        ]

    def report(self, visit_id: str, *, critical: bool = False) -> None:
        self.examinations[visit_id] = [replace(e, status="reported") for e in self.examinations.get(visit_id, [])]
        lines = (
            ReportLineView(
                "左眼泪液分泌", "4", "mm", "10–30", "low", "数值低说明泪液偏少,眼睛容易干。", "眼科检查说明"
            ),
            ReportLineView("右眼泪液分泌", "12", "mm", "10–30", "normal", "在参考范围内。", "眼科检查说明"),
        )
        made = ReportView("r1", "泪液分泌试验", "2026-11-25T10:00:00+08:00", lines, "左眼泪液分泌减少")
        self.reports[visit_id] = [replace(made, lines=(), critical=True) if critical else made]

    def prescribe(self, visit_id: str) -> None:
        drops = MedicineView(
            "玻璃酸钠滴眼液",
            "每次1滴,每日4次",
            "滴眼",
            14,
            "",
            ("滴完闭眼一会儿。", "瓶口不要碰到眼睛。"),
            "药品说明书",
        )
        self.medicines[visit_id] = MedicinesView((drops,), "7号楼1楼药房", "7-1-A-09")
        self.follow_ups[visit_id] = FollowUpView("2026-12-09", "眼科", "带上这次的报告。")
