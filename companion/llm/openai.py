"""Any server that speaks the OpenAI chat protocol with streaming: vLLM, Ollama, a cloud.

Protocol: ``POST {base_url}/chat/completions`` with ``stream: true``; the answer is server-sent events, each ``data:`` a
JSON chunk, ended by ``data: [DONE]``.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import httpx

from companion.llm.base import (
    Message,
    ModelCut,
    ModelNonsense,
    ModelStalled,
    ModelUnavailable,
    Part,
    TextDelta,
    Tool,
    ToolCall,
    Usage,
)

_LONGEST_LINE = 64 * 1024


class OpenAICompatible:
    """``first_s``: until the first byte; ``between_s``: between two lines; ``whole_s``: for the whole answer; seconds."""

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: str = "",
        name: str = "",
        connect_s: float = 2.0,
        first_s: float = 6.0,
        between_s: float = 4.0,
        whole_s: float = 25.0,
    ) -> None:
        self.name = name or model
        self._model = model
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._connect_s, self._first_s, self._between_s, self._whole_s = connect_s, first_s, between_s, whole_s

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 400,
    ) -> AsyncIterator[Part]:
        body = self._body(messages, tools, schema, max_tokens)
        limits = httpx.Timeout(self._first_s, connect=self._connect_s)
        calls: dict[int, dict[str, str]] = {}
        finished = False
        try:
            async with (
                asyncio.timeout(self._whole_s),
                httpx.AsyncClient(timeout=limits, trust_env=False) as client,
                client.stream("POST", self._url, json=body, headers=self._headers) as response,
            ):
                if response.status_code != 200:
                    raise ModelUnavailable(code=f"model_http_{response.status_code}")
                async for data in self._events(response):
                    if data == "[DONE]":
                        finished = True
                        break
                    chunk = _parsed(data)
                    for part in _parts(chunk, calls):
                        yield part
                    finished = finished or _finish_reason(chunk) is not None
        except (TimeoutError, httpx.TimeoutException) as error:
            raise ModelStalled from error
        except httpx.HTTPError as error:
            raise (ModelCut if calls or isinstance(error, httpx.RemoteProtocolError) else ModelUnavailable) from error
        if not finished:
            raise ModelCut
        for _index, call in sorted(calls.items()):
            yield ToolCall(call["name"], _arguments(call["arguments"]))

    def _body(
        self, messages: Sequence[Message], tools: Sequence[Tool], schema: Mapping[str, Any] | None, max_tokens: int
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0.2,
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
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": dict(schema)},
            }
        return body

    async def _events(self, response: httpx.Response) -> AsyncIterator[str]:
        """The payload of each ``data:`` line; a line must come within ``between_s`` of the one before."""
        lines = response.aiter_lines()
        allowed = self._first_s
        while True:
            try:
                line = await asyncio.wait_for(anext(lines), allowed)
            except StopAsyncIteration:
                return
            allowed = self._between_s
            if len(line) > _LONGEST_LINE:
                raise ModelNonsense
            if line.startswith("data:"):
                yield line.removeprefix("data:").strip()


def _parsed(data: str) -> dict[str, Any]:
    try:
        chunk = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelNonsense from error
    if not isinstance(chunk, dict) or not isinstance(chunk.get("choices", []), list):
        raise ModelNonsense
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
    for fragment in delta.get("tool_calls") or []:
        if not isinstance(fragment, dict) or not isinstance(fragment.get("function", {}), dict):
            raise ModelNonsense
        call = calls.setdefault(int(fragment.get("index", 0)), {"name": "", "arguments": ""})
        function = fragment.get("function", {})
        call["name"] += function.get("name") or ""
        call["arguments"] += function.get("arguments") or ""
    usage = chunk.get("usage")
    if isinstance(usage, dict) and isinstance(usage.get("total_tokens"), int):
        found.append(Usage(usage["total_tokens"]))
    return found


def _arguments(text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise ModelNonsense from error
    if not isinstance(arguments, dict):
        raise ModelNonsense
    return arguments
