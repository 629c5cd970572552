"""Who looked at a resident's data or changed them: what the audit log knows of her and of those she acts for, in her words."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from companion.exceptions import NotAllowed
from companion.models import FamilyLink
from companion.visits import may_act_for
from hospitals import audit
from hospitals.models import Hospital

MOST = 100
_BY = {"resident": "您", "hospital": "医院", "commission": "卫生健康委工作人员", "service": "本服务"}
_DID = {
    "appointment.book": "预约",
    "appointment.cancel": "取消预约",
    "appointment.check_in": "取号",
    "appointment.pay": "缴费",
    "staff.look": "查看了记录",
    "erased": "删除了信息",
}


@dataclass(frozen=True, slots=True)
class Look:
    """``by``: resident | hospital | commission | service; accounts and people of theirs are not named."""

    at: datetime
    by: str
    hospital: str
    action: str
    why: str


def who(look: Look) -> str:
    return f"{look.hospital}" if look.by == "hospital" and look.hospital else _BY.get(look.by, _BY["service"])


def what(look: Look) -> str:
    """In words; with the hospital's name where somebody else did it there."""
    did = _DID.get(look.action, "处理了信息")
    return f"{did}({look.hospital})" if look.hospital and look.by != "hospital" else did


def about_her(resident_id: UUID) -> list[Look]:
    """Newest first: hers, and of each person whose consent holds now."""
    subjects = {resident_id}
    for link in FamilyLink.objects.filter(resident_id=resident_id):
        try:
            subjects.add(may_act_for(resident_id, link.patient_id).id)
        except NotAllowed:
            continue
    rows = [row for subject in subjects for row in audit.about(subject, limit=MOST)]
    rows = sorted(rows, key=lambda row: row.at, reverse=True)[:MOST]
    names = dict(Hospital.objects.filter(id__in={row.hospital_id for row in rows}).values_list("id", "name"))
    return [
        Look(row.at, row.actor_kind, names.get(row.hospital_id, "") if row.hospital_id else "", row.action, row.why)
        for row in rows
    ]
