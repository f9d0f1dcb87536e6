"""One HTTP request: no redirects, which would carry a credential elsewhere, and a bound on time and size."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPMessage, HTTPResponse
from typing import IO
from urllib.error import URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener


class _StayHere(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Follow nothing: the answer is then an error of the code it came with."""


@contextmanager
def answer_to(
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float,
    method: str | None = None,
) -> Iterator[HTTPResponse]:
    """Hand out the answer to read from: without a method of a POST if there is a body, else of a GET.

    Args:
        url: http or https; the caller has checked it.
        body: to send.
        headers: of the request.
        timeout: seconds without progress.
        method: such as DELETE.

    Raises:
        urllib.error.HTTPError: the answer is no success.
        OSError: there is no answer.
    """
    request = Request(url, body, dict(headers or {}), method=method)  # noqa: S310 - the scheme is checked by the caller
    answer: HTTPResponse
    with build_opener(_StayHere).open(request, timeout=timeout) as answer:
        yield answer


def fetch(url: str, *, headers: Mapping[str, str] | None = None, timeout: float, max_bytes: int) -> bytes:
    """Return the body of the answer to a GET, see :func:`answer_to`.

    Args:
        url: http or https; the caller has checked it.
        headers: of the request.
        timeout: seconds without progress.
        max_bytes: of the body.

    Raises:
        urllib.error.HTTPError: the answer is no success.
        OSError: there is no answer, or a longer one.
    """
    with answer_to(url, headers=headers, timeout=timeout) as answer:
        body: bytes = answer.read(max_bytes + 1)
    if len(body) > max_bytes:
        raise URLError(f"the answer is longer than {max_bytes} bytes")
    return body
