"""The scope travels where the work goes: coroutines, tasks, threads, async generators; and never further."""

import ast
import asyncio
import threading
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.generic.websocket import AsyncWebsocketConsumer

from hospitals import tenancy
from hospitals.compiled import CompiledInsert
from hospitals.exceptions import ScopeMissing
from hospitals.middleware import TenantMiddleware
from tests.hospitals.tenant_rows import MAKERS, OPEN, OTHERS, OURS, TENANTS

ROOT = Path(__file__).resolve().parents[2]
A, B, C = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()


def seen() -> uuid.UUID | None:
    scope = tenancy.active()
    return scope.hospital_id if scope else None


def test_without_a_scope_it_raises() -> None:
    with pytest.raises(ScopeMissing):
        tenancy.current()


def test_scopes_nest_and_end_also_by_an_exception() -> None:
    with tenancy.scope(A):
        with pytest.raises(RuntimeError), tenancy.scope(str(B)):
            assert tenancy.current() == B
            raise RuntimeError
        assert tenancy.current() == A
        with tenancy.no_scope():
            assert seen() is None
    assert seen() is None


def test_a_report_needs_a_name_and_a_reason() -> None:
    with pytest.raises(ScopeMissing), tenancy.commission("report", ""):
        pass


def test_a_report_that_nobody_writes_down_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenancy, "on_report", [])
    with pytest.raises(ScopeMissing) as refused, tenancy.commission("report", "why"):
        pass
    assert refused.value.code == "report_unaudited" and seen() is None


def test_a_look_across_hospitals_has_a_name_that_is_known() -> None:
    with pytest.raises(ScopeMissing), tenancy.service("something new"):
        pass
    assert seen() is None


def test_every_look_across_hospitals_in_the_code_is_on_the_list_and_none_is_left_over() -> None:
    used: dict[str, str] = {}
    for file in sorted(path for app in ("hospitals", "companion", "avatar") for path in (ROOT / app).rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        named = {
            ast.unparse(call.args[0]): str(file)
            for call in ast.walk(ast.parse(text))
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "tenancy.service"
        }
        used |= named
        if file != ROOT / "hospitals/tenancy.py":
            assert "import service" not in text or "hospitals.tenancy" not in text, file
            assert "Scope(None" not in text and "_entered(" not in text, file
    assert set(used) == {repr(work) for work in tenancy.WORKS}, used


def test_every_model_of_a_hospital_has_a_row_to_be_tried_with() -> None:
    """tests/hospitals/test_row_security.py tries each on PostgreSQL; a model of nobody's is named."""
    assert set(TENANTS) | set(OPEN) == set(MAKERS) and len(TENANTS) >= 10 and len(OPEN) >= 15
    assert {model.__name__ for model in OURS} - {model.__name__ for model in MAKERS} == OTHERS


def test_rows_of_a_hospital_are_never_written_as_shared() -> None:
    assert not any(CompiledInsert(model)._shared for model in MAKERS)


async def test_tasks_started_at_once_keep_their_own_scope() -> None:
    async def work(hospital: uuid.UUID) -> list[uuid.UUID]:
        found = []
        with tenancy.scope(hospital):
            for _ in range(20):
                await asyncio.sleep(0)
                found.append(tenancy.current())
                found.append(await asyncio.create_task(inner()))
        return found

    async def inner() -> uuid.UUID:
        await asyncio.sleep(0)
        return tenancy.current()

    for hospital, found in zip((A, B), await asyncio.gather(work(A), work(B)), strict=True):
        assert set(found) == {hospital}
    assert seen() is None


@pytest.mark.parametrize("thread_sensitive", [True, False])
async def test_threads_see_the_caller_s_scope_and_leave_none_behind(thread_sensitive: bool) -> None:
    look = sync_to_async(seen, thread_sensitive=thread_sensitive)
    with tenancy.scope(A):
        assert await look() == A
    assert await look() is None


def test_async_to_sync_carries_it_in() -> None:
    async def look() -> uuid.UUID | None:
        await asyncio.sleep(0)
        return seen()

    with tenancy.scope(A):
        assert async_to_sync(look)() == A


def test_a_bare_thread_begins_without_one() -> None:
    found: list[uuid.UUID | None] = []
    with tenancy.scope(A):
        thread = threading.Thread(target=lambda: found.append(seen()))
        thread.start()
        thread.join()
    assert found == [None]


# --- async generators: where such schemes break ---------------------------------------------------------------


async def naive(hospital: uuid.UUID) -> AsyncIterator[uuid.UUID]:
    with tenancy.scope(hospital):
        for _ in range(3):
            yield tenancy.current()


async def test_a_naive_generator_leaks_which_is_why_within_exists() -> None:
    stream = naive(A)
    await anext(stream)
    assert seen() == A, "if this fails, Python has changed and hospitals.tenancy.within can go"
    await stream.aclose()


@tenancy.streaming
async def stream_of(*, hospital_id: uuid.UUID, log: list[uuid.UUID]) -> AsyncIterator[uuid.UUID]:
    try:
        for _ in range(3):
            await asyncio.sleep(0)
            log.append(await sync_to_async(tenancy.current)())
            yield tenancy.current()
    finally:
        await asyncio.sleep(0)
        log.append(tenancy.current())


async def test_two_streams_driven_in_turn_do_not_mix_and_nothing_leaks() -> None:
    log_a: list[uuid.UUID] = []
    log_b: list[uuid.UUID] = []
    with tenancy.scope(B):
        a, b = stream_of(hospital_id=A, log=log_a), stream_of(hospital_id=B, log=log_b)
        for _ in range(3):
            assert await anext(a) == A and tenancy.current() == B
            assert await anext(b) == B
        with pytest.raises(StopAsyncIteration):
            await anext(a)
        await b.aclose()
    assert set(log_a) == {A} and len(log_a) == 4 and set(log_b) == {B} and len(log_b) == 4
    assert seen() is None


async def test_a_stream_that_is_closed_by_another_task_ends_in_its_own_scope() -> None:
    log: list[uuid.UUID] = []
    stream = stream_of(hospital_id=A, log=log)
    await anext(stream)

    async def close() -> None:
        with tenancy.scope(B):
            await stream.aclose()
            assert tenancy.current() == B

    await asyncio.create_task(close())
    assert log == [A, A] and seen() is None


async def test_a_cancelled_stream_cleans_up_in_its_own_scope() -> None:
    log: list[uuid.UUID | None] = []
    waiting = asyncio.Event()

    async def slow() -> AsyncIterator[int]:
        try:
            waiting.set()
            await asyncio.Event().wait()
            yield 1
        finally:
            log.append(seen())

    async def consume() -> None:
        async for _ in tenancy.within(A, slow()):
            pass

    task = asyncio.create_task(consume())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == [A] and seen() is None


async def test_a_stream_within_a_stream_keeps_each_in_its_own_scope_also_when_cancelled() -> None:
    log: list[tuple[str, uuid.UUID | None]] = []
    reached = asyncio.Event()

    async def inner() -> AsyncIterator[int]:
        try:
            log.append(("inner", seen()))
            yield 1
            reached.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            log.append(("inner ends", seen()))

    async def outer() -> AsyncIterator[int]:
        try:
            async for item in tenancy.within(B, inner()):
                log.append(("outer", seen()))
                yield item
        finally:
            await asyncio.sleep(0)
            log.append(("outer ends", seen()))

    async def consume() -> None:
        with tenancy.scope(C):
            try:
                async for _ in tenancy.within(A, outer()):
                    log.append(("caller", seen()))
            finally:
                log.append(("caller ends", seen()))

    task = asyncio.create_task(consume())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == [
        ("inner", B),
        ("outer", A),
        ("caller", C),
        ("inner ends", B),
        ("outer ends", A),
        ("caller ends", C),
    ]
    assert seen() is None


async def test_a_cancelled_task_leaves_no_scope_to_who_waits_for_it() -> None:
    inside = asyncio.Event()

    async def work() -> None:
        with tenancy.scope(A):
            inside.set()
            await asyncio.Event().wait()

    with tenancy.scope(B):
        task = asyncio.create_task(work())
        await inside.wait()
        assert seen() == B
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert seen() == B
    assert seen() is None


async def test_errors_inside_a_stream_reach_the_caller() -> None:
    async def failing() -> AsyncIterator[int]:
        yield 1
        raise LookupError

    with pytest.raises(LookupError):
        async for _ in tenancy.within(A, failing()):
            pass


# --- requests and consumers -----------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
async def test_a_consumer_s_handlers_begin_without_a_scope() -> None:
    found: list[uuid.UUID | None] = []

    class Consumer(AsyncWebsocketConsumer):
        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            found.append(seen())
            with tenancy.scope(uuid.UUID(text_data)):
                await asyncio.sleep(0)
                found.append(seen())
            await self.send(text_data="done")

    sockets = {name: ApplicationCommunicator(Consumer.as_asgi(), {"type": "websocket"}) for name in ("one", "two")}
    for socket in sockets.values():
        await socket.send_input({"type": "websocket.connect"})
        assert (await socket.receive_output())["type"] == "websocket.accept"
    for name, hospital in (("one", A), ("two", B), ("one", B)):
        await sockets[name].send_input({"type": "websocket.receive", "text": str(hospital)})
        assert (await sockets[name].receive_output())["text"] == "done"
    for socket in sockets.values():
        await socket.send_input({"type": "websocket.disconnect", "code": 1000})
        await socket.wait()
    assert found == [None, A, None, B, None, B]


async def test_a_request_begins_and_ends_outside_any_scope(rf) -> None:
    found: list[uuid.UUID | None] = []

    async def asynchronous(request):
        found.append(seen())
        tenancy._current.set(tenancy.Scope(B))  # a view that forgets to leave its scope
        return "answer"

    with tenancy.scope(A):
        assert await TenantMiddleware(asynchronous)(rf.get("/")) == "answer"
        assert seen() == A
        assert TenantMiddleware(lambda request: found.append(seen()))(rf.get("/")) is None
    assert found == [None, None]
