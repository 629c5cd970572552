"""Work in another process's place: on a connection of its own, which waits for no lock."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

from django.db import connection

from hospitals import tenancy


def elsewhere(hospital_id: UUID, work: Callable[[], Any]) -> Any:
    """What another process comes to, which gives up at once where it would have to wait."""

    def there() -> Any:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '100ms'")
            with tenancy.scope(hospital_id):
                return work()
        finally:
            with connection.cursor() as cursor:
                cursor.execute("RESET lock_timeout")  # the pool hands this session to others
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(there).result()
