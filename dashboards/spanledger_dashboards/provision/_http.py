"""JSON over HTTP to a Grafana.

The standard library is enough for the twenty calls that are made. The usual client, grafana-client, brings an HTTP
library that writes itself over the installed urllib3, which the exporter of applications uses.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException, HTTPMessage
from typing import IO, Any, Final
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from spanledger_dashboards.errors import (
    GrafanaConflictError,
    GrafanaError,
    GrafanaMissingError,
    GrafanaQueryError,
)

_TIMEOUT_SECONDS: Final = 35.0
"""A statement of the service may take 30."""
_ATTEMPTS: Final = 4
_AGAIN: Final = (429, 502, 503, 504)
_MAX_BYTES: Final = 64 * 1024 * 1024
_LONGEST_MESSAGE: Final = 400


class _StayHere(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Follow nothing, which could carry the token elsewhere: the answer is then an error."""


class Http:
    """A Grafana's API.

    Args:
        url: of Grafana, with its path if it has one.
        token: of a service account.
        hidden: texts that no message may show.
        sleep: waits before the next attempt.
    """

    def __init__(self, url: str, token: str, *, hidden: Sequence[str], sleep: Callable[[float], None]) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise GrafanaError("the address of Grafana is not like http://grafana.example:3000, without a user")
        self.url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
        self._hidden = [text for text in (token, *hidden) if text]
        self._sleep = sleep

    def ask(self, method: str, path: str, body: Any = None, parameters: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON that a call answers, ``None`` if it answers nothing.

        Raises:
            GrafanaError: it does not answer, or refuses.
        """
        url = f"{self.url}/api{path}" + (f"?{urlencode(parameters, doseq=True)}" if parameters else "")
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._once(method, url, body)
            except HTTPError as error:
                if error.code not in _AGAIN or attempt == _ATTEMPTS:
                    raise self._refused(error) from None
            self._sleep(2.0**attempt / 4)
        raise AssertionError  # pragma: no cover - the last attempt returns or raises

    def _once(self, method: str, url: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers if data is None else self._headers | {"content-type": "application/json"}
        request = Request(url, data, headers, method=method)  # noqa: S310 - the scheme is checked above
        try:
            with build_opener(_StayHere).open(request, timeout=_TIMEOUT_SECONDS) as answer:
                text = answer.read(_MAX_BYTES)
        except HTTPError:
            raise
        except (OSError, HTTPException) as error:
            why = getattr(error, "reason", None) or error
            raise GrafanaError(f"no Grafana answers at {self.url}: {self._clean(str(why))}") from None
        try:
            return json.loads(text) if text.strip() else None
        except ValueError:
            raise GrafanaError(f"what answers at {self.url} is no Grafana: it sends no JSON") from None

    def _refused(self, error: HTTPError) -> GrafanaError:
        said = _body(error)
        if isinstance(said, dict) and isinstance(said.get("results"), dict):
            return GrafanaQueryError(said["results"])
        text = self._clean(str(said.get("message") or said) if isinstance(said, dict) else str(said or error.reason))
        if error.code in (401, 403):
            mend = "use the token of a service account with the role Admin, of the right organisation"
            return GrafanaError(f"Grafana refuses the token ({error.code}: {text}): {mend}")
        if error.code in (409, 412):
            return GrafanaConflictError(f"somebody changed it meanwhile ({error.code}: {text}); run it again")
        kind = GrafanaMissingError if error.code == 404 else GrafanaError
        return kind(f"Grafana answers {error.code}: {text}")

    def _clean(self, text: str) -> str:
        for hidden in self._hidden:
            text = text.replace(hidden, "(hidden)")
        return text[:_LONGEST_MESSAGE]


def _body(error: HTTPError) -> Any:
    try:
        return json.loads(error.read(_MAX_BYTES))
    except (OSError, ValueError):
        return None


WAIT: Final = time.sleep
