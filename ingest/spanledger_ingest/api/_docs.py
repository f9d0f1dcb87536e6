"""OpenAPI, and a plain page of it: no scripts, nothing from elsewhere."""

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from spanledger_ingest.api._auth import requires
from spanledger_ingest.api._json import json_response

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code{font-size:.95em}td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}"
    "h2{margin-top:2rem;border-top:1px solid #8884;padding-top:1rem}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_CSP: Final = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"


def docs_routes() -> APIRouter:
    """Return ``/openapi.json`` and ``/docs``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/openapi.json", dependencies=[requires("read:metrics")])
    def openapi(request: Request) -> Response:
        return json_response(request.app.openapi())

    @router.get("/docs", dependencies=[requires("read:metrics")])
    def docs(request: Request) -> Response:
        return HTMLResponse(_page(request.app.openapi()), headers={"content-security-policy": _CSP})

    return router


def _page(api: dict[str, Any]) -> str:
    title = escape(f"{api['info']['title']} {api['info']['version']}")
    body = "".join(_operations(api))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f'<h1>{title}</h1><p>{escape(api["info"]["description"])} Machine-readable: <a href="/openapi.json">'
        f"openapi.json</a>.</p>{body}</html>"
    )


def _operations(api: dict[str, Any]) -> Iterable[str]:
    for path, operations in api["paths"].items():
        for method, operation in operations.items():
            yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
            yield f"<p>{escape(operation.get('description', ''))}</p>"
            yield _parameters(operation.get("parameters", []))


def _parameters(parameters: list[dict[str, Any]]) -> str:
    rows = (
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(p.get('description', ''))}</td></tr>"
        for p in parameters
    )
    return f"<table>{''.join(rows)}</table>" if parameters else ""
