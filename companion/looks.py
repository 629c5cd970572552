"""Who looked at a resident's data or changed them: what the audit log knows of her and of those she acts for, in her words."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from companion import people
from companion.acting import acts_for
from companion.models import FamilyLink
from hospitals import audit
from hospitals.audit import Actor
from hospitals.models import AuditEvent, Hospital
from hospitals.services.waiting import InLine, PlaceOffered

MOST = 100
_BY = {
    "resident": "您",
    "unknown": "您或您的家人",
    "hospital": "医院",
    "commission": "卫生健康委工作人员",
    "service": "本服务",
}
_DID = {
    "appointment.book": "预约",
    "appointment.cancel": "取消预约",
    "appointment.check_in": "取号",
    "appointment.pay": "缴费",
    "report.read": "看了报告",
    "medicine.read": "看了用药",
    "waiting.join": "登记候补",
    "waiting.read": "看了候补",
    "waiting.leave": "退出候补",
    "card.create": "填写了实名信息",
    "card.change": "修改了实名信息",
    "card.remove": "移除了实名信息",
    "consent.ask": "请求替家人办理",
    "consent.give": "同意由家人代办",
    "consent.decline": "拒绝由家人代办",
    "consent.renew": "续了一年的代办授权",
    "consent.withdraw": "结束了代办授权",
    "staff.look": "查看了记录",
    "review.record": "评审了对话",
    "payment.refund": "把线上缴费退给您",
    "payment.refund_part": "把线上缴费的一部分退给您",
    "payment.arrived": "和医院核对了线上缴费,已入账",
    "payment.kept": "和医院核对了线上缴费,不用线上退",
    "erased": "删除了信息",
}


@dataclass(frozen=True, slots=True)
class Look:
    """``by``: resident (she herself) | family | unknown (she or her family; from before it was kept apart) | hospital |
    commission | service; accounts and people of theirs are not named. ``relation``: of family, in words, where it is known.
    """

    at: datetime
    by: str
    hospital: str
    action: str
    why: str
    relation: str = ""


def who(look: Look) -> str:
    if look.by == "family":
        return f"您的家人({look.relation})" if look.relation else "您的家人"
    return f"{look.hospital}" if look.by == "hospital" and look.hospital else _BY.get(look.by, _BY["service"])


def what(look: Look) -> str:
    """In words; with the hospital's name where somebody else did it there."""
    did = _DID.get(look.action, "处理了信息")
    return f"{did}({look.hospital})" if look.hospital and look.by != "hospital" else did


def looked(
    action: str, *, resident_id: UUID, patient_id: UUID, hospital_id: UUID, entity: str, entity_id: UUID
) -> None:
    """Somebody of the family reads what is the patient's: on record once a thing, kind and day."""
    hers = FamilyLink.objects.filter(resident_id=resident_id, patient_id=patient_id, relation=FamilyLink.Relation.SELF)
    if not hers.exists():
        audit.record_once(
            action,
            since=timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0),
            actor=Actor("resident", str(resident_id)),
            hospital_id=hospital_id,
            entity=entity,
            entity_id=entity_id,
            subject=patient_id,
        )


def looked_at_line(row: InLine | PlaceOffered, *, resident_id: UUID, patient_id: UUID) -> None:
    """The same for a place in a hospital's line, or one that the line has brought."""
    about = {"hospital_id": row.hospital_id, "entity_id": row.entry_id}
    looked("waiting.read", resident_id=resident_id, patient_id=patient_id, entity="waiting", **about)


def about_her(resident_id: UUID) -> list[Look]:
    """Newest first: hers, and of each person whose consent holds now."""
    links = FamilyLink.objects.filter(resident_id=resident_id)
    subjects = {resident_id} | {link.patient_id for link in links if acts_for(resident_id, link.patient_id)}
    rows = [row for subject in subjects for row in audit.about(subject, limit=MOST)]
    rows = sorted(rows, key=lambda row: row.at, reverse=True)[:MOST]
    names = dict(Hospital.objects.filter(id__in={row.hospital_id for row in rows}).values_list("id", "name"))
    family = _family(resident_id)
    return [
        Look(
            row.at,
            _by(row, resident_id),
            names.get(row.hospital_id, "") if row.hospital_id else "",
            row.action,
            row.why,
            family.get(row.actor, "") if row.actor_kind == "resident" else "",
        )
        for row in rows
    ]


def _by(row: AuditEvent, resident_id: UUID) -> str:
    if row.actor_kind != "resident":
        return row.actor_kind
    return {str(resident_id): "resident", "": "unknown"}.get(row.actor, "family")


def _family(resident_id: UUID) -> dict[str, str]:
    """What each resident who acts or acted with her, or she for him, is to her, in words; by UUID."""
    theirs = FamilyLink.objects.filter(patient__keeper_id=resident_id).exclude(resident_id=resident_id)
    found = {str(link.resident_id): people.from_the_other_side(link.relation) for link in theirs}
    hers = FamilyLink.objects.filter(resident_id=resident_id).exclude(patient__keeper_id=resident_id)
    return found | {
        str(keeper): str(FamilyLink.Relation(relation).label)
        for keeper, relation in hers.values_list("patient__keeper_id", "relation")
    }
