"""The demo province from data files: hospitals, departments, doctors, two weeks of slots, maps, sandbox systems.

Every row's id is made from its name, so that running it again finds what is there: it adds what is missing (the days that
have come into view) and touches no appointment.
"""

import random
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from datetime import time as clock
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import yaml
from django.db import transaction
from django.utils import timezone

from hospitals import floor_layout, map_graph, tenancy
from hospitals.connectors import push
from hospitals.connectors.sandbox import scripts
from hospitals.connectors.sandbox.models import SandboxClinic, SandboxSystem
from hospitals.models import (
    Building,
    Campus,
    Department,
    Floor,
    Hospital,
    HospitalCredential,
    IndoorMap,
    OnboardingStep,
    Practitioner,
    Schedule,
    Slot,
)
from hospitals.services import maps

DATA = Path(__file__).parent / "data" / "demo"
NAMESPACE = UUID("6f1d2c52-6b0e-4d5c-9d7e-0b8a4b1f7c11")
DAYS = 14
FIRST_SERVING, WAITING = 66, 4  # how the sandbox's queues stand when the day begins
ROOMS_A_ROW = {"north": 5, "south": 3}


@cache
def _load(name: str) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((DATA / f"{name}.yaml").read_text(encoding="utf-8"))
    return data


def _id(*parts: object) -> UUID:
    return uuid5(NAMESPACE, "/".join(map(str, parts)))


def hospital_id(code: str) -> UUID:
    """The id that a hospital of the demo province has in every database."""
    return _id("hospital", code)


def seed_province(now: datetime) -> None:
    """Make or refresh all of it; slots reach two weeks from ``now``."""
    province = _load("province")
    for number, entry in enumerate(province["hospitals"]):
        with transaction.atomic(), tenancy.scope(hospital_id(entry["code"])):
            _hospital(entry, province, number, timezone.localtime(now).date())


def _hospital(entry: Mapping[str, Any], province: Mapping[str, Any], number: int, today: date) -> None:
    rule, after = province["rules"][number % len(province["rules"])]
    facts = {
        **{
            key: entry[key]
            for key in ("code", "name", "nicknames", "level", "city", "address", "phone", "has_emergency")
        },
        "opening_hours": "周一至周日 8:00–12:00,14:00–17:00",
        "connector": "sandbox",
        "missed_call_rule": rule,
        "requeue_after": after,
        "lexicon": entry.get("lexicon", []),
    }
    row, created = Hospital.objects.update_or_create(
        id=hospital_id(entry["code"]), defaults=facts, create_defaults=facts | {"state": Hospital.State.LIVE}
    )
    if created:
        OnboardingStep.objects.create(hospital=row, target=Hospital.State.LIVE, actor="seed", reason="演示数据")
    description = _description(entry, province)
    _map(row, description)
    departments = _departments(row, entry, province, description)
    _sandbox(row, entry, description, departments)
    _slots(row, entry, province, departments, number, today)


# --- the building -------------------------------------------------------------------------------------------


def _names(entry: Mapping[str, Any], province: Mapping[str, Any]) -> list[str]:
    every = [name for name, _code in province["departments"]]
    return every if entry["departments"] == "all" else list(entry["departments"])


def _description(entry: Mapping[str, Any], province: Mapping[str, Any]) -> dict[str, Any]:
    """The hospital's buildings: from its own file, or one house with as many floors as its departments need."""
    if "map" in entry:
        return _load(entry["map"])
    names = _names(entry, province)
    a_floor = sum(ROOMS_A_ROW.values())
    floors = [_ground_floor()]
    for number, first in enumerate(range(0, len(names), a_floor), 2):
        here = names[first : first + a_floor]
        north = [_clinic(number, n, name) for n, name in enumerate(here[:5], 1)]
        south = [_clinic(number, n, name) for n, name in enumerate(here[5:], 6)]
        floors.append(
            {"number": number, "name": f"{number}楼", "north": _fill(north, 10), "south": _core(number, south)}
        )
    house = {
        "id": "1",
        "name": "门诊楼",
        "origin": [10, 10],
        "size": [60, 20],
        "columns": 10,
        "floors": floors,
    }
    return {
        "buildings": [house],
        "outdoors": {
            "gates": [{"code": "GATE", "name": "医院大门", "at": [25, 50]}],
            "ways": [{"points": [[25, 50], [25, 30]]}],
        },
        "desks": {
            "pharmacy": "1-1-03",
            "cashier": "1-1-01",
            "laboratory": "1-1-05",
            "imaging": "1-1-06",
            "examination": "1-1-07",
        },
    }


def _ground_floor() -> dict[str, Any]:
    return {
        "number": 1,
        "name": "1楼",
        "south": [
            {"code": "1-1-01", "name": "挂号收费处", "category": "cashier", "span": 2},
            {"entrance": "E1", "name": "门诊楼正门"},
            {"code": "1-1-02", "name": "导诊台", "category": "service"},
            {"code": "1-1-03", "name": "药房", "category": "pharmacy", "span": 2},
            {"code": "1-1-WC", "name": "卫生间", "category": "toilet"},
            {"stairs": "S1", "name": "楼梯"},
            {"lift": "L1", "name": "电梯"},
            {"code": "1-1-04", "name": "便民服务处", "category": "service"},
        ],
        "north": [
            {"code": "1-1-05", "name": "检验科", "category": "laboratory", "span": 3},
            {"code": "1-1-06", "name": "放射科", "category": "imaging", "span": 3},
            {"code": "1-1-07", "name": "检查治疗室", "category": "examination", "span": 2},
            {"code": "1-1-08", "name": "输液室", "span": 2},
        ],
    }


def _clinic(floor: int, number: int, name: str) -> dict[str, Any]:
    return {"code": f"1-{floor}-{number:02}", "name": f"{name}诊区", "span": 2}


def _fill(row: list[dict[str, Any]], columns: int) -> list[dict[str, Any]]:
    left = columns - sum(item.get("span", 1) for item in row)
    return [*row, {"code": f"{row[0]['code']}-W", "name": "候诊区", "span": left}] if left else row


def _core(floor: int, rooms: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rooms, then what stands at the same place on every floor."""
    filled = _fill(rooms, 6) if rooms else [{"code": f"1-{floor}-W", "name": "候诊区", "span": 6}]
    return [
        *filled,
        {"code": f"1-{floor}-WC", "name": "卫生间", "category": "toilet"},
        {"stairs": "S1", "name": "楼梯"},
        {"lift": "L1", "name": "电梯"},
        {"code": f"1-{floor}-N", "name": "护士站", "category": "nurse"},
    ]


def _map(row: Hospital, description: Mapping[str, Any]) -> None:
    geojson = floor_layout.geojson(description)
    known = IndoorMap.objects.filter(hospital=row).first()
    if known is None or known.geojson != geojson:
        maps.upload(hospital_id=row.id, geojson=geojson)
    campus, _created = Campus.objects.get_or_create(
        id=_id("campus", row.code),
        defaults={"hospital": row, "identifier": "main", "name": "本部", "address": row.address},
    )
    for house in description["buildings"]:
        building, _created = Building.objects.get_or_create(
            id=_id("building", row.code, house["id"]),
            defaults={"hospital": row, "campus": campus, "identifier": house["id"], "name": house["name"]},
        )
        Floor.objects.bulk_create(
            [
                Floor(
                    id=_id("floor", row.code, house["id"], floor["number"]),
                    hospital=row,
                    building=building,
                    identifier=f"{house['id']}-{floor['number']}",
                    number=floor["number"],
                    name=floor["name"],
                )
                for floor in house["floors"]
            ],
            ignore_conflicts=True,
        )


# --- departments and people -----------------------------------------------------------------------------------


def _rooms(description: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Room code → its name and place (7号楼1楼B区)."""
    plan = map_graph.read(floor_layout.geojson(description))
    return {
        code: {
            "room_code": code,
            "room_name": room["name"],
            "place": f"{plan.building_name(room['building'])}{plan.floor_name(room['building'], room['floor'])}{room.get('area', '')}",
        }
        for code, room in plan.rooms.items()
    }


def _departments(
    row: Hospital, entry: Mapping[str, Any], province: Mapping[str, Any], description: Mapping[str, Any]
) -> list[Department]:
    rooms = _rooms(description)
    codes = dict(province["departments"])
    made = []
    for number, name in enumerate(_names(entry, province), 1):
        given = entry.get("rooms", {}).get(name)
        room = rooms[given] if given else next(r for r in rooms.values() if r["room_name"].startswith(name))
        own = entry.get("own_names", {}).get(name, name)
        made.append(
            Department(
                id=_id("department", row.code, name),
                hospital=row,
                identifier=f"D{number:02}",
                name=own,
                standard_name=name,
                national_code=codes[name],
                **room,
            )
        )
    Department.objects.bulk_create(made, ignore_conflicts=True)
    return made


def _doctors(
    entry: Mapping[str, Any], province: Mapping[str, Any], department: Department, number: int
) -> Iterator[tuple[Practitioner, int]]:
    """(doctor, fee in fen); names follow from the hospital and the department alone."""
    names = province["doctors"]
    rng = random.Random(f"{entry['code']}/{department.standard_name}")
    for index in range(entry.get("doctors", {}).get(department.standard_name, 2 if number < 3 else 1)):
        title, fee = names["titles"][min(index, len(names["titles"]) - 1)]
        identifier = f"{department.identifier}{chr(ord('A') + index)}"
        yield (
            Practitioner(
                id=_id("practitioner", entry["code"], identifier),
                hospital_id=department.hospital_id,
                department=department,
                identifier=identifier,
                name=rng.choice(names["surnames"]) + rng.choice(names["given"]),
                title=title,
            ),
            fee,
        )


def _slots(
    row: Hospital,
    entry: Mapping[str, Any],
    province: Mapping[str, Any],
    departments: list[Department],
    number: int,
    today: date,
) -> None:
    """Schedules and slots of the days that have none yet."""
    have = set(Schedule.objects.filter(hospital=row, day__gte=today).values_list("day", flat=True).distinct())
    days = [day for day in (today + timedelta(days=n) for n in range(DAYS)) if day not in have]
    if not days:
        return
    doctors: list[Practitioner] = []
    schedules: list[Schedule] = []
    slots: list[Slot] = []
    for department in departments:
        every_day = department.standard_name in entry.get("every_day", [])
        for index, (doctor, fee) in enumerate(_doctors(entry, province, department, number)):
            doctors.append(doctor)
            for day in days:
                for period in ("morning", "afternoon"):
                    if not _works(day, period, index, every_day):
                        continue
                    schedule = _schedule(row, department, doctor, day, period)
                    schedules.append(schedule)
                    slots += _slots_of(schedule, department, doctor, fee, province["hours"], period)
    Practitioner.objects.bulk_create(doctors, ignore_conflicts=True)
    Schedule.objects.bulk_create(schedules, ignore_conflicts=True, batch_size=500)
    Slot.objects.bulk_create(slots, ignore_conflicts=True, batch_size=500)


def _works(day: date, period: str, index: int, every_day: bool) -> bool:
    """The first doctor of a busy department is there every day; others take turns, and rest on Sunday."""
    if every_day and index == 0:
        return True
    if day.weekday() == 6:
        return False
    return (day.toordinal() + index) % 2 == (0 if period == "morning" else 1)


def _schedule(row: Hospital, department: Department, doctor: Practitioner, day: date, period: str) -> Schedule:
    half = "am" if period == "morning" else "pm"
    identifier = f"{department.identifier}.{doctor.identifier}.{day:%Y%m%d}.{half}"
    return Schedule(
        id=_id("schedule", row.code, identifier),
        hospital=row,
        department=department,
        practitioner=doctor,
        identifier=identifier,
        day=day,
        period=period,
    )


def _slots_of(
    schedule: Schedule,
    department: Department,
    doctor: Practitioner,
    fee: int,
    hours: Mapping[str, Any],
    period: str,
) -> Iterator[Slot]:
    for at in hours[period]:
        start = timezone.make_aware(datetime.combine(schedule.day, clock.fromisoformat(at)))
        identifier = f"{schedule.identifier[:-3]}.{at.replace(':', '')}"
        taken = random.Random(identifier).randint(0, hours["capacity"] // 2)  # others have booked as well
        yield Slot(
            id=_id("slot", schedule.hospital_id, identifier),
            hospital_id=schedule.hospital_id,
            identifier=identifier,
            schedule=schedule,
            department=department,
            practitioner=doctor,
            start=start,
            end=start + timedelta(minutes=hours["minutes"]),
            capacity=hours["capacity"],
            free=hours["capacity"] - taken,
            fee_fen=fee,
        )


# --- its own system -------------------------------------------------------------------------------------------


def _sandbox(
    row: Hospital, entry: Mapping[str, Any], description: Mapping[str, Any], departments: list[Department]
) -> None:
    """The pretended information system of this hospital, with a secret that both sides know."""
    rooms = _rooms(description)
    places = {desk: rooms[code] for desk, code in description["desks"].items()}
    system = SandboxSystem.objects.filter(hospital_id=row.id).first()
    if system is None:
        secret = push.new_secret()
        system = SandboxSystem(hospital_id=row.id, secret=secret)
        HospitalCredential.objects.create(kind=HospitalCredential.Kind.EVENTS, secret=secret, hospital=row)
    system.code, system.places = row.code, places
    system.missed_rule, system.requeue_after = row.missed_call_rule, row.requeue_after
    system.save()
    played = scripts.script_names()
    SandboxClinic.objects.bulk_create(
        [
            SandboxClinic(
                id=_id("clinic", row.code, department.identifier),
                system=system,
                department=department.identifier,
                name=department.standard_name,
                script=played.get(department.standard_name, scripts.DEFAULT),
                room_code=department.room_code,
                room_name=department.room_name,
                place=department.place,
                desks=entry.get("desks", {}).get(department.standard_name, {}),
                now_serving=FIRST_SERVING,
                waiting=list(range(FIRST_SERVING + 1, FIRST_SERVING + WAITING + 1)),
                last_ticket=FIRST_SERVING + WAITING,
            )
            for department in departments
        ],
        ignore_conflicts=True,
    )
