"""Decides what the fake provider answers: from the request itself, or from the script in its `x-fake-script` header."""

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

from spanledger_ingest.traffic import MODELS

SCRIPT_HEADER = "x-fake-script"
TEXT = "The capital of France is Paris. It has been the seat of government since 987."
_TEXT_TOKENS = 17
_TOOL_TOKENS = 16
_TOOL_DEFINITION_TOKENS = 40
_SNAPSHOTS = {model.name: model.snapshot for model in MODELS}

Finish = Literal["stop", "length", "tool_call", "content_filter"]
Json = dict[str, Any]


class TokenCounts(NamedTuple):
    """Tokens that the provider bills for one answer.

    ``input`` includes cache reads and writes, ``cache_write`` those for one hour, ``output`` includes reasoning.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What a request asks the fake provider to do; ``None`` and 0 leave it to the provider.

    The header reads ``key=value key=value``, for instance ``status=429 times=1`` or ``input=2048 cache_read=1920``.
    """

    status: int | None = None
    """Fail with this HTTP status."""
    times: int | None = None
    """Fail only the first so many attempts of the SDK's own retries (`x-stainless-retry-count`); default: all."""
    retry_after_ms: int = 20
    input: int | None = None
    output: int | None = None
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    finish: Finish | None = None
    chunk_ms: int | None = None
    """Pause between the chunks of a stream."""

    @classmethod
    def parse(cls, header: str | None) -> "Script":
        """Read the header.

        Raises:
            ValueError: If it names a key that does not exist, or a number is none.
        """
        known = {field.name for field in fields(cls)}
        values: dict[str, Any] = {}
        for pair in (header or "").split():
            key, _, value = pair.partition("=")
            if key not in known:
                raise ValueError(f"{SCRIPT_HEADER}: unknown key {key!r}; known are {', '.join(sorted(known))}")
            values[key] = value if key == "finish" else int(value)
        return cls(**values)

    def fails(self, attempt: int) -> bool:
        """Tell whether the ``attempt``-th try (from 0) is to fail."""
        return self.status is not None and (self.times is None or attempt < self.times)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is sent back, whatever the API it is dressed for."""

    id: str
    """Hex digits, unique per answer."""
    created: int
    """Seconds since the epoch."""
    model: str
    usage: TokenCounts
    finish: Finish
    text: str
    tool: str | None
    """The tool to call, instead of text."""

    @property
    def tool_arguments(self) -> Json:
        """Arguments of the tool call."""
        return {"city": "Paris"}

    def words(self) -> Iterator[str]:
        """Yield the text in the pieces of a stream."""
        return (word + " " for word in self.text.split())


def answer(
    model: str, body: Json, script: Script, cached: TokenCounts, answers: Mapping[str, str] | None = None
) -> Answer:
    """Decide on an answer.

    Args:
        model: The model asked for.
        body: The request.
        script: Overrides.
        cached: Cache reads and writes that the provider's own cache found for this request.
        answers: What to say to a question, if the last message asks it; anything else gets the same answer.
    """
    tool = _tool(body)
    text = _text(body, answers or {})
    limit = body.get("max_tokens") or body.get("max_completion_tokens") or body.get("max_output_tokens")
    usage = _usage(body, script, cached, said=_TOOL_TOKENS if tool else _tokens(text))
    finish: Finish = "tool_call" if tool else "stop"
    if isinstance(limit, int) and usage.output >= limit and script.output is None:
        usage, finish = usage._replace(output=limit), "length"
    finish = script.finish or finish
    return Answer(
        id=secrets.token_hex(12),
        created=int(time.time()),
        model=_SNAPSHOTS.get(model, model),
        usage=usage,
        finish=finish,
        text="" if tool or finish == "content_filter" else text,
        tool=tool,
    )


def word_count(value: Any) -> int:
    """Count the words of everything textual in a JSON value: a tokenizer that anyone can check by hand."""
    if isinstance(value, str):
        return len(value.split())
    if isinstance(value, Mapping):
        return sum(word_count(item) for key, item in value.items() if key in {"content", "text", "input", "output"})
    if isinstance(value, list):
        return sum(map(word_count, value))
    return 0


def _text(body: Json, answers: Mapping[str, str]) -> str:
    turns = body.get("messages", body.get("input"))
    asked = json.dumps(turns[-1] if isinstance(turns, list) and turns else turns)
    return next((text for question, text in answers.items() if question in asked), TEXT)


def _tokens(text: str) -> int:
    return _TEXT_TOKENS if text == TEXT else word_count(text)


def _usage(body: Json, script: Script, cached: TokenCounts, *, said: int) -> TokenCounts:
    asked = word_count(body.get("messages", body.get("input", []))) + word_count(body.get("system", ""))
    asked += word_count(body.get("instructions", "")) + 4 + _TOOL_DEFINITION_TOKENS * len(body.get("tools", ()))
    return TokenCounts(
        input=asked if script.input is None else script.input,
        output=said if script.output is None else script.output,
        cache_read=script.cache_read or cached.cache_read,
        cache_write=script.cache_write or cached.cache_write,
        cache_write_1h=script.cache_write_1h or cached.cache_write_1h,
        reasoning=script.reasoning,
    )


def _tool(body: Json) -> str | None:
    """Name the first tool offered, unless the last message already is a tool's result."""
    tools = body.get("tools")
    if not tools or _is_tool_result(body):
        return None
    first = tools[0]
    return str(first.get("function", first)["name"])


def _is_tool_result(body: Json) -> bool:
    turns = body.get("messages", body.get("input"))
    last = turns[-1] if isinstance(turns, list) and turns else {}
    content = last.get("content")
    blocks = content if isinstance(content, list) else []
    return (
        last.get("role") == "tool"
        or last.get("type") == "function_call_output"
        or any(block.get("type") == "tool_result" for block in blocks)
    )


class PromptCache:
    """The provider's prompt cache: system blocks marked `cache_control` are written once and read afterwards."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def look_up(self, body: Json) -> TokenCounts:
        """Return the tokens read from and written to the cache for a request."""
        counts = TokenCounts()
        system = body.get("system")
        for block in system if isinstance(system, list) else ():
            control = block.get("cache_control")
            if control:
                counts = self._count(counts, json.dumps([body["model"], block["text"]]), block, control)
        return counts

    def _count(self, counts: TokenCounts, key: str, block: Json, control: Json) -> TokenCounts:
        tokens = word_count(block)
        if key in self._seen:
            return counts._replace(cache_read=counts.cache_read + tokens)
        self._seen.add(key)
        hour = tokens if control.get("ttl") == "1h" else 0
        return counts._replace(cache_write=counts.cache_write + tokens, cache_write_1h=counts.cache_write_1h + hour)
