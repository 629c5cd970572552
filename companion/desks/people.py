"""``companion.ports.people.PeoplePort`` on the real world: cards and consent here, the waiting list in hospitals."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from companion import acting, cards, consents, looks, people, signin
from companion.asking import asking
from companion.desks.desk import Desk
from companion.exceptions import CompanionError, NotFound
from companion.models import FamilyLink
from companion.people import Agent
from companion.ports.people import (
    AgentView,
    AskedView,
    CardView,
    InLineView,
    InvitationView,
    LineView,
    LookView,
    PersonView,
    SignInView,
)
from hospitals import audit
from hospitals.services import booking, waiting
from hospitals.services.waiting import InLine

APPS = {"alipay": "支付宝", "wechat": "微信", "development": "演示"}


def _uuid(value: object) -> UUID:
    try:
        return UUID(str(value))
    except ValueError as error:
        raise NotFound from error


def _agent(agent: Agent) -> AgentView:
    until = timezone.localtime(agent.consent.expires_at) if agent.consent.expires_at else None
    return AgentView(agent.consent.id, agent.name, agent.relation, until, agent.consent.holds)


class PeopleDesk(Desk):
    """One resident's people, sign-ins and places in a line."""

    async def people(self) -> tuple[PersonView, ...]:
        def work() -> tuple[PersonView, ...]:
            links = FamilyLink.objects.filter(resident_id=self.resident_id, withdrawn_at=None).select_related("patient")
            now = timezone.now()
            return tuple(
                PersonView(
                    patient_id=str(link.patient_id),
                    name=link.patient.name,
                    relation=str(link.get_relation_display()),
                    current=link.patient_id == self.patient_id,
                    age_years=cards.age_of(link.patient),
                    sex=link.patient.sex,
                    mine=link.patient.keeper_id == self.resident_id,
                    consent_id=None if link.patient.keeper_id == self.resident_id else link.id,
                )
                for link in links.order_by("id")
                if link.consented_at and (link.expires_at is None or link.expires_at > now)
            )

        return await asking(work)

    async def looks(self) -> tuple[LookView, ...]:
        def work() -> tuple[LookView, ...]:
            return tuple(
                LookView(look.at, look.by, looks.who(look), looks.what(look), look.why)
                for look in looks.about_her(self.resident_id)
            )

        return await asking(work)

    async def card(self) -> CardView:
        def work() -> CardView:
            patient = acting.may_act_for(self.resident_id, self.patient_id)
            found = next(card for card in people.of(self.resident_id).cards if card.patient_id == patient.id)
            return CardView(
                patient_id=str(patient.id),
                name=found.name,
                relation=found.relation,
                complete=found.complete,
                mine=found.mine,
                version=found.version,
                document=found.document,
                id_number=found.id_number,
                phone=found.phone,
            )

        return await asking(work)

    async def agents(self) -> tuple[AgentView, ...]:
        return await asking(lambda: tuple(_agent(agent) for agent in people.of(self.resident_id).agents))

    async def invite(self, relation: str) -> InvitationView:
        def work() -> InvitationView:
            made = consents.invite(resident_id=self.resident_id, relation=relation)
            words = str(FamilyLink.Relation(made.relation).label)
            return InvitationView(made.code, words, timezone.localtime(made.expires_at))

        return await asking(work)

    async def invitation(self, code: str) -> AskedView:
        def work() -> AskedView:
            asked = consents.invitation(resident_id=self.resident_id, code=code)
            until = timezone.localtime(asked.consent_until)
            return AskedView(code, asked.name, asked.relation, until, asked.card_complete)

        return await asking(work)

    async def answer_invitation(self, code: str, *, accept: bool) -> AgentView | None:
        def work() -> AgentView | None:
            if accept:
                return _agent(consents.accept(resident_id=self.resident_id, code=code))
            consents.decline(resident_id=self.resident_id, code=code)
            return None

        return await asking(work)

    async def withdraw_consent(self, consent_id: int) -> None:
        await asking(consents.withdraw, resident_id=self.resident_id, consent_id=consent_id)

    async def renew_consent(self, consent_id: int) -> datetime | None:
        def work() -> datetime | None:
            until = consents.renew(resident_id=self.resident_id, consent_id=consent_id).expires_at
            return timezone.localtime(until) if until else None

        return await asking(work)

    # --- sign-ins -----------------------------------------------------------------------------------------
    async def sign_ins(self) -> tuple[SignInView, ...]:
        def work() -> tuple[SignInView, ...]:
            return tuple(
                SignInView(
                    str(found.id), APPS.get(found.app, "其他应用"), timezone.localtime(found.since), found.current
                )
                for found in signin.open_ones(self.resident_id, current=self.sign_in)
            )

        return await asking(work)

    async def end_sign_in(self, session: str) -> None:
        await asking(lambda: signin.end_one(self.resident_id, _uuid(session)))

    async def end_other_sign_ins(self) -> int:
        def work() -> int:
            if self.sign_in is None:
                raise NotFound
            return signin.end_others(self.resident_id, current=self.sign_in)

        return await asking(work)

    # --- the waiting list ---------------------------------------------------------------------------------
    async def lines(
        self,
        *,
        departments: tuple[str, ...],
        start: datetime,
        end: datetime,
        hospital_id: str = "",
        practitioner: str = "",
    ) -> tuple[LineView, ...]:
        def work() -> tuple[LineView, ...]:
            found = waiting.lines(
                departments=departments,
                start=max(start, timezone.now()),
                end=end,
                hospital_id=_uuid(hospital_id) if hospital_id else None,
                practitioner_name=practitioner,
                near_city=settings.HOME_CITY,
            )
            first, last = timezone.localtime(max(start, timezone.now())).date(), timezone.localtime(end).date()
            return tuple(
                LineView(
                    department_id=str(line.department_id),
                    hospital=line.hospital,
                    department=line.department,
                    first_day=first,
                    last_day=last,
                    practitioner_id=str(line.practitioner_id or ""),
                    practitioner=line.practitioner,
                )
                for line in found
            )

        return await asking(work)

    async def wait(self, line: Mapping[str, Any]) -> InLineView:
        def work() -> InLineView:
            acting.may_act_for(self.resident_id, self.patient_id)
            try:
                first, last = (date.fromisoformat(str(line[name])) for name in ("first_day", "last_day"))
            except (KeyError, ValueError) as error:
                raise NotFound from error
            doctor = line.get("practitioner_id")
            with transaction.atomic():
                entry_id = waiting.join(
                    department_id=_uuid(line.get("department_id")),
                    subject=self.patient_id,
                    first_day=first,
                    last_day=last,
                    practitioner_id=_uuid(doctor) if doctor else None,
                )
                made = next(row for row in waiting.waiting_for(subject=self.patient_id) if row.entry_id == entry_id)
                self._record("waiting.join", made)
            return _in_line(made)

        return await asking(work)

    async def waiting(self) -> tuple[InLineView, ...]:
        def work() -> tuple[InLineView, ...]:
            acting.may_act_for(self.resident_id, self.patient_id)
            rows = waiting.waiting_for(subject=self.patient_id)
            for row in rows:
                looks.looked_at_line(row, resident_id=self.resident_id, patient_id=self.patient_id)
            return tuple(map(_in_line, rows))

        return await asking(work)

    async def leave_line(self, entry_id: str) -> None:
        def work() -> None:
            acting.may_act_for(self.resident_id, self.patient_id)
            rows = waiting.waiting_for(subject=self.patient_id)
            row = next((row for row in rows if str(row.entry_id) == entry_id), None)
            if row is None:
                raise NotFound("没有找到这个候补,可能已经结束了。")
            with transaction.atomic():
                waiting.leave(hospital_id=row.hospital_id, entry_id=row.entry_id, subject=self.patient_id)
                self._record("waiting.leave", row)

        await asking(work)

    def _record(self, action: str, row: InLine) -> None:
        audit.record(
            action,
            actor=self.actor,
            hospital_id=row.hospital_id,
            entity="waiting",
            entity_id=row.entry_id,
            subject=self.patient_id,
        )

    async def hold(self, slot_id: str) -> datetime | None:
        def work() -> datetime:
            acting.may_act_for(self.resident_id, self.patient_id)
            return timezone.localtime(booking.hold(slot_id=_uuid(slot_id), subject=self.patient_id))

        try:
            return await asking(work)
        except CompanionError as error:
            if error.code == "holding_another":
                return None
            raise


def _in_line(row: InLine) -> InLineView:
    return InLineView(
        entry_id=str(row.entry_id),
        hospital=row.hospital,
        department=row.department,
        first_day=row.first_day,
        last_day=row.last_day,
        place=row.place,
        practitioner=row.practitioner,
        offered=row.offered,
    )
