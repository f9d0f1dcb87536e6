"""One HTTP GET: no redirects, which would carry a credential elsewhere, and a bound on time and size."""

from collections.abc import Mapping
from http.client import HTTPMessage
from typing import IO, Any
from urllib.error import URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener


class _StayHere(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Follow nothing: the answer is then an error of the code it came with."""


def fetch(url: str, *, headers: Mapping[str, str] | None = None, timeout: float, max_bytes: int) -> bytes:
    """Return the body of the answer.

    Args:
        url: http or https; the caller has checked it.
        headers: of the request.
        timeout: seconds without progress.
        max_bytes: of the body.

    Raises:
        urllib.error.HTTPError: the answer is no success.
        OSError: there is no answer, or a longer one.
    """
    request = Request(url, headers=dict(headers or {}))  # noqa: S310 - the scheme is checked by the caller
    answer: Any
    with build_opener(_StayHere).open(request, timeout=timeout) as answer:
        body: bytes = answer.read(max_bytes + 1)
    if len(body) > max_bytes:
        raise URLError(f"the answer is longer than {max_bytes} bytes")
    return body
