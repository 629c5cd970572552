"""The day on which what is said by itself is tried."""

from datetime import date, datetime, time, timedelta

from django.utils import timezone

TODAY = date(2026, 11, 24)


def at(clock: str, days: int = 0) -> datetime:
    """``at("08:00", 1)``: tomorrow at eight."""
    return timezone.make_aware(datetime.combine(TODAY + timedelta(days=days), time.fromisoformat(clock)))
