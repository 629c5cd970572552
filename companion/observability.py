"""Structured logs without personal data: JSON lines, an allow-list of fields, everything else dropped.

A log line is an event name and the fields in ``ALLOWED``; what a resident said, who she is and any value a
caller passes under another name never reaches a handler. Exceptions keep their type and place, not their text,
because messages quote input.
"""

import logging
import traceback
from collections.abc import MutableMapping
from typing import Any

import structlog

from companion.log_shipping import Collector

# Field names that may appear in a log. All hold ids, counts, codes, durations or names of our own code.
ALLOWED = frozenset(
    [
        "event",
        "level",
        "timestamp",
        "logger",
        "code",
        "status",
        "method",
        "route",
        "duration_ms",
        "hospital",
        "visit",
        "session",
        "generation",
        "utterance",
        "engine",
        "queue",
        "task",
        "attempt",
        "count",
        "bytes",
        "state",
        "transition",
        "event_type",
        "retry_in_s",
        "reason",
        "exc_type",
        "exc_at",
        "backend",
        "skill",
        "intent",
        "urgency",
        "version",
        "port",
        "pid",
        "role",
        "page",
        "size",
        "request_id",
        "outcome",
        "check",
        "chain",
        "length",
        "head",
    ]
)


def keep_allowed(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop each field that is not on the list; an exception becomes its type and the line it came from."""
    exc_info = event.pop("exc_info", None)
    if exc_info:
        exc = exc_info if isinstance(exc_info, BaseException) else exc_info[1] if isinstance(exc_info, tuple) else None
        if exc is not None:
            last = traceback.extract_tb(exc.__traceback__)[-1:]
            event["exc_type"] = type(exc).__name__
            event["exc_at"] = f"{last[0].name}:{last[0].lineno}" if last else ""
    for key in [key for key in event if key not in ALLOWED and not key.startswith("_")]:
        del event[key]
    return event


class DropArguments(logging.Filter):
    """Third-party records keep their template and their exception's place; arguments may hold input and are dropped.

    Without arguments the words may be a sentence that was put together before (a refused Host header, a task's repr): then
    only the place that said it is kept.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        template = record.msg if record.args and isinstance(record.msg, str) else ""
        record.msg = template[:200] or f"{record.module}.{record.funcName}:{record.lineno}"
        record.args = None
        return True


_shared: list[Any] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    keep_allowed,
]

structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *_shared,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"drop_arguments": {"()": DropArguments}},
    "formatters": {
        "json": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
            "foreign_pre_chain": _shared,
        }
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"},
        "foreign": {
            "class": "logging.StreamHandler",
            "formatter": "json",
            "stream": "ext://sys.stderr",
            "filters": ["drop_arguments"],
        },
    },
    "root": {"handlers": ["foreign"], "level": "WARNING"},
    "loggers": {
        **{
            name: {"handlers": ["stderr"], "level": "INFO", "propagate": False}
            for name in ("companion", "avatar", "hospitals")
        },
        # What these write by themselves has the exceptions' text: their own handlers go, the root's are left.
        **{
            name: {"handlers": [], "propagate": True}
            for name in ("django", "django.server", "uvicorn", "uvicorn.error", "celery")
        },
        # Without a handler of its own, this one's words would be printed as they are.
        "multiprocessing": {"handlers": ["foreign"], "propagate": False},
        # Request lines quote paths and exceptions quote values: companion.middleware logs requests instead.
        **{
            name: {"handlers": [], "level": "CRITICAL", "propagate": False}
            for name in ("django.request", "uvicorn.access")
        },
    },
}


def shipped(logging_config: dict[str, Any], collector: Collector) -> dict[str, Any]:
    """The same, with every line also on its way to the collector."""
    way = {"class": "companion.log_shipping.CollectorHandler", "formatter": "json", "collector": collector}

    def both(entry: dict[str, Any]) -> dict[str, Any]:
        return entry | {"handlers": [*entry["handlers"], "collector"] if entry["handlers"] else []}

    # one record passes both handlers in this order: what the first one's filter took out of it the second one never sees
    return logging_config | {
        "handlers": logging_config["handlers"] | {"collector": way},
        "root": both(logging_config["root"]),
        "loggers": {name: both(entry) for name, entry in logging_config["loggers"].items()},
    }
