"""The OpenAI API on the wire: chat completions, embeddings and responses, plain and streamed."""

import json
import struct
from base64 import b64encode
from collections.abc import Iterator

from spanledger_ingest.demo._answers import Answer, Finish, Json, TokenCounts, word_count

_FINGERPRINT = "fp_b376dfbbd5"
_FINISHES: dict[Finish, str] = {
    "stop": "stop",
    "length": "length",
    "tool_call": "tool_calls",
    "content_filter": "content_filter",
}
_ERRORS = {
    400: ("Bad request.", "invalid_request_error", None),
    401: ("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    404: ("Not found.", "invalid_request_error", None),
    429: ("Rate limit reached for requests", "requests", "rate_limit_exceeded"),
}
_SERVER_ERROR = ("The server had an error while processing your request.", "server_error", None)
_VECTOR = (0.25, -0.5, 0.125, 0.0, 1.0, -0.25, 0.5, 0.75)


def headers(request_id: str) -> dict[str, str]:
    """Return the headers that every answer carries."""
    return {
        "x-request-id": f"req_{request_id}",
        "openai-organization": "fake-org",
        "openai-processing-ms": "12",
        "openai-version": "2020-10-01",
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-limit-tokens": "2000000",
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-remaining-tokens": "1999000",
        "x-ratelimit-reset-requests": "6ms",
        "x-ratelimit-reset-tokens": "0s",
    }


def error(status: int) -> Json:
    """Return the body of a failure."""
    message, kind, code = _ERRORS.get(status, _SERVER_ERROR)
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def response_id(answer: Answer, path: str) -> str:
    """Return the id under which the answer will be known; embeddings have none."""
    if path.endswith("/embeddings"):
        return ""
    return ("resp_" if path.endswith("/responses") else "chatcmpl-") + answer.id


def completion(answer: Answer) -> Json:
    """Return a chat completion."""
    message: Json = {"role": "assistant", "content": answer.text or None, "refusal": None, "annotations": []}
    if answer.tool:
        message["tool_calls"] = [_tool_call(answer)]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _FINISHES[answer.finish]}
    return {**_chat_head(answer, "chat.completion"), "choices": [choice], "usage": _chat_usage(answer.usage)}


def completion_events(answer: Answer, *, include_usage: bool) -> Iterator[str]:
    """Yield the server-sent events of a streamed chat completion, usage last and only if asked for."""
    no_usage: Json = {"usage": None} if include_usage else {}
    for delta, finish in _deltas(answer):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        yield _data({**_chat_head(answer, "chat.completion.chunk"), "choices": [choice], **no_usage})
    if include_usage:
        usage = _chat_usage(answer.usage)
        yield _data({**_chat_head(answer, "chat.completion.chunk"), "choices": [], "usage": usage})
    yield "data: [DONE]\n\n"


def embeddings(answer: Answer, body: Json) -> Json:
    """Return one vector per text, as floats or as base64, whichever was asked for."""
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    packed = b64encode(struct.pack(f"<{len(_VECTOR)}f", *_VECTOR)).decode()
    vector = packed if body.get("encoding_format") == "base64" else list(_VECTOR)
    data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(len(texts))]
    tokens = embedding_tokens(body)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": answer.model, "usage": usage}


def embedding_tokens(body: Json) -> int:
    """Return the tokens billed for an embeddings request: its words."""
    return word_count(body["input"])


def response(answer: Answer, *, status: str = "completed") -> Json:
    """Return an object of the responses API."""
    cut = answer.finish == "length" and status == "completed"
    done = status == "completed"
    return {
        "id": f"resp_{answer.id}",
        "object": "response",
        "created_at": answer.created,
        "status": "incomplete" if cut else status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": None,
        "metadata": {},
        "model": answer.model,
        "output": [_output_item(answer)] if done else [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "service_tier": "default",
        "usage": _response_usage(answer.usage) if done else None,
    }


def response_events(answer: Answer) -> Iterator[str]:
    """Yield the server-sent events of a streamed response."""
    item = _output_item(answer)
    place = {"output_index": 0, "item_id": item["id"]}
    empty: Json = {"arguments": ""} if answer.tool else {"content": []}
    opened = {**item, "status": "in_progress", **empty}
    end = "response.incomplete" if answer.finish == "length" else "response.completed"
    events: list[Json] = [
        {"type": "response.created", "response": response(answer, status="in_progress")},
        {"type": "response.in_progress", "response": response(answer, status="in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": opened},
        *_item_events(answer, item, place),
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": end, "response": response(answer)},
    ]
    for number, event in enumerate(events):
        yield f"event: {event['type']}\n" + _data({**event, "sequence_number": number})


def _item_events(answer: Answer, item: Json, place: Json) -> list[Json]:
    if answer.tool:
        arguments = item["arguments"]
        return [
            {"type": "response.function_call_arguments.delta", "delta": arguments, **place},
            {"type": "response.function_call_arguments.done", "arguments": arguments, "name": answer.tool, **place},
        ]
    part = item["content"][0]
    inside = {**place, "content_index": 0}
    deltas = ({"type": "response.output_text.delta", "delta": w, "logprobs": [], **inside} for w in answer.words())
    return [
        {"type": "response.content_part.added", "part": {**part, "text": ""}, **inside},
        *deltas,
        {"type": "response.output_text.done", "text": part["text"], "logprobs": [], **inside},
        {"type": "response.content_part.done", "part": part, **inside},
    ]


def _output_item(answer: Answer) -> Json:
    if answer.tool:
        return {
            "type": "function_call",
            "id": f"fc_{answer.id}",
            "call_id": f"call_{answer.id}",
            "name": answer.tool,
            "arguments": json.dumps(answer.tool_arguments),
            "status": "completed",
        }
    text = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
    return {"type": "message", "id": f"msg_{answer.id}", "role": "assistant", "status": "completed", "content": [text]}


def _chat_head(answer: Answer, kind: str) -> Json:
    return {
        "id": f"chatcmpl-{answer.id}",
        "object": kind,
        "created": answer.created,
        "model": answer.model,
        "service_tier": "default",
        "system_fingerprint": _FINGERPRINT,
    }


def _deltas(answer: Answer) -> Iterator[tuple[Json, str | None]]:
    yield {"role": "assistant", "content": None if answer.tool else "", "refusal": None}, None
    if answer.tool:
        yield {"tool_calls": [{"index": 0, **_tool_call(answer)}]}, None
    for word in answer.words():
        yield {"content": word}, None
    yield {}, _FINISHES[answer.finish]


def _tool_call(answer: Answer) -> Json:
    function = {"name": answer.tool, "arguments": json.dumps(answer.tool_arguments)}
    return {"id": f"call_{answer.id}", "type": "function", "function": function}


def _chat_usage(usage: TokenCounts) -> Json:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _response_usage(usage: TokenCounts) -> Json:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cache_read},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


def _data(payload: Json) -> str:
    return f"data: {json.dumps(payload, separators=(',', ':'))}\n\n"
