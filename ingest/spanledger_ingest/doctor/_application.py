"""An application that is started here: where it sends, and which of its libraries are seen."""

import socket
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Final
from urllib.parse import urlsplit

from spanledger import settings as application
from spanledger._attach import _fitting
from spanledger._libraries import LIBRARIES, Library
from spanledger.errors import SpanledgerError
from spanledger_ingest.doctor._finding import Finding, ok, warn

_TIMEOUT_SECONDS: Final = 3.0


def findings() -> Iterator[Finding]:
    """Look at the environment and the packages that an application started from here would have."""
    try:
        found = application.resolve({})
    except SpanledgerError as error:
        yield warn("application", str(error), "correct the environment variable; the application goes on without it")
        return
    if found.disabled:
        yield warn("application", "SPANLEDGER_DISABLED is set: nothing is recorded", "unset it to record")
        return
    yield _endpoint(found.base_url())
    for library in LIBRARIES:
        yield from _library(library)


def _endpoint(url: str) -> Finding:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=_TIMEOUT_SECONDS).close()
    except OSError as error:
        mend = "start the service, or set SPANLEDGER_ENDPOINT; spans wait in the spool meanwhile"
        return warn("application", f"nothing listens at {url} ({error.strerror or error})", mend)
    return ok("application", f"{url} can be reached")


def _library(library: Library) -> Iterator[Finding]:
    try:
        installed = version(library.distribution)
    except PackageNotFoundError:
        return
    refusals: list[str] = []
    fitting = next(_fitting(library, refusals), None)
    name = f"{library.distribution} {installed}"
    if fitting is None:
        why = "; ".join(refusals) or "no instrumentor is installed"
        yield warn("instrumentation", f"{name} is not seen: {why}", f"pip install 'spanledger[{library.name}]'")
    else:
        yield ok("instrumentation", f"{name} is seen by {fitting.distribution} {version(fitting.distribution)}")
