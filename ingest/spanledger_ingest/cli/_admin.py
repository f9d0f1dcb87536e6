"""What the administrative commands have in common: a running service, or the data directory of a stopped one."""

import argparse
import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from spanledger_ingest.cli._client import DEFAULT_URL, ClientError
from spanledger_ingest.fetch import answer_to
from spanledger_ingest.settings import client_api_key

_TIMEOUT_SECONDS: Final = 6 * 3600.0
"""Until the first byte: copying a large database takes a while."""
_CHUNK: Final = 1024 * 1024


def add_target(parser: argparse.ArgumentParser) -> None:
    """Declare ``--data``, ``--config``, ``--url`` and ``--api-key``."""
    parser.add_argument("--data", type=Path, metavar="DIR", help="data directory of a service that is stopped")
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file, TOML")
    parser.add_argument("--url", metavar="URL", help=f"a service that is running (default {DEFAULT_URL})")
    parser.add_argument(
        "--api-key", metavar="KEY", help="env:NAME or file:PATH of an API key (default: SPANLEDGER_API_KEY)"
    )


def post(options: argparse.Namespace, path: str) -> dict[str, Any]:
    """Return the JSON that a route of the running service answers.

    Raises:
        ClientError: there is no service, or it refuses; the message says what to do.
    """
    return ask(options, path, method="POST")


def ask(options: argparse.Namespace, path: str, *, method: str = "GET", body: Any = None) -> dict[str, Any]:
    """Return the JSON that a route of the running service answers to a method and a JSON body.

    Raises:
        ClientError: as :func:`post`.
    """
    with _answered(options, path, method, body) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def post_lines(options: argparse.Namespace, path: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON lines that a route of the running service answers, as they come.

    Raises:
        ClientError: as :func:`post`.
    """
    with _answered(options, path, "POST") as answer:
        for line in answer:
            yield json.loads(line)


def download(options: argparse.Namespace, path: str, target: Path) -> None:
    """Write what a route of the running service answers to a new file, and check its digest.

    Raises:
        ClientError: there is no service, it refuses, or the file is not what it sent.
    """
    digest = hashlib.sha256()
    try:
        with _answered(options, path, "POST") as answer, target.open("xb") as file:
            target.chmod(0o600)
            while chunk := answer.read(_CHUNK):
                digest.update(chunk)
                file.write(chunk)
            expected = answer.headers.get("repr-digest")
    except OSError as error:
        raise ClientError(f"{target} cannot be written: {error.strerror}") from error
    if expected != f"sha-256=:{base64.b64encode(digest.digest()).decode()}:":
        raise ClientError("the copy was cut short or changed on its way: try again")


@contextmanager
def _answered(options: argparse.Namespace, path: str, method: str, body: Any = None) -> Iterator[HTTPResponse]:
    url = options.url or DEFAULT_URL
    if urlsplit(url).scheme not in ("http", "https"):
        raise ClientError(f"{url!r} is no address of a service, such as {DEFAULT_URL}")
    key = client_api_key(options.api_key)
    headers = {"content-type": "application/json"}
    headers |= {} if key is None else {"authorization": f"Bearer {key.reveal()}"}
    try:
        with answer_to(
            url.rstrip("/") + path,
            body=None if method == "GET" else b"" if body is None else json.dumps(body).encode(),
            headers=headers,
            timeout=_TIMEOUT_SECONDS,
            method=method,
        ) as answer:
            yield answer
    except HTTPError as error:
        raise ClientError(_detail(error)) from error
    except (URLError, HTTPException, ConnectionError, TimeoutError) as error:
        raise ClientError(
            f"no Spanledger service answers at {url}: start it, name it with --url, or name the data directory of a"
            " stopped one with --data"
        ) from error


def _detail(error: HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"the service answered {error.code} {error.reason}"
