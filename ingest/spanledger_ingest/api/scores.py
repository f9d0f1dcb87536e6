"""Quality scores: rows, rates, comparisons, explanations, labels and what to review."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from spanledger_analytics import schema
from spanledger_analytics.queries import MAX_NS, Window
from spanledger_ingest.api._admin import Administrator, ContentType, note, refuse_forms
from spanledger_ingest.api._auth import requires
from spanledger_ingest.api._content import record_reading
from spanledger_ingest.api._json import json_response, page
from spanledger_ingest.api._openapi import PROBLEM, lists, row
from spanledger_ingest.api._params import MAX_PAGE, Params, Time, TraceId, _nanoseconds
from spanledger_ingest.auth import Principal
from spanledger_ingest.scoring import (
    Label,
    Quality,
    UnknownCallError,
    comparison,
    explained,
    prompt_of,
    rates,
    review_queue,
    side_of,
)
from spanledger_ingest.scoring import save_label as save
from spanledger_ingest.store import DIMENSIONS, CallKey, DuckDBStore, ScoreFilter, ScorePlace

Reader = Annotated[Principal, requires("read:metrics")]
ContentReader = Annotated[Principal, requires("read:content")]
Labeller = Annotated[Principal, requires("scores:write")]

_RATE: Final = {"type": "object", "properties": {"name": {"type": "string"}, "failing_percent": {"type": "number"}}}
_ANSWER: Final[dict[int | str, dict[str, Any]]] = {200: {"description": "Done"}, **PROBLEM}
_Name = Annotated[str, Field(min_length=1, max_length=200)]


class ScoreParams(Params):
    """What scores can be narrowed by."""

    name: Annotated[str | None, Field(description="of the score")] = None
    prompt: Annotated[str | None, Field(description="name or name@version")] = None

    def wanted(self, principal: Principal, **more: Any) -> ScoreFilter:
        """Return the filter, in the scope of the caller."""
        name, version = prompt_of(self.prompt)
        return ScoreFilter(
            filters=self.filters(principal),
            window=self.window(),
            name=self.name,
            prompt_name=name,
            prompt_version=version,
            **more,
        )


class ScoresParams(ScoreParams):
    """Parameters of ``GET /scores``."""

    label: Literal["pass", "warn", "fail", "not_evaluable"] | None = None
    source: Literal["spanledger", "application"] | None = None
    trace_id: str | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100
    cursor: Annotated[str | None, Field(max_length=1_000, description="next_cursor of the page before")] = None


class RatesParams(ScoreParams):
    """Parameters of ``GET /scores/rates``."""

    by: Annotated[str, Field(description=f"of {', '.join(DIMENSIONS)}, separated by commas")] = "tenant,model,prompt"

    def dimensions(self) -> list[str]:
        """Return what is grouped by."""
        found = list(dict.fromkeys(name.strip() for name in self.by.split(",") if name.strip()))
        unknown = [name for name in found if name not in DIMENSIONS]
        if unknown:
            raise HTTPException(422, f"by: unknown dimension {unknown[0]!r}; valid are {', '.join(DIMENSIONS)}")
        return found


class CompareParams(ScoreParams):
    """Parameters of ``GET /scores/compare``."""

    name: Annotated[str, Field(description="of the score")]
    by: Annotated[Literal["prompt", "model"], Field(description="what a and b are")] = "prompt"
    a: Annotated[_Name, Field(description="a model, or a prompt as name@version")]
    b: Annotated[_Name, Field(description="what is compared with it")]


class ReviewParams(ScoreParams):
    """Parameters of ``GET /review``."""

    limit: Annotated[int, Field(ge=1, le=500)] = 50


class LabelBody(BaseModel):
    """What somebody says of an answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trace_id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    span_id: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    name: Annotated[_Name, Field(description="of the score that this is about")]
    label: Literal["pass", "fail"]
    source: Annotated[Literal["end_user", "reviewer", "judge"], Field(description="who judged")]
    reason: Annotated[str, Field(max_length=200, description="a code of your own, such as wrong_fact")] = ""
    author: Annotated[str, Field(max_length=200, description="by default the name of the credential")] = ""
    weight: Annotated[float, Field(gt=0, le=10_000, description="as the review queue gave it")] = 1.0


class BackfillParams(BaseModel):
    """Which calls, and from where on."""

    model_config = ConfigDict(extra="forbid", populate_by_name=False, frozen=True)

    from_: Annotated[Time | None, Field(alias="from", description="RFC 3339; calls that start then or later")] = None
    to: Annotated[Time | None, Field(description="RFC 3339; calls that start before")] = None
    cursor: Annotated[str | None, Field(description="`next_cursor` of the step before", max_length=4096)] = None


def score_routes(store: DuckDBStore, quality: Quality) -> APIRouter:
    """Return the routes about quality."""
    router = APIRouter(tags=["quality"])
    _add_readers(router, store)
    _add_reports(router, store)
    _add_writers(router, store, quality)
    return router


def _add_readers(router: APIRouter, store: DuckDBStore) -> None:
    @router.get("/scores", responses=lists(row(schema.SCORES.view)))
    def scores(params: Annotated[ScoresParams, Query()], principal: Reader) -> Response:
        """Scores, those of the latest calls first, without the words they are about."""
        wanted = params.wanted(principal, label=params.label, source=params.source)
        if params.trace_id is not None:
            wanted = replace(wanted, filters=replace(wanted.filters, trace_id=params.trace_id.lower()))
        after: ScorePlace | None = _decoded(params.cursor, (int, *[str] * 7))
        found = store.quality.page(wanted, after, params.limit + 1)
        shown = found.slice(0, params.limit)
        cursor = _place(shown.to_pylist()[-1]) if found.num_rows > params.limit else None
        return page(shown.drop_columns(["start_ns", "owner"]), None if cursor is None else _encoded(cursor))

    @router.get("/traces/{trace_id}/scores", responses=lists(row(schema.SCORES.view)))
    def of_trace(trace_id: TraceId, request: Request, principal: ContentReader) -> Response:
        """The scores of a trace with the words they are about, where stored. Reading is audited."""
        record_reading(request, principal, {"trace_id": trace_id.lower()})
        return json_response({"items": explained(store, trace_id.lower(), principal.tenant), "next_cursor": None})


def _add_reports(router: APIRouter, store: DuckDBStore) -> None:
    @router.get("/scores/rates", responses=lists(_RATE))
    def rates_(params: Annotated[RatesParams, Query()], principal: Reader) -> Response:
        """Share failing with its interval, and the part of all calls that could be judged."""
        return json_response(
            {"items": rates(store.quality, params.wanted(principal), params.dimensions()), "next_cursor": None}
        )

    @router.get("/scores/compare", responses=_ANSWER)
    def compare(params: Annotated[CompareParams, Query()], principal: Reader) -> Response:
        """Whether B passes less or more often than A, by a test that may be asked at any time."""
        wanted = params.wanted(principal)
        a, b, found = comparison(
            store.quality, side_of(wanted, params.by, params.a), side_of(wanted, params.by, params.b)
        )
        sides = {
            side: {"value": value, "evaluable": tally.evaluable, "failing": tally.failing}
            for side, value, tally in (("a", params.a, a), ("b", params.b, b))
        }
        return json_response({"name": params.name, "by": params.by, **sides, **found.as_json()})

    @router.get("/review", responses=lists(row(schema.SCORES.view)))
    def review(params: Annotated[ReviewParams, Query()], principal: Reader) -> Response:
        """Answers to label next: some at random, more of the doubtful; send `weight` back with the label."""
        items = list(review_queue(store.quality, params.wanted(principal), params.limit))
        return json_response({"items": items, "next_cursor": None})


def _add_writers(router: APIRouter, store: DuckDBStore, quality: Quality) -> None:
    @router.post("/labels", responses=_ANSWER)
    def label(body: LabelBody, principal: Labeller) -> Response:
        """Says whether an answer was good; calibrates the score, and corrects its rates."""
        members = body.model_dump() | {"author": body.author or principal.name}
        try:
            save(store, Label(**members), principal.tenant)
        except UnknownCallError as error:
            raise HTTPException(404, str(error)) from error
        return json_response({"status": "saved"})

    @router.post("/admin/score", responses=_ANSWER)
    def backfill(
        params: Annotated[BackfillParams, Query()],
        request: Request,
        principal: Administrator,
        content_type: ContentType = "",
    ) -> Response:
        """Scores the next stored calls of a time; ask on with `cursor` until `next_cursor` is null."""
        refuse_forms(content_type)
        if params.cursor is None:
            note(request, principal, "database.score", params.model_dump(mode="json", include={"from_", "to"}))
        window = Window(_nanoseconds(params.from_, 0), _nanoseconds(params.to, MAX_NS))
        key: CallKey | None = _decoded(params.cursor, (int, str, str, str))
        step = quality.scoring.backfill(window, key)
        cursor = None if step.after is None else _encoded(step.after)
        return json_response({"scored": step.scored, "remaining": step.remaining, "next_cursor": cursor})


def _place(last: dict[str, Any]) -> ScorePlace:
    names = ("trace_id", "span_id", "name", "scorer_version", "calibration_id", "source", "owner")
    trace_id, span_id, name, version, calibration, source, owner = (last[key] or "" for key in names)
    return last["start_ns"], trace_id, span_id, name, version, calibration, source, owner


def _encoded(place: Sequence[Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode()


def _decoded(cursor: str | None, kinds: Sequence[type]) -> Any:
    if cursor is None:
        return None
    try:
        found = orjson.loads(base64.urlsafe_b64decode(cursor))
        fits = len(found) == len(kinds) and all(type(item) is kind for item, kind in zip(found, kinds, strict=True))
    except (binascii.Error, ValueError, TypeError) as error:
        raise HTTPException(422, "cursor: not one of ours") from error
    if not fits or not 0 <= found[0] < MAX_NS:
        raise HTTPException(422, "cursor: not one of ours")
    return tuple(found)
