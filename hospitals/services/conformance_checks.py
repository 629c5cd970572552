"""What a conformance run has seen, and how each of its points is decided from that: passed, failed, or not yet. No rows are written."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from django.utils import timezone

from hospitals.connectors.base import EventType, Examination, HospitalEvent, Invoice, QueuePosition, Reference
from hospitals.exceptions import AddressRefused, HospitalsError
from hospitals.models import Department, IndoorMap, Practitioner, Slot
from hospitals.services import maps

E = EventType
ATTEMPTS = 3
ANSWER_MS = 10_000
CLOCK_S = 300
# Why a command could not even be sent, and what to do about it: nothing that trying again would mend.
_SETTINGS = "运行 python manage.py connector 查看原因,对照 docs/connectors.md 改好设置。"
BROKEN = {
    "connector_unknown": f"这家医院的对接方式还没有配置:请运维人员{_SETTINGS}",
    "connector_misconfigured": f"对接的设置有误:请运维人员{_SETTINGS}",
    "connectors_unreadable": f"对接的设置读不出来:请运维人员{_SETTINGS}",
    "address_refused": "对接地址不能使用:请用公网 HTTPS 地址;内网地址请运维人员写进对接设置的 networks。",
    "connector_failed": "对接程序自己出错了:请把这次测试的编号交给运维人员,查日志里的 connector_failed。",
}
# Nobody was there: the hospital's system had no chance to be right or wrong.
UNREACHED = {
    "no_connection": "连不上本院的系统:请检查登记的地址、端口、证书和防火墙,试发(ping)成功后再测。",
    "sign_in_failed": "换不到本院系统的令牌:请检查登记的公钥和 token_url。",
    **AddressRefused.why,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the hospital said to a command. ``accepted`` None: it did not say; then ``error`` names why.

    ``final``: the command could not be sent, and trying again would not help.
    """

    accepted: bool | None
    reference: str
    error: str
    took_ms: int
    attempts: int = 1
    final: bool = False

    @property
    def settled(self) -> bool:
        """Whether it is not sent again."""
        return not self.error or self.final or self.attempts >= ATTEMPTS

    @property
    def lost(self) -> bool:
        """Whether it never reached the hospital's system, which is then neither right nor wrong."""
        return self.final or (self.settled and self.error in UNREACHED)


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a run has seen: answers by name, the events of both test appointments in the hospital's order."""

    hospital_id: UUID
    answers: dict[str, Answer]
    visit: list[HospitalEvent]
    second: list[HospitalEvent]
    clocks_off: int
    dead: int

    def settled(self, name: str) -> bool:
        """Whether this command has its answer, or will get none."""
        return name in self.answers and self.answers[name].settled

    def told(self, name: str) -> Answer | None:
        """What the hospital said to this command, or its settled silence; None while, or where, it was never reached."""
        answer = self.answers.get(name)
        return answer if answer and answer.settled and not answer.lost else None

    def of(self, kind: EventType, *, second: bool = False) -> list[HospitalEvent]:
        return [event for event in (self.second if second else self.visit) if event.type is kind]

    def came(self, kind: EventType, *, second: bool = False) -> bool:
        return bool(self.of(kind, second=second))


Verdict = bool | None  # None: not decided yet


def accepted(name: str, *, first: str = "") -> Callable[[Facts], Verdict]:
    """A yes. ``first``: the command that this one repeats; where that was refused there is nothing to repeat."""

    def check(facts: Facts) -> Verdict:
        before, answer = facts.told(first or name), facts.told(name)
        if answer is None or before is None or (first and not before.accepted):
            return None
        return answer.accepted is True

    return check


def refused(name: str) -> Callable[[Facts], Verdict]:
    """A plain no: neither a yes nor silence."""

    def check(facts: Facts) -> Verdict:
        answer = facts.told(name)
        return answer.accepted is False if answer else None

    return check


def delivered(facts: Facts) -> Verdict:
    if any(answer.lost for answer in facts.answers.values()):
        return False
    return True if facts.told("book") else None


def came(kind: EventType, *, second: bool = False) -> Callable[[Facts], Verdict]:
    return lambda facts: True if facts.came(kind, second=second) else None


def same(first: str, again: str, kind: EventType) -> Callable[[Facts], Verdict]:
    """The same key a second time: the same reference, and one thing happened."""

    def check(facts: Facts) -> Verdict:
        one, two = facts.told(first), facts.told(again)
        if one is None or two is None or not one.accepted:
            return None
        if not (two.accepted and one.reference == two.reference):
            return False
        return len(facts.of(kind)) == 1 if facts.came(E.VISIT_CLOSED) or len(facts.of(kind)) > 1 else None

    return check


def directory(facts: Facts) -> Verdict:
    mine = {"hospital_id": facts.hospital_id}
    return (
        Department.objects.filter(**mine, withdrawn_at=None).exists()
        and Practitioner.objects.filter(**mine, withdrawn_at=None).exists()
        and Slot.objects.filter(**mine, stopped=False, start__gt=timezone.now()).exists()
    )


def ticket(facts: Facts) -> Verdict:
    found = facts.of(E.ENCOUNTER_CHECKED_IN)
    return all(isinstance(e.data, QueuePosition) and bool(e.data.ticket) for e in found) if found else None


def one_ticket(facts: Facts) -> Verdict:
    again = facts.told("check_in_again")
    given = {e.data.ticket for e in facts.of(E.ENCOUNTER_CHECKED_IN) if isinstance(e.data, QueuePosition)}
    if again is None or not given or not facts.came(E.ENCOUNTER_CALLED):
        return None
    return again.accepted is True and len(given) == 1


def _bills(facts: Facts) -> list[str]:
    return [e.data.id for e in facts.of(E.INVOICE_ISSUED) if isinstance(e.data, Invoice)]


def pay_accepted(facts: Facts) -> Verdict:
    return _all_accepted(facts, "pay")


def _all_accepted(facts: Facts, name: str) -> Verdict:
    answers = [facts.told(f"{name}:{bill}") for bill in _bills(facts)]
    return all(a.accepted for a in answers if a) if answers and None not in answers else None


def _payments(facts: Facts) -> list[str]:
    return [e.data.id for e in facts.of(E.INVOICE_PAID) if isinstance(e.data, Reference)]


def all_paid(facts: Facts) -> Verdict:
    bills = _bills(facts)
    return True if bills and set(bills) <= set(_payments(facts)) else None


def paid_once(facts: Facts) -> Verdict:
    paid, again = _payments(facts), _all_accepted(facts, "pay_again")
    if len(set(paid)) < len(paid):
        return False
    return again if pay_accepted(facts) and (again is False or all_paid(facts)) else None


def order(facts: Facts) -> Verdict:
    if not facts.came(E.VISIT_CLOSED):
        return None
    for events in (facts.visit, facts.second):
        numbers = [event.sequence for event in events]
        if len(set(numbers)) != len(numbers):
            return False
    way = (E.APPOINTMENT_BOOKED, E.ENCOUNTER_CHECKED_IN, E.ENCOUNTER_CALLED, E.ENCOUNTER_FINISHED, E.VISIT_CLOSED)
    firsts = [min(e.sequence for e in facts.of(kind)) for kind in way if facts.came(kind)]
    return firsts == sorted(firsts)


def rooms(facts: Facts) -> Verdict:
    if not facts.came(E.VISIT_CLOSED):
        return None
    if not IndoorMap.objects.filter(hospital_id=facts.hospital_id).exists():
        return True
    codes = {e.data.room_code for e in facts.visit if isinstance(e.data, QueuePosition | Examination)}
    return all(_on_map(facts.hospital_id, code) for code in codes if code)


def _on_map(hospital_id: UUID, code: str) -> bool:
    try:
        found = maps.find_place(hospital_id=hospital_id, text=code)
    except HospitalsError:
        return False
    return found is not None and found.code == code


def in_time(facts: Facts) -> Verdict:
    """What is never answered fails its own point; the second booking has none."""
    second = facts.told("book_second")
    if any(answer.took_ms > ANSWER_MS for answer in facts.answers.values() if not answer.error):
        return False
    if second is not None and second.error:
        return False
    return True if facts.came(E.VISIT_CLOSED) else None
