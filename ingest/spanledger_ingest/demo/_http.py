"""A client of the service, as anyone could write it: OTLP/HTTP in, REST out."""

import json
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlencode, urlsplit

from spanledger_ingest.demo._errors import DemoError

_T = TypeVar("_T")
_BUSY = (429, 503)
_MOST_TRIES = 200


class Client:
    """One connection to the service. Not for use by several threads."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def post_traces(self, body: bytes) -> None:
        """Send one ExportTraceServiceRequest; wait and send it again while the service says that it is busy.

        Raises:
            DemoError: If it is refused, in whole or in part.
        """
        for _ in range(_MOST_TRIES):
            status, answer = self._send("POST", "/v1/traces", body)
            if status not in _BUSY:
                break
            time.sleep(0.1)
        if status != 200 or answer:  # an empty answer is a full success
            raise DemoError(f"the service did not take a request: HTTP {status}, {answer[:300]!r}")

    def items(self, path: str, **parameters: str | int) -> list[dict[str, Any]]:
        """Return the rows of a list route.

        Raises:
            DemoError: If the answer is an error.
        """
        status, answer = self._send("GET", f"/api/v1/{path}?{urlencode(parameters)}")
        if status != 200:
            raise DemoError(f"GET /api/v1/{path} failed: HTTP {status}, {answer[:300]!r}")
        rows: list[dict[str, Any]] = json.loads(answer)["items"]
        return rows

    def put(self, path: str, body: dict[str, Any]) -> None:
        """Make something.

        Raises:
            DemoError: If it is refused.
        """
        status, answer = self._send("PUT", f"/api/v1/{path}", json.dumps(body).encode(), "application/json")
        if status not in (200, 201):
            raise DemoError(f"PUT /api/v1/{path} failed: HTTP {status}, {answer[:300]!r}")

    def metric(self, name: str) -> float:
        """Return a number of ``/metrics`` that has no labels.

        Raises:
            DemoError: If there is none of that name.
        """
        _, answer = self._send("GET", "/metrics")
        for line in answer.decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        raise DemoError(f"/metrics has no {name}")

    def _send(
        self, method: str, path: str, body: bytes | None = None, media: str = "application/x-protobuf"
    ) -> tuple[int, bytes]:
        try:
            try:
                return self._exchange(method, path, body, media)
            except ConnectionError:
                # A connection that was idle for long may have been closed meanwhile; sending twice does no harm.
                self._connection.close()
                return self._exchange(method, path, body, media)
        except (OSError, HTTPException) as error:
            raise DemoError(f"the service does not answer at {path}: {error}") from error

    def _exchange(self, method: str, path: str, body: bytes | None, media: str) -> tuple[int, bytes]:
        headers = {"content-type": media} if body is not None else {}
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        return response.status, response.read()


def wait_for(look: Callable[[], _T], enough: Callable[[_T], bool], timeout_s: float) -> _T:
    """Look again and again until there is enough, or the time is over; return what was seen last."""
    deadline = time.monotonic() + timeout_s
    while True:
        seen = look()
        if enough(seen) or time.monotonic() >= deadline:
            return seen
        time.sleep(0.1)
