"""A loopback provider that speaks the wire formats of the SDKs we attach to, and what several modules share."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

JSON = dict[str, Any]

OPENAI_USAGE: JSON = {
    "prompt_tokens": 14,
    "completion_tokens": 17,
    "total_tokens": 31,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 2},
}
ANTHROPIC_USAGE: JSON = {
    "input_tokens": 128,
    "output_tokens": 17,
    "cache_read_input_tokens": 1664,
    "cache_creation_input_tokens": 256,
    "cache_creation": {"ephemeral_5m_input_tokens": 56, "ephemeral_1h_input_tokens": 200},
    "service_tier": "standard",
}


@dataclass
class Request:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: JSON


@dataclass
class Provider:
    """A running fake provider.

    ``failures`` are answered first, one per request, as (status, body); then the path decides.
    """

    url: str
    requests: list[Request] = field(default_factory=list)
    failures: list[tuple[int, JSON]] = field(default_factory=list)
    refuses_stream_options: bool = False
    finish_reason: str = "stop"
    stall: threading.Event | None = None

    @property
    def last(self) -> Request:
        return self.requests[-1]


def _openai_chat(provider: Provider, request: Request) -> JSON | list[JSON]:
    base = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o-2024-08-06", "service_tier": "default"}
    reason = provider.finish_reason
    message: JSON = {"role": "assistant", "content": "Hello there"}
    if reason == "tool_calls":
        call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    if not request.body.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return {**base, "object": "chat.completion", "choices": [choice], "usage": OPENAI_USAGE}
    asked = bool((request.body.get("stream_options") or {}).get("include_usage"))
    extra: JSON = {"usage": None} if asked else {}
    deltas: list[tuple[JSON, str | None]] = [({"content": "Hello"}, None), ({"content": " there"}, None), ({}, reason)]
    chunks = [
        {
            **base,
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": delta, "finish_reason": end}],
            **extra,
        }
        for delta, end in deltas
    ]
    if asked:
        chunks.append({**base, "object": "chat.completion.chunk", "choices": [], "usage": OPENAI_USAGE})
    return chunks


def _openai_responses(_provider: Provider, request: Request) -> JSON | list[JSON]:
    text = {"type": "output_text", "text": "Hello there", "annotations": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
    usage = {
        "input_tokens": 14,
        "output_tokens": 17,
        "total_tokens": 31,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens_details": {"reasoning_tokens": 5},
    }
    base: JSON = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-4o-2024-08-06"}
    base |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    done = {**base, "status": "completed", "output": [item], "usage": usage}
    if not request.body.get("stream"):
        return done
    begun = {**base, "status": "in_progress", "output": []}
    return [
        {"type": "response.created", "sequence_number": 0, "response": begun},
        {"type": "response.completed", "sequence_number": 1, "response": done},
    ]


def _openai_embeddings(_provider: Provider, _request: Request) -> JSON:
    vector = {"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}
    usage = {"prompt_tokens": 8, "total_tokens": 8}
    return {"object": "list", "data": [vector], "model": "text-embedding-3-small", "usage": usage}


def _anthropic(provider: Provider, request: Request) -> JSON | list[JSON]:
    tool = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}
    tools = provider.finish_reason == "tool_use"
    content = [tool] if tools else [{"type": "text", "text": "Hello there"}]
    message: JSON = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929"}
    reason = provider.finish_reason if provider.finish_reason != "stop" else "end_turn"
    if not request.body.get("stream"):
        return {**message, "content": content, "stop_reason": reason, "stop_sequence": None, "usage": ANTHROPIC_USAGE}
    start = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    start["usage"] = {**ANTHROPIC_USAGE, "output_tokens": 1}
    delta = {"type": "text_delta", "text": "Hello"}
    return [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_delta", "index": 0, "delta": {**delta, "text": " there"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 17}},
        {"type": "message_stop"},
    ]


def _google(_provider: Provider, request: Request) -> JSON | list[JSON]:
    usage = {"promptTokenCount": 14, "candidatesTokenCount": 17, "totalTokenCount": 31}
    part = {"parts": [{"text": "Hello there"}], "role": "model"}
    answer = {"candidates": [{"content": part, "finishReason": "STOP", "index": 0}], "usageMetadata": usage}
    answer |= {"modelVersion": "gemini-2.5-flash", "responseId": "google-1"}
    return [answer] if "stream" in request.path else answer


def _bedrock(_provider: Provider, _request: Request) -> JSON:
    message = {"role": "assistant", "content": [{"text": "Hello there"}]}
    usage = {"inputTokens": 14, "outputTokens": 17, "totalTokens": 31}
    return {"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 5}}


def _cohere(_provider: Provider, _request: Request) -> JSON:
    usage = {
        "billed_units": {"input_tokens": 6, "output_tokens": 17},
        "tokens": {"input_tokens": 72, "output_tokens": 19},
    }
    message = {"role": "assistant", "content": [{"type": "text", "text": "Hello there"}]}
    return {"id": "cohere-1", "finish_reason": "COMPLETE", "message": message, "usage": usage}


def _ollama(_provider: Provider, _request: Request) -> JSON:
    message = {"role": "assistant", "content": "Hello there"}
    counts = {"prompt_eval_count": 14, "eval_count": 17, "done": True, "done_reason": "stop"}
    return {"model": "llama3.2", "created_at": "2026-01-01T00:00:00Z", "message": message, **counts}


def _groq(provider: Provider, request: Request) -> JSON | list[JSON]:
    chat = _openai_chat(provider, request)
    if isinstance(chat, list):
        chat[-1]["x_groq"] = {"id": "req_1", "usage": OPENAI_USAGE}
    return chat


def _openai_completions(_provider: Provider, request: Request) -> JSON | list[JSON]:
    base: JSON = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "gpt-3.5-turbo-instruct"}
    usage = {"prompt_tokens": 14, "completion_tokens": 17, "total_tokens": 31}
    if not request.body.get("stream"):
        choice = {"index": 0, "text": "Hello there", "finish_reason": "stop", "logprobs": None}
        return {**base, "choices": [choice], "usage": usage}
    parts = (("Hello", None), (" there", "stop"))
    chunks = [{**base, "choices": [{"index": 0, "text": text, "finish_reason": end}]} for text, end in parts]
    asked = bool((request.body.get("stream_options") or {}).get("include_usage"))
    return [*chunks, {**base, "choices": [], "usage": usage}] if asked else chunks


_ROUTES: tuple[tuple[str, Callable[[Provider, Request], JSON | list[JSON]]], ...] = (
    ("/openai/v1/chat/completions", _groq),
    ("/chat/completions", _openai_chat),
    ("/v1/completions", _openai_completions),
    ("/responses", _openai_responses),
    ("/embeddings", _openai_embeddings),
    ("/v1/messages", _anthropic),
    ("GenerateContent", _google),
    (":generateContent", _google),
    ("/converse", _bedrock),
    ("/v2/chat", _cohere),
    ("/api/chat", _ollama),
)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    provider: Provider

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        pass

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        headers = {key.lower(): value for key, value in self.headers.items()}
        request = Request(self.path, headers, json.loads(self.rfile.read(length) or b"{}"))
        self.provider.requests.append(request)
        if self.provider.failures:
            return self._send(*self.provider.failures.pop(0))
        if self.provider.refuses_stream_options and "stream_options" in request.body:
            message = "Unrecognized request argument supplied: stream_options"
            return self._send(400, {"error": {"message": message, "type": "invalid_request_error"}})
        answer = next((route for part, route in _ROUTES if part in self.path), None)
        if answer is None:
            return self._send(404, {"error": {"message": f"no such path {self.path}"}})
        found = answer(self.provider, request)
        return self._stream(found) if isinstance(found, list) else self._send(200, found)

    def _send(self, status: int, body: JSON) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.send_header("connection", "close")  # some SDKs never close the client they keep
        if status == 429:
            self.send_header("retry-after-ms", "1")
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, events: list[JSON]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            for position, event in enumerate(events):
                if position == 2 and self.provider.stall is not None:
                    self.provider.stall.wait(20)
                name = f"event: {event['type']}\n" if "type" in event else ""
                self.wfile.write(f"{name}data: {json.dumps(event)}\n\n".encode())
                self.wfile.flush()
            if "/completions" in self.path:
                self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            pass  # the caller left: that is what some tests are about


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider on a free loopback port."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    running = Provider(f"http://127.0.0.1:{server.server_address[1]}")
    handler.provider = running  # type: ignore[attr-defined]  # one handler class per server
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield running
    if running.stall is not None:
        running.stall.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def run_python() -> Callable[..., str]:
    """Run code in a fresh interpreter and return what it prints; for everything that changes global state."""

    def run(code: str, **environment: str) -> str:
        clean = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("OTEL_", "SPANLEDGER_", "ANTHROPIC_", "OPENAI_"))
        }
        command = [sys.executable, "-W", "error", "-c", code]
        done = subprocess.run(
            command,
            env=clean | {"SPANLEDGER_SPOOL_DIR": "off"} | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return run
