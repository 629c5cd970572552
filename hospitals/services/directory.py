"""Finding hospitals, doctors and free slots across the province: public data, read by a named path, nothing personal."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from hospitals.exceptions import UnknownHospital
from hospitals.models import Department, Hospital, Notice, Practitioner, Slot

BOOKABLE = Hospital.State.LIVE
_LEVELS = ("三级甲等", "三级乙等", "三级", "二级甲等", "二级乙等", "二级", "一级")
# Read so many slots for each one offered: one doctor's half day is offered once, at its first free time.
_SLOTS_AN_OFFER = 12


@dataclass(frozen=True, slots=True)
class HospitalInfo:
    id: UUID
    code: str
    name: str
    level: str
    city: str
    nicknames: tuple[str, ...]
    address: str
    phone: str
    has_emergency: bool
    opening_hours: str


@dataclass(frozen=True, slots=True)
class SlotOffer:
    """One slot with free places. ``place`` ends with the room's name; ``department`` is the standard name."""

    slot_id: UUID
    hospital_id: UUID
    hospital: str
    hospital_level: str
    city: str
    department: str
    department_name: str
    practitioner: str
    title: str
    start: datetime
    end: datetime
    fee_fen: int
    free: int
    place: str
    room_code: str


def _hospital(row: Hospital) -> HospitalInfo:
    return HospitalInfo(
        id=row.id,
        code=row.code,
        name=row.name,
        level=row.level,
        city=row.city,
        nicknames=tuple(row.nicknames),
        address=row.address,
        phone=row.phone,
        has_emergency=row.has_emergency,
        opening_hours=row.opening_hours,
    )


def _rank(level: str) -> int:
    return next((n for n, name in enumerate(_LEVELS) if level.startswith(name)), len(_LEVELS))


def find_hospitals(*, text: str = "", city: str = "", near_city: str = "") -> list[HospitalInfo]:
    """Hospitals that take bookings: of this name or nickname, in this city; those of ``near_city`` first, higher tiers first."""
    rows = Hospital.objects.filter(state=BOOKABLE)
    if city:
        rows = rows.filter(city=city)
    found = [_hospital(row) for row in rows]
    if text:
        found = [h for h in found if text in h.name or text in h.nicknames or h.name in text]
    return sorted(found, key=lambda h: (h.city != near_city, _rank(h.level), h.name))


def hospital(*, hospital_id: UUID) -> HospitalInfo:
    """Raises ``UnknownHospital``."""
    row = Hospital.objects.filter(id=hospital_id).first()
    if row is None:
        raise UnknownHospital
    return _hospital(row)


def emergency_departments(*, near_city: str = "", limit: int = 3) -> list[HospitalInfo]:
    """Hospitals with an emergency department open day and night, this city's first."""
    return [h for h in find_hospitals(near_city=near_city) if h.has_emergency][:limit]


def find_practitioners(*, surname: str, limit: int = 10) -> tuple[str, ...]:
    """Full names of bookable doctors whose name begins so."""
    rows = Practitioner.objects.filter(name__startswith=surname, withdrawn_at=None, hospital__state=BOOKABLE)
    return tuple(rows.order_by("name").values_list("name", flat=True).distinct()[:limit])


def offer_of(row: Slot) -> SlotOffer:
    """The slot as residents see it; its hospital, department and practitioner should be loaded."""
    return SlotOffer(
        slot_id=row.id,
        hospital_id=row.hospital_id,
        hospital=row.hospital.name,
        hospital_level=row.hospital.level,
        city=row.hospital.city,
        department=row.department.standard_name,
        department_name=row.department.name,
        practitioner=row.practitioner.name,
        title=row.practitioner.title,
        start=row.start,
        end=row.end,
        fee_fen=row.fee_fen,
        free=row.free,
        place=f"{row.department.place}{row.department.room_name}",
        room_code=row.department.room_code,
    )


@dataclass(frozen=True, slots=True)
class _Department:
    id: UUID
    standard_name: str
    national_code: str
    city: str


def _departments(
    names: tuple[str, ...], codes: tuple[str, ...], hospital_id: UUID | None, city: str | None
) -> list[_Department]:
    """The bookable departments that these standard names or national codes mean; small beside the slots."""
    rows = Department.objects.filter(withdrawn_at=None, bookable=True, hospital__state=BOOKABLE)
    if names:
        rows = rows.filter(standard_name__in=names)
    if codes:
        rows = rows.filter(national_code__in=codes)
    if hospital_id:
        rows = rows.filter(hospital_id=hospital_id)
    if city:
        rows = rows.filter(hospital__city=city)
    return [_Department(*row) for row in rows.values_list("id", "standard_name", "national_code", "hospital__city")]


def _free_slots(departments: Iterable[UUID], start: datetime, end: datetime) -> QuerySet[Slot]:
    return Slot.objects.filter(
        department_id__in=list(departments), start__gte=start, start__lt=end, free__gt=0, stopped=False
    ).order_by("start", "id")


def search_slots(
    *,
    departments: tuple[str, ...] = (),
    department_codes: tuple[str, ...] = (),
    start: datetime,
    end: datetime,
    hospital_id: UUID | None = None,
    city: str | None = None,
    near_city: str = "",
    practitioner_name: str | None = None,
    limit: int = 20,
) -> list[SlotOffer]:
    """Free slots of these departments between two instants, best first.

    The first department that has any comes first, then ``near_city``, then the soonest; one doctor's half day is offered
    once, at its first free time.
    """
    start = max(start, timezone.now())
    known = _departments(departments, department_codes, hospital_id, city)
    order = [*departments, *department_codes]
    wanted = [name for name in order if any(name in (d.standard_name, d.national_code) for d in known)]
    chosen: list[UUID] = []
    seen: set[tuple[UUID, object, bool]] = set()
    for name in wanted or [""]:
        mine = [d for d in known if name in ("", d.standard_name, d.national_code)]
        near = [d.id for d in mine if d.city == near_city]
        far = [d.id for d in mine if d.city != near_city]
        for group in (near, far):
            if not group or len(chosen) >= limit:
                continue
            rows = _free_slots(group, start, end)
            if practitioner_name:
                rows = rows.filter(practitioner__name__startswith=practitioner_name)
            # Only what choosing needs: a province has thousands of free slots for the few that are offered.
            for slot_id, practitioner_id, at in rows.values_list("id", "practitioner_id", "start")[
                : limit * _SLOTS_AN_OFFER
            ]:
                local = timezone.localtime(at)
                half_day = (practitioner_id, local.date(), local.hour < 12)
                if half_day not in seen and len(chosen) < limit:
                    seen.add(half_day)
                    chosen.append(slot_id)
    rows = Slot.objects.filter(id__in=chosen).select_related("hospital", "department", "practitioner")
    found = {row.id: offer_of(row) for row in rows}
    return [found[slot_id] for slot_id in chosen if slot_id in found]


def slot(slot_id: UUID) -> SlotOffer | None:
    """One slot as it is now, also when it is full; None when it is unknown or cannot be booked any more."""
    row = (
        Slot.objects.filter(id=slot_id, stopped=False, hospital__state=BOOKABLE)
        .select_related("hospital", "department", "practitioner")
        .first()
    )
    return offer_of(row) if row else None


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who speaks for a hospital, and how its own words are pronounced: (written, spoken)."""

    avatar: str = ""
    voice: str = ""
    lexicon: tuple[tuple[str, str], ...] = ()


def speaker(*, hospital_id: UUID) -> Speaker:
    found = Hospital.objects.filter(id=hospital_id).values_list("avatar", "voice", "lexicon").first()
    if found is None:
        return Speaker()
    avatar, voice, pairs = found
    return Speaker(avatar, voice, tuple((written, spoken) for written, spoken in pairs))


def notices(*, hospital_id: UUID) -> tuple[str, ...]:
    """What the hospital tells everybody now."""
    now = timezone.now()
    rows = Notice.objects.filter(hospital_id=hospital_id, withdrawn_at=None, starts_at__lte=now, ends_at__gt=now)
    return tuple(rows.order_by("starts_at").values_list("text", flat=True))
