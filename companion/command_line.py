"""manage.py's door. What ends a command because of the place it runs in (settings, keys, database, Redis, the broker) is told in one line
that says what to do, as is a file that cannot be read or written; ``--traceback`` shows the way through the code, as with Django's own
refusals.
"""

from collections.abc import Sequence

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import DEFAULT_DB_ALIAS, Error, connections
from kombu.exceptions import OperationalError as BrokerError
from redis import RedisError

from hospitals.exceptions import CacheUnavailable, HospitalsError, StorageUnavailable

_NO_TABLES = "no_tables: 数据库里没有需要的表或列。请先运行 manage.py migrate。"
_NOT_OURS = "database_role: 这个数据库角色没有这项权限。迁移请用表的所有者,其余命令请用服务自己的角色(deploy/postgres-roles.sh)。"
_STATES = {
    "42P01": _NO_TABLES,
    "42703": _NO_TABLES,
    "42501": _NOT_OURS,
}  # undefined table, undefined column, no privilege
# What goes wrong between us and the database, by Django's names; the others are a fault of ours, or speak of a row.
_AWAY = ("OperationalError", "InterfaceError", "DatabaseError")


def run(argv: Sequence[str]) -> None:
    """Raises ``SystemExit``, with the line or with the command's own status."""
    try:
        execute_from_command_line(list(argv))
    except (ImproperlyConfigured, HospitalsError, Error, RedisError, BrokerError, OSError) as error:
        line = told(error)
        if not line or "--traceback" in argv:
            raise
        raise SystemExit(line) from error


def told(error: Exception) -> str:
    """``code: what is wrong and what to do``, nothing of what stands in a row; "" for what is no matter of the place."""
    match error:
        case HospitalsError():
            return f"{error.code}: {error.detail}"
        case RedisError():
            return f"{CacheUnavailable.code}: Redis 没有应答。请检查 REDIS_URL 和 Redis 服务,再试一次。"
        case BrokerError():
            return "broker_unavailable: 任务队列没有应答。请检查 CELERY_BROKER_URL 和队列服务,再试一次。"
        case Error():
            return _of_database(error)
        case OSError():
            return f"file: {error.filename}: {error.strerror}" if error.filename else ""
    return f"improperly_configured: {error}"


def _of_database(error: Error) -> str:
    state = getattr(error.__cause__, "sqlstate", None) or ""
    if state in _STATES:
        return _STATES[state]
    if str(error).startswith(("no such table", "no such column")):  # SQLite's
        return _NO_TABLES
    if type(error).__name__ not in _AWAY:
        return ""
    from hospitals.checks import reason_of  # once the apps are there

    connection = connections[DEFAULT_DB_ALIAS]
    why = reason_of(connection) if connection.vendor == "postgresql" else f": {error}"
    return f"{StorageUnavailable.code}: 数据库没有应答,或者没有办成{why}。请检查 DATABASE_URL 和数据库服务,再试一次。"
