"""One trace: its spans, why they were billed or not, and what was said in them."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.concurrency import run_in_threadpool

from spanledger_dashboards.page import Reading, State, Text, render_trace, said, trace_of
from spanledger_ingest.api import Price, content_of, explanations, record_reading, trace_tree
from spanledger_ingest.auth import Principal
from spanledger_ingest.page._boards import PageStore
from spanledger_ingest.page._door import Door, Reader, refuse_foreign_form
from spanledger_ingest.page._frame import Frame
from spanledger_ingest.page._login import check_form, read_form
from spanledger_ingest.page._params import PageParams, read, state_of
from spanledger_ingest.page._review import labelling_of, scores_of_trace
from spanledger_ingest.page._shown import PageRoute, html

_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")

_Texts = dict[str, list[Text]]


def trace_routes(store: PageStore, price: Price | None, door: Door, frame: Frame) -> APIRouter:
    """Return the routes of a trace and of its text."""
    router = APIRouter(include_in_schema=False, route_class=PageRoute)
    traces, content = door("read:traces"), door("read:content")

    def shown(trace_id: str, state: State, reader: Reader, texts: _Texts, reading: Reading) -> Response:
        view = trace_of(
            trace_id,
            trace_tree(store, trace_id, reader.principal),
            _explanations(store, trace_id, reader.principal, price),
            texts,
            scores_of_trace(store, trace_id, reader.principal, with_text=reading.state == "shown"),
        )
        shell = frame.shell(f"Trace {trace_id[:8]}", "/calls", state, reader)
        return html(render_trace(shell, view, reading, labelling_of(reader, f"/traces/{trace_id}")))

    @router.get("/traces/{trace_id}")
    def trace(trace_id: str, request: Request, reader: Reader = traces) -> Response:
        state = state_of(read(PageParams, request))
        return shown(_valid(trace_id), state, reader, {}, _offer(reader))

    @router.post("/traces/{trace_id}/text")
    async def text(trace_id: str, request: Request, reader: Reader = content) -> Response:
        refuse_foreign_form(request)
        sent = await read_form(request)
        check_form(reader, sent)

        def answer() -> Response:
            id_ = _valid(trace_id)
            _allowed_to_trace(reader.principal)
            trace_tree(store, id_, reader.principal)  # 404 before anything is written down
            record_reading(request, reader.principal, {"trace_id": id_}, sent.get("reason", ""))
            texts = _texts(store, id_, reader.principal)
            reading = Reading(state="shown", count=sum(map(len, texts.values())))
            return shown(id_, state_of(PageParams()), reader, texts, reading)

        return await run_in_threadpool(answer)

    return router


def _valid(trace_id: str) -> str:
    lower = trace_id.lower()
    if not _TRACE_ID.fullmatch(lower):
        raise HTTPException(HTTPStatus.NOT_FOUND, "a trace is named by 32 hexadecimal digits")
    return lower


def _allowed_to_trace(principal: Principal) -> None:
    if "read:traces" not in principal.scopes:
        raise HTTPException(HTTPStatus.FORBIDDEN, "this key lacks the scope read:traces")


def _offer(reader: Reader) -> Reading:
    if "read:content" not in reader.principal.scopes:
        return Reading(state="forbidden")
    return Reading(state="offered", needs_reason=reader.principal.must_say_why, form_token=reader.form_token)


def _texts(store: PageStore, trace_id: str, principal: Principal) -> _Texts:
    found: _Texts = {}
    for row in content_of(store, trace_id, principal).to_pylist():
        found.setdefault(row["span_id"], []).extend(said(row["kind"].replace("_", " "), row["text"]))
    return found


def _explanations(
    store: PageStore, trace_id: str, principal: Principal, price: Price | None
) -> Mapping[str, Mapping[str, Any]]:
    if "read:metrics" not in principal.scopes:
        return {}
    items = explanations(store, trace_id, principal, price)
    return {item["span_id"]: {**item, "price": _as_mapping(item["price"])} for item in items}


def _as_mapping(price: Any) -> Mapping[str, Any] | None:
    """Return a price as it is in JSON."""
    if price is None:
        return None
    whole: dict[str, Any] = price._asdict()
    return {**whole, "lines": [line._asdict() for line in price.lines]}
