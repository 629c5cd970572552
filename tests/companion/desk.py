"""A visit port in memory that behaves as the real one: slots sell out, numbers move, bills are paid once."""

from dataclasses import replace
from datetime import date, timedelta

from companion.exceptions import CompanionError, NotFound, NotNow
from companion.ports.booking import HospitalNews, OfferQuery, SlotTaken, VisitView
from companion.ports.encounter import JourneyStepView, MedicinesView, NextView, QueueView
from companion.ports.help import EmergencyPlaceView, HumanView
from companion.ports.people import AgentView, CardView, InLineView, InvitationView, LineView
from companion.ports.wayfinding import RouteStepView, RouteView
from companion.reminders import times_of_day
from tests.companion.world import DOCTORS, HOSPITALS, NOW, PEOPLE, PLACES, World

_BEFORE = ("booked", "reminded", "arrived")
_DOOR = ("checked_in", "waiting", "called", "missed")


class Desk:
    """The port of one patient."""

    def __init__(self, world: World | None = None, patient_id: str = "p1") -> None:
        self.world = world or World()
        self.patient_id = patient_id

    def for_patient(self, patient_id: str) -> "Desk":
        return Desk(self.world, patient_id)

    def _mine(self) -> list[VisitView]:
        mine = [v for v in self.world.visits.values() if self.world.owner[v.visit_id] == self.patient_id]
        return sorted(mine, key=lambda v: v.start)

    async def hospitals(self):
        self.world.calls.append("hospitals")
        return HOSPITALS

    async def practitioners(self, surname):
        self.world.calls.append("practitioners")
        return tuple(d for d in DOCTORS if d.startswith(surname))

    async def offers(self, query: OfferQuery):
        self.world.calls.append("offers")
        found = [
            s
            for s in self.world.slots.values()
            if s.free > 0
            and (not query.departments or s.department in query.departments)
            and (not query.hospital_id or s.hospital_id == query.hospital_id)
            and (not query.practitioner or s.practitioner.startswith(query.practitioner))
            and (query.window is None or query.window.start <= s.start < query.window.end)
        ]
        found.sort(key=lambda s: (s.hospital_id, s.start))
        return tuple(found[: query.limit])

    async def offer(self, slot_id):
        self.world.calls.append("offer")
        slot = self.world.slots.get(slot_id)
        return slot if slot and slot.free else None

    async def book(self, *, slot_id, key):
        self.world.calls.append("book")
        if key in self.world.done:
            return self.world.done[key]
        if self.patient_id in self.world.incomplete:
            raise NotNow("挂号要实名。", code="card_incomplete")
        slot = self.world.slots[slot_id]
        if slot.free < 1:
            raise SlotTaken
        self.world.slots[slot_id] = replace(slot, free=slot.free - 1)
        visit_id = f"v{len(self.world.visits) + 1}"
        name = next(p.name for p in PEOPLE if p.patient_id == self.patient_id)
        made = VisitView(
            visit_id=visit_id,
            hospital_id=slot.hospital_id,
            hospital=slot.hospital,
            department=slot.department,
            start=slot.start,
            patient=name,
            status="booked",
            practitioner=slot.practitioner,
            place="7号楼1楼B区",
            room_code="7-1-B-01",
            can_cancel=True,
        )
        self.world.visits[visit_id] = made
        self.world.owner[visit_id] = self.patient_id
        self.world.done[key] = made
        return made

    async def cancel(self, *, visit_id, reason, key):
        self.world.calls.append("cancel")
        made = replace(self.world.visits[visit_id], status="cancelled", can_cancel=False)
        self.world.visits[visit_id] = made
        return made

    async def current(self):
        self.world.calls.append("current")
        return next((v for v in self._mine() if v.status not in ("cancelled",)), None)

    async def upcoming(self):
        self.world.calls.append("upcoming")
        return tuple(v for v in self._mine() if v.status not in ("cancelled", "closed", "follow_up"))

    async def check_in(self, *, visit_id, key):
        self.world.calls.append("check_in")
        visit = self.world.visits[visit_id]
        if visit.status not in _BEFORE:
            raise NotNow
        if self.world.slow_hospital:
            return None
        seen = QueueView(
            "70", 4, "66", "7号楼1楼B区", "眼科检查一区", NOW.isoformat(), "7-1-B-01", 15, 25, status="waiting"
        )
        self.world.visits[visit_id] = replace(visit, status="waiting", can_cancel=False)
        self.world.queues[visit_id] = seen
        return seen

    async def queue(self, visit_id):
        self.world.calls.append("queue")
        return self.world.queues.get(visit_id)

    async def invoices(self, visit_id):
        self.world.calls.append("invoices")
        return tuple(self.world.invoices.get(visit_id, ()))

    async def pay(self, *, visit_id, invoice_id, key):
        self.world.calls.append("pay")
        bills = self.world.invoices[visit_id]
        if self.world.pays_by:
            return replace(next(b for b in bills if b.id == invoice_id), **self.world.pays_by)
        status = "sent" if self.world.slow_hospital else "paid"
        self.world.invoices[visit_id] = [replace(b, status=status) if b.id == invoice_id else b for b in bills]
        return next(b for b in self.world.invoices[visit_id] if b.id == invoice_id)

    async def examinations(self, visit_id):
        self.world.calls.append("examinations")
        return tuple(self.world.examinations.get(visit_id, ()))

    async def reports(self, visit_id):
        self.world.calls.append("reports")
        return tuple(self.world.reports.get(visit_id, ()))

    async def report_read(self, *, visit_id, report_id):
        self.world.calls.append("report_read")
        self.world.reports[visit_id] = [replace(r, status="read") for r in self.world.reports[visit_id]]

    async def medicines(self, visit_id):
        self.world.calls.append("medicines")
        return self.world.medicines.get(visit_id, MedicinesView())

    async def travel_told(self, *, visit_id, minutes, key):
        self.world.calls.append("travel_told")
        leave = self.world.visits[visit_id].start - timedelta(minutes=30 + minutes)
        return leave if leave > self.world.now else None

    async def remind_of_medicine(self, *, visit_id, wanted, key):
        self.world.calls.append("remind_of_medicine")
        sheet = self.world.medicines.get(visit_id, MedicinesView())
        self.world.medicines[visit_id] = replace(sheet, reminding=wanted)
        return tuple((m.name, times_of_day(m.dosage)) for m in sheet.medicines)

    async def follow_up(self, visit_id):
        self.world.calls.append("follow_up")
        return self.world.follow_ups.get(visit_id)

    async def progress(self, visit_id):
        self.world.calls.append("progress")
        return (JourneyStepView("预约", "done"), JourneyStepView("看诊", "now"), JourneyStepView("取药", "next"))

    async def next_step(self, visit_id):
        self.world.calls.append("next_step")
        if visit_id is None:
            return NextView("您可以告诉我哪里不舒服,我帮您找科室、挂号。", name="start")
        visit = self.world.visits[visit_id]
        if visit.status in _BEFORE:
            return NextView("下一步:就诊当天到医院后取号。", "怎么走", "怎么走", "booked", visit.room_code)
        if visit.status in _DOOR:
            return NextView("下一步:在候诊区等叫号。", "我排到哪了", "我排到哪了", "waiting", visit.room_code)
        if any(b.status == "issued" for b in self.world.invoices.get(visit_id, ())):
            return NextView("下一步:缴费,在手机上就能付。", "去缴费", "缴费", "pay")
        exam = next((e for e in self.world.examinations.get(visit_id, ()) if e.status == "ordered"), None)
        if exam:
            words = f"下一步:去做{exam.name},在{exam.place}{exam.room}。"
            return NextView(words, "怎么走", "检查室怎么走", "examination", exam.room_code)
        if any(r.status == "issued" for r in self.world.reports.get(visit_id, ())):
            return NextView("下一步:看报告。", "看报告", "看报告", "read_report")
        if self.world.medicines.get(visit_id):
            return NextView("下一步:去7号楼1楼药房取药。", "药房怎么走", "药房怎么走", "collect_medicine", "7-1-A-09")
        return NextView("下一步:回家好好休息。", "药怎么用", "药怎么用", "home")

    async def starts(self, visit_id):
        self.world.calls.append("starts")
        return tuple(p for p in PLACES if p.kind == "entrance")

    async def find_place(self, visit_id, text):
        self.world.calls.append("find_place")
        aliases = {
            "厕所": "2-1-A-05",
            "洗手间": "2-1-A-05",
            "抽血": "2-1-A-03",
            "南门": "E-S",
            "北门": "E-N",
            "检查室": "7-1-B-01",
        }
        code = next((c for word, c in aliases.items() if word in text), "")
        return next((p for p in PLACES if p.code in (code, text) or p.name in text), None)

    async def scanned(self, visit_id, code):
        self.world.calls.append("scanned")
        hospital, _dot, place = code.partition(".")
        if hospital != self.world.visits[visit_id].hospital_id:
            raise CompanionError("这个码不是您这次就诊的医院的。", code="other_hospital")
        return next(p for p in PLACES if p.code == place)

    async def route(self, *, visit_id, start, goal, lift_only, covered=False):
        self.world.calls.append("route")
        if start == "E-SHUT":
            raise CompanionError("东门20:00后关闭,现在没有别的路可走。", code="no_route")
        up = "坐3号电梯" if lift_only else "走楼梯"
        steps = (RouteStepView("从入口直走50米"), RouteStepView(f"{up}到1楼"), RouteStepView("左转20米就到"))
        name = next((p.name for p in PLACES if p.code == goal), "检查室")
        open_m = 8.0 if covered else 60.0
        notice = "1号电梯22:00后停运,改走3号电梯。" if lift_only and self.world.late else ""
        return RouteView(
            steps, start, goal, name, 120.0, 3, lift_only, covered=covered, uncovered_m=open_m, notice=notice
        )

    async def people(self):
        self.world.calls.append("people")
        return tuple(replace(p, current=p.patient_id == self.patient_id) for p in self.world.people)

    async def card(self):
        self.world.calls.append("card")
        person = next(p for p in self.world.people if p.patient_id == self.patient_id)
        relation = {"本人": "self", "爱人": "spouse"}.get(person.relation, "other")
        complete = self.patient_id not in self.world.incomplete
        return CardView(self.patient_id, person.name, relation, complete, person.mine, 1)

    async def agents(self):
        self.world.calls.append("agents")
        return tuple(self.world.agents)

    async def invite(self, relation):
        self.world.calls.append("invite")
        return InvitationView("ABCD-EFGH-JKMN", relation, self.world.now + timedelta(hours=72))

    async def invitation(self, code):
        self.world.calls.append("invitation")
        if code not in self.world.asked:
            raise NotFound("这个邀请码不对。")
        return self.world.asked[code]

    async def answer_invitation(self, code, *, accept):
        self.world.calls.append("answer_invitation")
        asked = self.world.asked.pop(code)
        if accept:
            self.world.agents.append(AgentView(7, asked.name, asked.relation, asked.consent_until))
        return self.world.agents[-1] if accept else None

    async def withdraw_consent(self, consent_id):
        self.world.calls.append("withdraw_consent")
        self.world.agents = [a for a in self.world.agents if a.consent_id != consent_id]
        self.world.people = [p for p in self.world.people if p.consent_id != consent_id]

    async def renew_consent(self, consent_id):
        self.world.calls.append("renew_consent")
        return self.world.now + timedelta(days=365)

    async def sign_ins(self):
        self.world.calls.append("sign_ins")
        return tuple(self.world.sign_ins)

    async def end_sign_in(self, session):
        self.world.calls.append("end_sign_in")
        self.world.sign_ins = [one for one in self.world.sign_ins if one.session != session]

    async def end_other_sign_ins(self):
        self.world.calls.append("end_other_sign_ins")
        before = len(self.world.sign_ins)
        self.world.sign_ins = [one for one in self.world.sign_ins if one.current]
        return before - len(self.world.sign_ins)

    async def lines(self, *, departments, start, end, hospital_id="", practitioner=""):
        self.world.calls.append("lines")
        full: dict[tuple[str, str], int] = {}
        for s in self.world.slots.values():
            if s.department in departments and hospital_id in ("", s.hospital_id) and start <= s.start < end:
                key = (s.hospital, s.department)
                full[key] = max(full.get(key, 0), s.free)
        return tuple(
            LineView(f"{hospital}/{department}", hospital, department, start.date(), end.date())
            for (hospital, department), most in full.items()
            if most == 0
        )

    async def wait(self, line):
        self.world.calls.append("wait")
        days = [date.fromisoformat(line[name]) for name in ("first_day", "last_day")]
        made = InLineView(f"w{len(self.world.waiting) + 1}", line["hospital"], line["department"], *days, place=3)
        self.world.waiting.append(made)
        return made

    async def waiting(self):
        self.world.calls.append("waiting")
        return tuple(self.world.waiting)

    async def leave_line(self, entry_id):
        self.world.calls.append("leave_line")
        self.world.waiting = [one for one in self.world.waiting if one.entry_id != entry_id]

    async def hold(self, slot_id):
        self.world.calls.append("hold")
        return self.world.now + timedelta(minutes=10)

    async def news(self, hospital_id):
        self.world.calls.append("news")
        named = next(h for h in HOSPITALS if h.hospital_id == hospital_id)
        return self.world.news.get(hospital_id, HospitalNews(named.name))

    async def looks(self):
        self.world.calls.append("looks")
        return self.world.looks

    async def request_human(self):
        self.world.calls.append("request_human")
        return HumanView("0990-12320", "每天 8:00 到 20:00", 1)

    async def report_incident(self, kind, codes):
        self.world.calls.append("report_incident")
        self.world.incidents.append((kind, tuple(codes)))

    async def nearest_emergency(self):
        self.world.calls.append("nearest_emergency")
        return (EmergencyPlaceView("岚州市第一人民医院", "0990-1200120", "岚州市"),)
