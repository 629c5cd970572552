"""The work behind benchmarks.hospital_api: a hospital joins on a fresh SQLite file, then is loaded and asked."""

import json
import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

SLOTS, EVENTS, READS, PAGE = 20_000, 400, 300, 500


def say(name: str, value: float, unit: str) -> None:
    print(json.dumps({"name": f"hospital_api.{name}", "value": round(value, 1), "unit": unit}), flush=True)


def slots(day: str) -> list[str]:
    """A directory of one doctor with very many places."""
    rows: list[dict[str, Any]] = [
        {"kind": "departments", "identifier": "D", "name": "眼科"},
        {"kind": "practitioners", "identifier": "P", "department": "D", "name": "高明"},
        {
            "kind": "schedules",
            "identifier": "S",
            "department": "D",
            "practitioner": "P",
            "day": day,
            "period": "morning",
        },
    ]
    times = {"start": f"{day}T09:00:00+08:00", "end": f"{day}T09:30:00+08:00", "capacity": 5}
    rows += [{"kind": "slots", "identifier": f"T{n}", "schedule": "S", **times} for n in range(SLOTS)]
    return [json.dumps(row, ensure_ascii=False) for row in rows]


def main(folder: Path) -> None:
    from companion.embedded import RedisServer

    redis = RedisServer(folder / "redis.sock", folder=folder).start()
    os.environ["REDIS_URL"] = redis.url
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "companion.settings")
    try:
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        measure()
    finally:
        redis.stop()


def measure() -> None:
    import logging
    import uuid

    from django.test import Client
    from django.utils import timezone

    from hospitals.connectors import push
    from hospitals.services import limits
    from tests.hospitals.joining import joined

    logging.disable(logging.CRITICAL)
    limits.CREDENTIAL = limits.Limit("credential", 10**6, 60)
    river = joined("river")
    day = (timezone.localtime() + timedelta(days=1)).date().isoformat()
    body = "\n".join(slots(day)).encode()
    for name in ("new", "unchanged"):
        started = time.perf_counter()
        answer = river.call("PUT", f"/imports/{uuid.uuid4()}/", body, media="application/x-ndjson")
        assert answer.json()["refused"] == 0, answer.content[:500]
        say(f"import_{name}", answer.json()["read"] / (time.perf_counter() - started), "rows/s")

    made = river.call("POST", "/test-appointments/", {}).json()
    messages = []
    for number in range(EVENTS):
        event = {
            "event_id": f"e-{number}",
            "type": "appointment.booked",
            "appointment_id": made["appointment_id"],
            "sequence": number,
            "occurred_at": timezone.now().isoformat(),
        }
        raw = json.dumps(event).encode()
        messages.append((raw, {**push.sign(river.signing_secret, f"m-{number}", raw), "hospital-code": "river"}))
    client, held = Client(), {"authorization": f"Bearer {river.token}"}
    started = time.perf_counter()
    for raw, headers in messages:
        answer = client.post("/api/hospitals/v1/events/", raw, content_type="application/json", headers=headers)
        assert answer.status_code == 202, answer.content
    say("events_accepted", EVENTS / (time.perf_counter() - started), "events/s")

    started = time.perf_counter()
    for number in range(READS):
        answer = client.get(f"/api/hospitals/v1/directory/slots/T{number}/", headers=held)
        assert answer.status_code == 200
    say("row_read", READS / (time.perf_counter() - started), "requests/s")

    started, cursor, seen = time.perf_counter(), "", 0
    while True:
        page = river.get(f"/directory/slots/?limit={PAGE}&cursor={cursor}").json()
        seen, cursor = seen + len(page["items"]), page["cursor"]
        if not page["more"]:
            break
    assert seen == SLOTS, seen
    say("list_read", seen / (time.perf_counter() - started), "rows/s")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
