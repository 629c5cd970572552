"""The visit: understanding, safety, skills, the journey, what is said next. Also the project's settings and root."""

from companion.celery import app as celery_app

__all__ = ["celery_app"]
