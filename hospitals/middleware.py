"""Every request begins and ends outside any hospital's scope; only a credential or a service opens one."""

from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction
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
