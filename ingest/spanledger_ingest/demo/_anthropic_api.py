"""The Anthropic Messages API on the wire, plain and streamed."""

import json
from collections.abc import Iterator

from spanledger_ingest.demo._answers import Answer, Finish, Json, TokenCounts

_FINISHES: dict[Finish, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_call": "tool_use",
    "content_filter": "refusal",
}
_ERRORS = {
    401: ("authentication_error", "invalid x-api-key"),
    404: ("not_found_error", "Not found"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit."),
    529: ("overloaded_error", "Overloaded"),
}


def headers(request_id: str) -> dict[str, str]:
    """Return the headers that every answer carries."""
    return {
        "request-id": f"req_01{request_id}",
        "anthropic-organization-id": "00000000-0000-4000-8000-000000000000",
        "anthropic-ratelimit-requests-limit": "4000",
        "anthropic-ratelimit-requests-remaining": "3999",
        "anthropic-ratelimit-requests-reset": "2026-01-01T00:00:00Z",
        "anthropic-ratelimit-tokens-limit": "400000",
        "anthropic-ratelimit-tokens-remaining": "399000",
        "anthropic-ratelimit-tokens-reset": "2026-01-01T00:00:00Z",
    }


def error(status: int, request_id: str) -> Json:
    """Return the body of a failure."""
    kind, message = _ERRORS.get(status, ("api_error", "Internal server error"))
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": f"req_01{request_id}"}


def response_id(answer: Answer) -> str:
    """Return the id under which the answer will be known."""
    return f"msg_01{answer.id}"


def message(answer: Answer) -> Json:
    """Return a message."""
    return {
        **_head(answer),
        "content": [_block(answer)] if answer.text or answer.tool else [],
        "stop_reason": _FINISHES[answer.finish],
        "usage": _usage(answer.usage),
    }


def message_events(answer: Answer) -> Iterator[str]:
    """Yield the server-sent events of a streamed message: input usage comes first, the final output count last."""
    opening = _usage(answer.usage._replace(output=1))
    yield _event({"type": "message_start", "message": {**_head(answer), "content": [], "usage": opening}})
    if answer.text or answer.tool:
        yield from _block_events(answer)
    yield _event(
        {
            "type": "message_delta",
            "delta": {"stop_reason": _FINISHES[answer.finish], "stop_sequence": None},
            "usage": {"output_tokens": answer.usage.output},
        }
    )
    yield _event({"type": "message_stop"})


def _head(answer: Answer) -> Json:
    return {
        "id": response_id(answer),
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "stop_reason": None,
        "stop_sequence": None,
    }


def _block(answer: Answer) -> Json:
    if answer.tool:
        return {"type": "tool_use", "id": f"toolu_01{answer.id}", "name": answer.tool, "input": answer.tool_arguments}
    return {"type": "text", "text": answer.text}


def _block_events(answer: Answer) -> Iterator[str]:
    empty: Json = {"input": {}} if answer.tool else {"text": ""}
    yield _event({"type": "content_block_start", "index": 0, "content_block": {**_block(answer), **empty}})
    yield _event({"type": "ping"})
    for delta in _deltas(answer):
        yield _event({"type": "content_block_delta", "index": 0, "delta": delta})
    yield _event({"type": "content_block_stop", "index": 0})


def _deltas(answer: Answer) -> Iterator[Json]:
    if answer.tool:
        yield {"type": "input_json_delta", "partial_json": json.dumps(answer.tool_arguments)}
    for word in answer.words():
        yield {"type": "text_delta", "text": word}


def _usage(usage: TokenCounts) -> Json:
    """Return the usage as Anthropic writes it: ``input_tokens`` leaves out cache reads and writes."""
    return {
        "input_tokens": usage.input - usage.cache_read - usage.cache_write,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write - usage.cache_write_1h,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.output,
        "service_tier": "standard",
    }


def _event(payload: Json) -> str:
    return f"event: {payload['type']}\ndata: {json.dumps(payload, separators=(',', ':'))}\n\n"
