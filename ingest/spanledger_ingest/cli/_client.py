"""Asking a running service."""

import json
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from spanledger_ingest.errors import IngestError
from spanledger_ingest.fetch import fetch
from spanledger_ingest.secret import Secret

DEFAULT_URL = "http://127.0.0.1:4318"
_TIMEOUT_SECONDS = 30
_MAX_BYTES = 64 * 1024 * 1024


class ClientError(IngestError):
    """The service does not answer, or refuses."""


def get_items(base_url: str, path: str, api_key: Secret | None = None) -> list[dict[str, Any]]:
    """Return the rows of a list route.

    Args:
        base_url: of the service, such as ``http://127.0.0.1:4318``.
        path: below it, with its leading slash.
        api_key: sent along, unless ``None``.

    Raises:
        ClientError: there is no service, or it refuses; the message says what to do.
    """
    if urlsplit(base_url).scheme not in ("http", "https"):
        raise ClientError(f"{base_url!r} is no address of a service, such as {DEFAULT_URL}")
    headers = {} if api_key is None else {"authorization": f"Bearer {api_key.reveal()}"}
    url = base_url.rstrip("/") + path
    try:
        answer = fetch(url, headers=headers, timeout=_TIMEOUT_SECONDS, max_bytes=_MAX_BYTES)
        items: list[dict[str, Any]] = json.loads(answer)["items"]
    except HTTPError as error:
        raise ClientError(_problem(error)) from error
    except (URLError, HTTPException, OSError, ValueError, KeyError, TypeError) as error:
        raise ClientError(
            f"no Spanledger service answers at {base_url}: start it with 'spanledger serve', or name it with --url"
        ) from error
    return items


def _problem(error: HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"the service answered {error.code} {error.reason}"
