"""Any server that speaks the OpenAI chat protocol with streaming: vLLM, Ollama, llama.cpp, a cloud.

``POST {base_url}/chat/completions`` with ``stream: true``; the answer is server-sent events (companion.llm.sse).
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Literal
from weakref import WeakKeyDictionary

import httpx
from django.utils import timezone

from companion.llm.base import (
    Message,
    ModelBusy,
    ModelCut,
    ModelNonsense,
    ModelRefused,
    ModelStalled,
    ModelUnavailable,
    Part,
    TextDelta,
    Tool,
    ToolCall,
    Usage,
)
from companion.llm.sse import AfterThinking, payloads

_MOST_CALLS = 4
_MOST_ARGUMENTS = 4_000
_LONGEST_PARKING_S = 600.0


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Reading the roots costs more than a whole short answer: once a process."""
    return ssl.create_default_context()


class OpenAICompatible:
    """``json_mode`` is what the server knows of structured answers.

    "schema": ``response_format`` with a JSON schema (vLLM, OpenAI, Ollama); "object": JSON without a schema; "words":
    neither, then the schema is told to the model in words. All are checked alike afterwards. ``extra``: more fields of
    the request, such as ``{"chat_template_kwargs": {"enable_thinking": False}}``.
    """

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: str = "",
        name: str = "",
        json_mode: Literal["schema", "object", "words"] = "schema",
        temperature: float = 0.2,
        connect_s: float = 1.0,
        read_s: float = 30.0,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        if not base_url.startswith(("http://", "https://")) or json_mode not in ("schema", "object", "words"):
            raise ValueError("base_url is an http address, json_mode one of schema, object, words")
        self.name = name or model
        self._model = model
        self._url = base_url.rstrip("/") + "/chat/completions"
        # identity: a compressed answer could unfold to any size
        self._headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._json_mode, self._temperature, self._extra = json_mode, temperature, dict(extra or {})
        self._limits = httpx.Timeout(read_s, connect=connect_s, pool=connect_s)
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 400,
    ) -> AsyncIterator[Part]:
        body = self._body(messages, tools, schema, max_tokens)
        calls: dict[int, dict[str, str]] = {}
        spoken = AfterThinking()
        finished = False
        answering = False
        try:
            async with self._client().stream("POST", self._url, json=body, headers=self._headers) as response:
                _accepted(response)
                answering = True
                async for data in payloads(response.aiter_raw()):
                    if data == "[DONE]":
                        finished = True
                        break
                    chunk = _parsed(data)
                    for part in _parts(chunk, calls):
                        if isinstance(part, TextDelta):
                            part = TextDelta(spoken.feed(part.text))
                            if not part.text:
                                continue
                        yield part
                    reason = _finish_reason(chunk)
                    if reason == "length":
                        raise ModelCut(code="model_out_of_tokens")
                    if reason == "content_filter":
                        raise ModelNonsense(code="model_filtered")
                    finished = finished or reason is not None
        except httpx.TimeoutException as error:
            raise ModelStalled from error
        except httpx.HTTPError as error:
            raise (ModelCut if answering else ModelUnavailable) from error
        if not finished:
            raise ModelCut
        if rest := spoken.rest():
            yield TextDelta(rest)
        for _index, call in sorted(calls.items()):
            yield ToolCall(call["name"], _arguments(call["arguments"]))

    def _client(self) -> httpx.AsyncClient:
        """One client an event loop: connections are kept, so that an answer does not begin with a handshake."""
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            client = httpx.AsyncClient(timeout=self._limits, trust_env=False, verify=_tls())
            self._clients[loop] = client
        return client

    async def aclose(self) -> None:
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _body(
        self, messages: Sequence[Message], tools: Sequence[Tool], schema: Mapping[str, Any] | None, max_tokens: int
    ) -> dict[str, Any]:
        told = [{"role": m.role, "content": m.content} for m in messages]
        body: dict[str, Any] = {
            "model": self._model,
            "messages": told,
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": self._temperature,
            "max_tokens": max_tokens,
        }
        if tools:
            body["tools"] = [
                {
                    "type": "function",
                    "function": {"name": t.name, "description": t.description, "parameters": dict(t.parameters)},
                }
                for t in tools
            ]
        if schema is not None:
            if self._json_mode == "schema":
                body["response_format"] = {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "strict": True, "schema": dict(schema)},
                }
            else:
                words = "只回答一个JSON对象,不加别的字,符合这个模式:" + json.dumps(schema, ensure_ascii=False)
                told.insert(0, {"role": "system", "content": words})
                if self._json_mode == "object":
                    body["response_format"] = {"type": "json_object"}
        return body | self._extra


def _accepted(response: httpx.Response) -> None:
    """Nothing for a 200 that streams; the error that the status means for anything else."""
    status = response.status_code
    if status == 200:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise ModelNonsense(code="model_compressed")
        return
    code = f"model_http_{status}"
    if status == 429:
        raise ModelBusy(code=code, after_s=_after_s(response.headers.get("retry-after", "")))
    if 400 <= status < 500 and status != 408:
        raise ModelRefused(code=code)
    raise ModelUnavailable(code=code)


def _after_s(header: str) -> float:
    """Retry-After in seconds, given as seconds or as a date; 0 when unreadable."""
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(header) - timezone.now()).total_seconds()
        except (TypeError, ValueError):
            return 0.0
    return min(max(seconds, 0.0), _LONGEST_PARKING_S) if seconds == seconds else 0.0


def _parsed(data: str) -> dict[str, Any]:
    try:
        chunk = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelNonsense from error
    if not isinstance(chunk, dict) or not isinstance(chunk.get("choices") or [], list):
        raise ModelNonsense
    if chunk.get("error"):  # some servers begin with 200 and fail afterwards
        raise ModelUnavailable(code="model_failed_midway")
    return chunk


def _choice(chunk: dict[str, Any]) -> dict[str, Any]:
    choices = chunk.get("choices") or [{}]
    if not isinstance(choices[0], dict):
        raise ModelNonsense
    return choices[0]


def _finish_reason(chunk: dict[str, Any]) -> str | None:
    reason = _choice(chunk).get("finish_reason")
    return str(reason) if reason else None


def _parts(chunk: dict[str, Any], calls: dict[int, dict[str, str]]) -> list[Part]:
    """The text and usage of one chunk; fragments of tool calls are collected in ``calls``."""
    found: list[Part] = []
    delta = _choice(chunk).get("delta") or {}
    if not isinstance(delta, dict):
        raise ModelNonsense
    text = delta.get("content")
    if isinstance(text, str) and text:
        found.append(TextDelta(text))
    fragments = delta.get("tool_calls") or []
    if not isinstance(fragments, list):
        raise ModelNonsense
    for fragment in fragments:
        _collect(fragment, calls)
    usage = chunk.get("usage")
    if isinstance(usage, dict) and isinstance(usage.get("total_tokens"), int):
        found.append(Usage(max(0, usage["total_tokens"])))
    return found


def _collect(fragment: Any, calls: dict[int, dict[str, str]]) -> None:
    if not isinstance(fragment, dict):
        raise ModelNonsense
    index, function = fragment.get("index", 0), fragment.get("function") or {}
    if not isinstance(index, int) or not isinstance(function, dict):
        raise ModelNonsense
    call = calls.setdefault(index, {"name": "", "arguments": ""})
    for key in call:
        piece = function.get(key) or ""
        if not isinstance(piece, str):
            raise ModelNonsense
        call[key] += piece
    if len(calls) > _MOST_CALLS or len(call["name"]) + len(call["arguments"]) > _MOST_ARGUMENTS:
        raise ModelNonsense(code="model_too_long")


def _arguments(text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise ModelNonsense from error
    if not isinstance(arguments, dict):
        raise ModelNonsense
    return arguments
