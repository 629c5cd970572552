"""Off the loop and back: what the hospital's side refuses becomes a CompanionError whose detail can be said to the resident."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError
from redis import RedisError

from companion.background import in_thread
from companion.exceptions import CompanionError, Unavailable
from companion.ports.booking import SlotTaken
from hospitals import exceptions as hospital_errors

# What comes back by itself. Anything else is a fault of ours, and would be met again each time.
AWAY = (OperationalError, InterfaceError, RedisError, OSError, hospital_errors.KeyServiceUnavailable)

P = ParamSpec("P")
T = TypeVar("T")


async def asking(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run it off the loop; the hospital side's errors become ours, with words for her."""
    try:
        return await in_thread(work, *args, **kwargs)
    except hospital_errors.SlotTaken as error:
        raise SlotTaken from error
    except AWAY as error:
        raise Unavailable from error
    except hospital_errors.HospitalsError as error:
        raised = CompanionError(error.detail, code=error.code)
        raised.status_code, raised.retryable = error.status_code, error.retryable
        raise raised from error
