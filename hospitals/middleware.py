"""Every request and every Celery task begins and ends outside any hospital's scope; only a credential or a service opens one."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from celery import Task
from celery.signals import task_postrun, task_prerun
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from hospitals import tenancy

Answer = HttpResponseBase


@sync_and_async_middleware
def TenantMiddleware(  # noqa: N802  (named as settings name middlewares)
    get_response: Callable[[HttpRequest], Answer] | Callable[[HttpRequest], Awaitable[Answer]],
) -> Callable[[HttpRequest], Answer] | Callable[[HttpRequest], Awaitable[Answer]]:
    """Clears a scope that a reused thread or a parent context might carry into the request."""
    if iscoroutinefunction(get_response):

        async def asynchronous(request: HttpRequest) -> Answer:
            with tenancy.no_scope():
                answer: Answer = await get_response(request)
                return answer

        return asynchronous

    def synchronous(request: HttpRequest) -> Answer:
        with tenancy.no_scope():
            return get_response(request)  # type: ignore[return-value]

    return synchronous


@task_prerun.connect(weak=False)
def _task_begins(task: Task, **_given: Any) -> None:
    """A worker's process or thread may still carry what the task before it left."""
    if task.request.is_eager:  # it runs in the middle of its caller, who gets her scope back
        task.request.scope_before = tenancy.active()
    tenancy.leave()


@task_postrun.connect(weak=False)
def _task_ends(task: Task, **_given: Any) -> None:
    tenancy.leave(to=getattr(task.request, "scope_before", None))
