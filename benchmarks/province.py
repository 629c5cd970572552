"""A whole province in PostgreSQL: 1,000 hospitals, 2 million slots; then the search that residents use, as they use it.

The query's plan goes to standard error. ``python -m benchmarks province`` (some minutes, 2 GB of disk while it runs).
"""

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import psycopg

from benchmarks._postgres import database

NAME = "hc_bench_province"
HOSPITALS, CITIES, DEPARTMENTS, PRACTITIONERS = 1000, 21, 20, 40  # the last two: of each hospital
DAYS, SLOTS_A_HALF_DAY = 10, 5  # 1,000 × 40 × 10 × 5 = 2 million
SEARCHES = 300

# Ids are made from numbers, so that each statement knows the rows of the one before without reading them.
_ROWS = (
    f"""INSERT INTO hospitals_hospital (id, code, name, nicknames, level, city, address, phone, has_emergency, opening_hours,
      state, connector, missed_call_rule, requeue_after, cancel_until_min, no_show_limit, no_show_days, hold_min, avatar,
      voice, lexicon, created_at, changed_at)
    SELECT md5('h' || h)::uuid, 'h' || h, '第' || h || '医院', '[]', (ARRAY['三级甲等', '二级甲等', '一级'])[h % 3 + 1],
      '城市' || h % {CITIES}, '', '', true, '', 'live', 'push', '', 3, 60, 3, 90, 10, 'xiaolan', '', '[]', now(), now()
    FROM generate_series(1, {HOSPITALS}) h""",
    f"""INSERT INTO hospitals_department (id, identifier, changed_at, hospital_id, name, standard_name, national_code,
      room_code, room_name, place, bookable)
    SELECT md5('d' || h || '-' || d)::uuid, 'd' || d, now(), md5('h' || h)::uuid, '科' || d, '科' || d, d::text, '', '', '',
      true
    FROM generate_series(1, {HOSPITALS}) h, generate_series(1, {DEPARTMENTS}) d""",
    f"""INSERT INTO hospitals_practitioner (id, identifier, changed_at, hospital_id, department_id, name, title, specialty)
    SELECT md5('p' || h || '-' || p)::uuid, 'p' || p, now(), md5('h' || h)::uuid,
      md5('d' || h || '-' || p % {DEPARTMENTS} + 1)::uuid, '医生' || p, '主任医师', ''
    FROM generate_series(1, {HOSPITALS}) h, generate_series(1, {PRACTITIONERS}) p""",
    f"""INSERT INTO hospitals_schedule (id, identifier, changed_at, hospital_id, department_id, practitioner_id, day, period)
    SELECT md5('s' || h || '-' || p || '-' || y)::uuid, 's' || p || '-' || y, now(), md5('h' || h)::uuid,
      md5('d' || h || '-' || p % {DEPARTMENTS} + 1)::uuid, md5('p' || h || '-' || p)::uuid, current_date + y,
      CASE WHEN (p + y) % 2 = 0 THEN 'morning' ELSE 'afternoon' END
    FROM generate_series(1, {HOSPITALS}) h, generate_series(1, {PRACTITIONERS}) p, generate_series(1, {DAYS}) y""",
    f"""INSERT INTO hospitals_slot (id, identifier, hospital_id, schedule_id, department_id, practitioner_id, start, "end",
      capacity, free, fee_fen, stopped, changed_at)
    SELECT gen_random_uuid(), 't' || p || '-' || y || '-' || n, md5('h' || h)::uuid,
      md5('s' || h || '-' || p || '-' || y)::uuid, md5('d' || h || '-' || p % {DEPARTMENTS} + 1)::uuid,
      md5('p' || h || '-' || p)::uuid, at, at + interval '30 minutes', 4, (random() * 4)::int, 2500, random() < 0.01, now()
    FROM generate_series(1, {HOSPITALS}) h, generate_series(1, {PRACTITIONERS}) p, generate_series(1, {DAYS}) y,
      generate_series(1, {SLOTS_A_HALF_DAY}) n,
      LATERAL (SELECT date_trunc('day', now()) + make_interval(days => y, mins => 480 + 360 * ((p + y) % 2) + 30 * n)) x(at)""",
)


def figures() -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="hc-bench-") as folder, database(NAME) as made:
        env = {**os.environ, "COMPANION_DATA_DIR": folder, "SECRET_KEY": "only-for-this-benchmark-0123456789abcdef"}
        started = time.perf_counter()
        _run({**env, "DATABASE_URL": made.owner}, "manage.py", "migrate", "--verbosity", "0")
        with psycopg.connect(made.owner, autocommit=True) as owner:
            owner.execute("SET TIME ZONE 'Asia/Shanghai'")  # the days are the residents'
            for statement in _ROWS:
                owner.execute(statement)
            owner.execute("VACUUM ANALYZE")
            yield {"name": "province_seed_s", "value": round(time.perf_counter() - started, 1), "unit": "s"}
            (slots,) = owner.execute("SELECT count(*) FROM hospitals_slot").fetchone() or (0,)
            yield {"name": "province_slots", "value": slots, "unit": "rows"}
        lines = _run({**env, "DATABASE_URL": made.service}, "-m", "benchmarks.province").splitlines()
        yield from (json.loads(line) for line in lines)


def _run(env: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], env=env, stdout=subprocess.PIPE, text=True, timeout=900, check=True
    )
    return done.stdout


def search() -> None:
    """In a process of the service's own role: what a resident's turn asks the directory for."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "companion.settings")
    django.setup()
    from datetime import timedelta

    from django.utils import timezone

    from hospitals.models import Hospital
    from hospitals.services import directory

    chance = random.Random(7)
    day = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    one_hospital = list(Hospital.objects.values_list("id", flat=True)[:50])
    kinds: dict[str, list[float]] = {"city_day": [], "province_day": [], "province_two_weeks": [], "hospital": []}
    for number in range(SEARCHES + 20):
        kind = list(kinds)[number % len(kinds)]
        first = day + timedelta(days=chance.randint(1, DAYS))
        wide = kind in ("province_two_weeks", "hospital")
        city = f"城市{chance.randrange(CITIES)}"
        started = time.perf_counter()
        found = directory.search_slots(
            departments=(f"科{chance.randint(1, DEPARTMENTS)}",),
            start=day if wide else first,
            end=(day if wide else first) + timedelta(days=14 if wide else 1),
            city=city if kind == "city_day" else None,
            near_city=city,
            hospital_id=chance.choice(one_hospital) if kind == "hospital" else None,
            limit=6,
        )
        if number >= 20:  # the first ones warm the process and the connection
            kinds[kind].append((time.perf_counter() - started) * 1000)
        assert found, kind
    for name, times in (
        ("", [ms for mine in kinds.values() for ms in mine]),
        *((f"_{k}", v) for k, v in kinds.items()),
    ):
        times.sort()
        for part in (50, 95):
            value = round(times[len(times) * part // 100], 1)
            print(json.dumps({"name": f"slot_search{name}_p{part}_ms", "value": value, "unit": "ms"}))
    known = directory._departments(("科3",), (), None, None)
    for city in ("城市3", ""):
        mine = [d.id for d in known if d.city == city or not city]
        rows = directory._free_slots(mine, day, day + timedelta(days=14)).values_list("id", "practitioner_id", "start")[
            :72
        ]
        plan = rows.explain(analyze=True, buffers=True, costs=False)
        shown = re.sub(r"'{.*?}'", "'{…}'", plan)
        print(f"{len(mine)} departments:\n{shown}", file=sys.stderr)


if __name__ == "__main__":
    search()
