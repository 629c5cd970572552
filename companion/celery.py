"""The Celery application: four queues, tasks found in each app's ``tasks`` module.

``speech`` carries voices that somebody waits for, ``default`` what follows from events, ``hospitals`` the calls out to
their systems, which mostly wait (so its worker has threads), ``batch`` what may take its time. On RabbitMQ the queues are quorum queues with a delivery limit, so a task that kills its worker ends in
the dead-letter queue instead of looping.
"""

import logging.config
import os
from typing import Any

import structlog
from celery import Celery
from celery.signals import setup_logging, worker_init, worker_ready
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from kombu import Exchange, Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "companion.settings")

app = Celery("companion")
app.config_from_object("django.conf:settings", namespace="CELERY")
# A worker of one queue need not load what the others' tasks bring: a speech worker only needs the avatar's.
only = os.environ.get("COMPANION_TASKS", "")
app.autodiscover_tasks(only.split(",") if only else None)

QUEUE_NAMES = ("speech", "default", "hospitals", "batch")


def queues(broker_url: str) -> list[Queue]:
    """The task queues for this broker: quorum with dead letters on RabbitMQ, plain lists on Redis."""
    if not broker_url.startswith("amqp"):
        return [Queue(name, routing_key=name) for name in QUEUE_NAMES]
    dead = Queue("dead-letters", Exchange("dead-letters", "fanout"), queue_arguments={"x-queue-type": "quorum"})
    return [
        Queue(
            name,
            Exchange("tasks", "direct"),
            routing_key=name,
            queue_arguments={
                "x-queue-type": "quorum",
                "x-delivery-limit": 3,
                "x-dead-letter-exchange": dead.exchange.name,
            },
        )
        for name in QUEUE_NAMES
    ]


# Here every process reads the settings first, whoever started it: manage.py, uvicorn and Celery itself would show a traceback.
try:
    app.conf.task_queues = queues(app.conf.broker_url or "")
except ImproperlyConfigured as error:
    raise SystemExit(str(error)) from error


@setup_logging.connect
def log_as_everywhere(**_kwargs: Any) -> None:
    """Else Celery takes the handlers away and writes what tasks were called with and what their exceptions say."""
    logging.config.dictConfig(settings.LOGGING)


@worker_ready.connect
def say_so(**_kwargs: Any) -> None:
    """Celery's own word for it is below what is let through of libraries."""
    structlog.get_logger(__name__).info("worker_ready")


@worker_init.connect
def refuse_to_start(**_kwargs: Any) -> None:
    """Celery runs Django's checks and does not look at what they found."""
    from companion import checks  # after Django's set-up

    try:
        checks.refuse_to_start()
    except ImproperlyConfigured as error:
        raise SystemExit(str(error)) from error  # any other exception of a signal's receiver is only logged
