"""A loopback HTTP server that answers as OpenAI and Anthropic do, with usage that anyone can count by hand.

    with FakeProvider() as provider:
        client = openai.OpenAI(base_url=provider.openai_url, api_key="any")
        ...
        provider.requests[-1].usage  # what the provider would bill

A request that carries the header ``x-fake-script`` (see `Script`) decides over its answer: ``status=429 times=1`` is
refused once and then served, ``input=2048 cache_read=1920 output=17`` sets the usage.
"""

import json
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_hex
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Literal, Self

from spanledger_ingest.demo import _anthropic_api as anthropic_api
from spanledger_ingest.demo import _openai_api as openai_api
from spanledger_ingest.demo._answers import SCRIPT_HEADER, Answer, Json, PromptCache, Script, TokenCounts, answer

__all__ = ["FakeProvider", "Script", "ServedRequest", "TokenCounts"]


@dataclass(slots=True, kw_only=True)
class ServedRequest:
    """One HTTP request as the provider saw it, and what it will bill."""

    provider: Literal["openai", "anthropic"]
    path: str
    headers: dict[str, str]
    """Lower-case names."""
    body: Json
    status: int
    response_id: str = ""
    model: str = ""
    """The model that answered, or the one asked for if none did."""
    usage: TokenCounts = field(default_factory=TokenCounts)
    stream: bool = False
    told_usage: bool = True
    """False if the stream was not asked to report usage."""
    completed: bool = False
    """False while streaming, and for good if the client hung up."""


class FakeProvider:
    """A fake provider on a free loopback port. Use as a context manager, or `start` and `stop` it."""

    def __init__(self, *, chunk_s: float = 0.0, answers: Mapping[str, str] | None = None) -> None:
        """Prepare.

        Args:
            chunk_s: The pause before each chunk of a stream, and before a plain answer.
            answers: What to say to a question, wherever it stands in the last message.
        """
        self.chunk_s = chunk_s
        self.answers = dict(answers or {})
        self.outage: int | None = None
        """While set, every request is refused with this HTTP status."""
        self.cache = PromptCache()
        self._requests: list[ServedRequest] = []
        self._lock = Lock()
        self._server = _Server(self)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="fake-provider")

    @property
    def url(self) -> str:
        """The address without a path."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def openai_url(self) -> str:
        """The base URL for OpenAI clients."""
        return f"{self.url}/v1"

    @property
    def anthropic_url(self) -> str:
        """The base URL for Anthropic clients."""
        return self.url

    @property
    def requests(self) -> list[ServedRequest]:
        """Everything served so far, in order of arrival."""
        with self._lock:
            return list(self._requests)

    def record(self, request: ServedRequest) -> None:
        """Keep a request in the books."""
        with self._lock:
            self._requests.append(request)

    def start(self) -> Self:
        """Serve in a thread."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close every connection and stop serving."""
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    """Knows its open connections, so that keep-alive clients do not hold up the end."""

    daemon_threads = False  # so that server_close() waits for the handlers

    def __init__(self, provider: FakeProvider) -> None:
        self.provider = provider
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up between requests."""

    def hang_up(self) -> None:
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client was quicker


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
        """Keep quiet."""

    def do_POST(self) -> None:
        """Answer one API request."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
        seen = self._seen(body)
        try:
            script = Script.parse(self.headers.get(SCRIPT_HEADER))
        except ValueError as error:
            self._send_json(400, {}, {"error": {"message": str(error), "type": "invalid_request_error"}})
            return
        attempt = int(self.headers.get("x-stainless-retry-count", 0))
        outage = self.server.provider.outage
        if seen.status == 200 and (outage is not None or script.fails(attempt)):
            seen.status = outage or script.status or 500
        if seen.status != 200:
            self._refuse(seen, script)
            return
        self._serve(seen, script)

    def _seen(self, body: Json) -> ServedRequest:
        path = self.path.partition("?")[0]
        is_anthropic = path == "/v1/messages"
        known = is_anthropic or path in {"/v1/chat/completions", "/v1/embeddings", "/v1/responses"}
        has_key = "authorization" in self.headers or "x-api-key" in self.headers
        return ServedRequest(
            provider="anthropic" if is_anthropic else "openai",
            path=path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            model=str(body.get("model", "")),
            status=404 if not known else 200 if has_key else 401,
            stream=bool(body.get("stream")),
        )

    def _refuse(self, seen: ServedRequest, script: Script) -> None:
        request_id = token_hex(12)
        seen.completed = True
        self.server.provider.record(seen)
        if seen.provider == "anthropic":
            body, headers = anthropic_api.error(seen.status, request_id), anthropic_api.headers(request_id)
        else:
            body, headers = openai_api.error(seen.status), openai_api.headers(request_id)
        if seen.status in {429, 503, 529}:
            headers |= {"retry-after-ms": str(script.retry_after_ms), "retry-after": "1"}
        self._send_json(seen.status, headers, body)

    def _serve(self, seen: ServedRequest, script: Script) -> None:
        provider = self.server.provider
        decided = answer(seen.model, seen.body, script, provider.cache.look_up(seen.body), provider.answers)
        seen.model, seen.usage = decided.model, decided.usage
        pause = provider.chunk_s if script.chunk_ms is None else script.chunk_ms / 1000
        if seen.provider == "anthropic":
            seen.response_id = anthropic_api.response_id(decided)
            headers = anthropic_api.headers(decided.id)
        else:
            seen.response_id = openai_api.response_id(decided, seen.path)
            headers = openai_api.headers(decided.id)
        if seen.stream:
            provider.record(seen)
            self._send_events(seen, headers, _events(seen, decided), pause)
            return
        time.sleep(pause)
        body = _plain(seen, decided)
        seen.completed = True
        provider.record(seen)
        self._send_json(200, headers, body)

    def _send_json(self, status: int, headers: dict[str, str], body: Json) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "content-type": "application/json", "content-length": str(len(payload))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def _send_events(self, seen: ServedRequest, headers: dict[str, str], events: Iterator[str], pause: float) -> None:
        self.send_response(200)
        framing = {"content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked"}
        for name, value in {**headers, **framing}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self._write_events(seen, list(events), pause)
        except OSError:
            self.close_connection = True  # the client hung up in mid-stream

    def _write_events(self, seen: ServedRequest, events: list[str], pause: float) -> None:
        for position, event in enumerate(events):
            time.sleep(pause)
            # Booked before the last bytes leave, so that whoever has read them finds the books complete.
            seen.completed = position == len(events) - 1
            payload = event.encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(payload), payload))
        self.wfile.write(b"0\r\n\r\n")


def _plain(seen: ServedRequest, decided: Answer) -> Json:
    if seen.provider == "anthropic":
        return anthropic_api.message(decided)
    if seen.path == "/v1/embeddings":
        seen.usage = TokenCounts(input=openai_api.embedding_tokens(seen.body))
        return openai_api.embeddings(decided, seen.body)
    if seen.path == "/v1/responses":
        return openai_api.response(decided)
    return openai_api.completion(decided)


def _events(seen: ServedRequest, decided: Answer) -> Iterator[str]:
    if seen.provider == "anthropic":
        return anthropic_api.message_events(decided)
    if seen.path == "/v1/responses":
        return openai_api.response_events(decided)
    seen.told_usage = bool((seen.body.get("stream_options") or {}).get("include_usage"))
    return openai_api.completion_events(decided, include_usage=seen.told_usage)
