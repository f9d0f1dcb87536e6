"""The running service, asked over HTTP."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlsplit

from spanledger_ingest.doctor._finding import Finding, fail, ok, warn
from spanledger_ingest.fetch import fetch
from spanledger_ingest.secret import Secret
from spanledger_ingest.settings import Settings

_TIMEOUT_SECONDS: Final = 5.0
_MAX_BYTES: Final = 16 * 1024 * 1024
_LATE_SECONDS: Final = 60.0
_LATE_JOB_SECONDS: Final = 3600.0
_SAMPLE: Final = re.compile(r"^(spanledger_\w+)(?:\{.*\})? (\S+)$", re.MULTILINE)


def address(settings: Settings) -> str:
    """Return where the configuration says that the service is."""
    scheme = "https" if settings.tls.cert else "http"
    host = settings.server.host
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.server.port or 4318}"


class Service:
    """A service that may or may not run.

    Args:
        url: where.
        api_key: to ask with.
        wanted: whether it is an error that none runs there.
    """

    def __init__(self, url: str, api_key: Secret | None, *, wanted: bool) -> None:
        self._url = url.rstrip("/")
        self._headers = {} if api_key is None else {"authorization": f"Bearer {api_key.reveal()}"}
        self._wanted = wanted
        self.newest_ns: int | None = None
        """When the newest call began."""

    def findings(self, *, running: bool) -> Iterator[Finding]:
        """Ask whether it is ready, and how far behind it is; ``running`` if a process has the data directory."""
        if urlsplit(self._url).scheme not in ("http", "https"):
            yield fail("service", f"{self._url!r} is no address", "write --url http://127.0.0.1:4318")
            return
        try:
            self._get("/readyz")
        except HTTPError as error:
            error.close()
            yield warn("service", f"{self._url} is not ready ({error.code})", "wait: it replays its journal, or stops")
            return
        except (OSError, HTTPException) as error:
            yield self._silent(error, running=running)
            return
        yield ok("service", f"{self._url} is ready")
        yield from self._figures()

    def _silent(self, error: Exception, *, running: bool) -> Finding:
        text = f"nothing answers at {self._url} ({getattr(error, 'reason', error)})"
        if running:
            return warn("service", text, "name where the running service listens with --url")
        if self._wanted:
            return fail("service", text, "start it: spanledger serve")
        return ok("service", "none runs; start it with: spanledger serve")

    def _figures(self) -> Iterator[Finding]:
        try:
            metrics = self._get("/metrics").decode()
            self.newest_ns = _newest(json.loads(self._get("/api/v1/calls?limit=1")))
        except HTTPError as error:
            error.close()
            yield warn("lag", f"the metrics are refused ({error.code})", "give --api-key with the scope ops:read")
            return
        except (OSError, HTTPException, ValueError) as error:
            yield warn("lag", f"the metrics cannot be read: {error}", "try again")
            return
        worst: dict[str, float] = {}
        for name, value in _SAMPLE.findall(metrics):
            worst[name] = max(float(value), worst.get(name, 0.0))
        yield from _judge(worst)

    def _get(self, path: str) -> bytes:
        return fetch(self._url + path, headers=self._headers, timeout=_TIMEOUT_SECONDS, max_bytes=_MAX_BYTES)


def _judge(worst: dict[str, float]) -> Iterator[Finding]:
    lag, backlog = worst.get("spanledger_lag_seconds", 0.0), worst.get("spanledger_backlog_bytes", 0.0)
    text = f"the oldest request waits {lag:,.1f} s, {backlog / 2**20:,.0f} MiB in all"
    mend = "look at spanledger_commit_seconds and the log: is the disk slow or full, or are there too many spans?"
    yield warn("lag", text, mend) if lag > _LATE_SECONDS else ok("lag", text)
    failures, damages = worst.get("spanledger_store_failures_total", 0.0), worst.get("spanledger_journal_damages", 0.0)
    if failures or damages:
        text = f"{failures:,.0f} failed tries to store, {damages:,.0f} damaged places in the journal since its start"
        yield warn("store", text, "see the log of the service for the reasons")
    late = worst.get("spanledger_job_lag_seconds", 0.0)
    text = f"the latest is {late:,.0f} s late"
    mend = "see the log of the service, and spanledger_job_failures_total"
    yield warn("jobs", text, mend) if late > _LATE_JOB_SECONDS else ok("jobs", text)


def _newest(calls: Any) -> int | None:
    items = calls["items"]
    return None if not items else int(datetime.fromisoformat(items[0]["time"]).timestamp() * 1e9)
