"""Who takes part: residents and patients, who may act for whom and looked at what, sign-ins, and the waiting list."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class ResidentView:
    """Who is signed in."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class PatientView:
    """Whom the conversation is about. ``relation`` in words (本人, 爱人, ...); ``sex`` "male" | "female" | ""."""

    id: str
    name: str
    relation: str = "本人"
    age_years: int | None = None
    sex: str = ""


@dataclass(frozen=True, slots=True)
class PersonView:
    """Somebody the resident may act for (consent holds). ``relation`` in words: 本人, 爱人, 父亲, ..."""

    patient_id: str
    name: str
    relation: str
    current: bool = False
    age_years: int | None = None
    sex: str = ""
    mine: bool = True  # the card is kept in this account
    consent_id: int | None = None  # of an adult who agreed


@dataclass(frozen=True, slots=True)
class CardView:
    """The real-name card of whom the talk is about. ``mine``: kept, and to be filled, in this account; numbers are masked."""

    patient_id: str
    name: str
    relation: str  # FamilyLink.Relation's value
    complete: bool
    mine: bool
    version: int
    document: str = "id_card"
    id_number: str = ""
    phone: str = ""


@dataclass(frozen=True, slots=True)
class AgentView:
    """Somebody who may act for her until ``until``. ``relation`` in words: 子女, 爱人, ...; ``holds``: not run out yet."""

    consent_id: int
    name: str
    relation: str
    until: datetime | None = None
    holds: bool = True


@dataclass(frozen=True, slots=True)
class InvitationView:
    """``code`` is shown this once. ``relation`` in words: whom she invites."""

    code: str
    relation: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class AskedView:
    """An invitation that somebody else sent. ``relation``: what the one who asks is to her, in words."""

    code: str
    name: str
    relation: str
    consent_until: datetime
    card_complete: bool


@dataclass(frozen=True, slots=True)
class SignInView:
    """``app`` in words: 支付宝, 微信, ..."""

    session: str
    app: str
    since: datetime
    current: bool = False


@dataclass(frozen=True, slots=True)
class LineView:
    """Where she can wait, and for which days (both included)."""

    department_id: str
    hospital: str
    department: str
    first_day: date
    last_day: date
    practitioner_id: str = ""
    practitioner: str = ""


@dataclass(frozen=True, slots=True)
class InLineView:
    """Where she waits. ``place``: 1 is the next; ``offered``: a place is held for her now."""

    entry_id: str
    hospital: str
    department: str
    first_day: date
    last_day: date
    place: int
    practitioner: str = ""
    offered: bool = False


@dataclass(frozen=True, slots=True)
class LookView:
    """Somebody looked at her data or changed them. ``who`` and ``what`` in words; accounts and people are not named."""

    at: datetime
    by: str  # resident | family | unknown | hospital | commission | service
    who: str
    what: str
    why: str = ""


class PeoplePort(Protocol):
    """Cards, consent and sign-ins of one resident, and the waiting list of one patient."""

    async def people(self) -> tuple[PersonView, ...]: ...

    async def card(self) -> CardView:
        """The real-name card of the patient."""
        ...

    async def agents(self) -> tuple[AgentView, ...]:
        """Who may act with her own card, also those whose year is over."""
        ...

    async def invite(self, relation: str) -> InvitationView:
        """Ask an adult of this relation (FamilyLink.Relation's value) to let her act for her."""
        ...

    async def invitation(self, code: str) -> AskedView: ...

    async def answer_invitation(self, code: str, *, accept: bool) -> AgentView | None:
        """None when she declined."""
        ...

    async def withdraw_consent(self, consent_id: int) -> None:
        """From either side."""
        ...

    async def renew_consent(self, consent_id: int) -> datetime | None:
        """Until when it holds now."""
        ...

    async def looks(self) -> tuple[LookView, ...]:
        """Newest first: who looked at her data, and at those of the people she acts for."""
        ...

    async def sign_ins(self) -> tuple[SignInView, ...]: ...

    async def end_sign_in(self, session: str) -> None: ...

    async def end_other_sign_ins(self) -> int: ...

    async def lines(
        self,
        *,
        departments: tuple[str, ...],
        start: datetime,
        end: datetime,
        hospital_id: str = "",
        practitioner: str = "",
    ) -> tuple[LineView, ...]:
        """Where everything between the two is booked, so that she can wait."""
        ...

    async def wait(self, line: Mapping[str, Any]) -> InLineView:
        """Stand in this line (a LineView as card data)."""
        ...

    async def waiting(self) -> tuple[InLineView, ...]: ...

    async def leave_line(self, entry_id: str) -> None: ...

    async def hold(self, slot_id: str) -> datetime | None:
        """Keep a place while she fills in her card; until when, None when she keeps another one. Raises ``SlotTaken``."""
        ...
