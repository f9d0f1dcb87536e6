"""Rates, comparisons and what to review; and labels, which people give here and in a trace."""

from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from spanledger_analytics.quality import inclusion
from spanledger_dashboards.page import (
    Choice,
    CompareView,
    Labelling,
    ReviewView,
    ScoreView,
    State,
    queue_row,
    rate_row,
    render_review,
    score_view,
)
from spanledger_ingest.auth import Audit, Principal
from spanledger_ingest.page._boards import BoardReader, PageStore
from spanledger_ingest.page._door import Door, Reader, refuse_foreign_form
from spanledger_ingest.page._frame import Frame
from spanledger_ingest.page._login import check_form, local_address, read_form
from spanledger_ingest.page._params import Name, PageParams, filters_of, read, state_of, window_of
from spanledger_ingest.page._shown import PageRoute, html
from spanledger_ingest.scoring import (
    Label,
    UnknownCallError,
    comparison,
    explained,
    newest_scores,
    rates,
    review_queue,
    save_label,
    side_of,
)
from spanledger_ingest.store import ScoreFilter

PATH: Final = "/review"
_RANGE: Final = "7d"
_QUEUE: Final = 25
_MOST_RATES: Final = 100
_FIRST: Final = "groundedness"
_DIMENSIONS: Final = ("tenant", "model", "prompt")


class ReviewParams(PageParams):
    """What the page understands beside."""

    score: Name = ""
    by: Literal["prompt", "model"] = "prompt"
    a: Annotated[str, Field(max_length=200)] = ""
    b: Annotated[str, Field(max_length=200)] = ""
    saved: Literal["", "1"] = ""

    @property
    def extra(self) -> dict[str, str]:
        """What of this page alone is set."""
        compared = {"by": self.by, "a": self.a, "b": self.b} if self.a and self.b else {}
        return ({"score": self.score} if self.score else {}) | compared


class LabelForm(BaseModel):
    """What a form says of an answer."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    trace_id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    span_id: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    label: Literal["pass", "fail"]
    reason: Annotated[str, Field(max_length=200)] = ""


def review_routes(store: PageStore, boards: BoardReader, door: Door, frame: Frame) -> APIRouter:
    """Return the page and what its forms are sent to."""
    router = APIRouter(include_in_schema=False, route_class=PageRoute)
    metrics, labels = door("read:metrics"), door("scores:write")

    @router.get(PATH)
    def review(request: Request, reader: Reader = metrics) -> Response:
        params = read(ReviewParams, request)
        state = state_of(params, _RANGE)
        view = _view(store, params, state, reader)
        shell = frame.shell("Quality: rates and review", PATH, state, reader, current="quality", extra=params.extra)
        choices, _ = boards.choices(state, reader.principal)
        names = [(name, name) for name in view.names]
        field = Choice(name="score", label="Score", value=params.score, options=names, every="Overview")
        return html(render_review(shell, view, choices, [field]))

    @router.post(f"{PATH}/label")
    async def label(request: Request, reader: Reader = labels) -> Response:
        refuse_foreign_form(request)
        sent = await read_form(request)
        check_form(reader, sent)
        form = _form(sent)
        audit: Audit | None = request.app.state.audit
        await run_in_threadpool(_keep, store, form, reader.principal, audit)
        return RedirectResponse(local_address(sent.get("back", PATH)), HTTPStatus.SEE_OTHER)

    return router


def _form(sent: dict[str, str]) -> LabelForm:
    try:
        return LabelForm.model_validate(sent)
    except ValidationError:
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, "this form is not one of ours") from None


def _keep(store: PageStore, form: LabelForm, principal: Principal, audit: Audit | None) -> None:
    said = form.model_dump(include={"trace_id", "span_id", "name", "label"})
    if audit is not None:
        audit.record(principal, "labels.write", said, form.reason)
    label = Label(
        **said, source="reviewer", reason=form.reason, author=principal.name, weight=_weight(store, form, principal)
    )
    try:
        save_label(store, label, principal.tenant)
    except UnknownCallError as error:
        raise HTTPException(HTTPStatus.NOT_FOUND, str(error)) from error


def _weight(store: PageStore, form: LabelForm, principal: Principal) -> float:
    """Return what a label counts: as the queue drew the answer, or one where somebody picked it."""
    for row in newest_scores(store.quality.of_trace(form.trace_id, principal.tenant).to_pylist()):
        if (row["span_id"], row["name"]) == (form.span_id, form.name) and row["value"] is not None:
            value = row["value"] if row["confidence"] is None else row["confidence"]
            return inclusion(f"{form.trace_id}{form.span_id}{form.name}", value) or 1.0
    return 1.0


def _view(store: PageStore, params: ReviewParams, state: State, reader: Reader) -> ReviewView:
    wanted = ScoreFilter(filters=filters_of(state, reader.principal), window=window_of(state))
    overview = rates(store.quality, wanted, ())
    names = sorted({row["name"] for row in overview})
    name = params.score or (_FIRST if _FIRST in names or not names else names[0])
    named = replace(wanted, name=name)
    found = rates(store.quality, named, _DIMENSIONS) if params.score else overview
    found = sorted(found, key=lambda row: (-row["evaluable"], row["name"]))[:_MOST_RATES]
    readable = "read:traces" in reader.principal.scopes
    return ReviewView(
        name=name,
        names=names,
        rates=[rate_row(row) for row in found],
        comparison=_compared(store, named, params),
        queue=[
            queue_row(row, row["time"], f"/traces/{row['trace_id']}" if readable else "")
            for row in review_queue(store.quality, named, _QUEUE)
        ],
        labelling=labelling_of(reader, state.to(PATH, **params.extra, saved="1")),
        saved=bool(params.saved),
    )


def _compared(store: PageStore, wanted: ScoreFilter, params: ReviewParams) -> CompareView:
    if not params.a or not params.b:
        return CompareView(by=params.by, a=params.a, b=params.b, sentence="")
    sides = [side_of(wanted, params.by, value) for value in (params.a, params.b)]
    a, b, found = comparison(store.quality, *sides)
    said = [
        (value, f"{tally.failing:,} of {tally.evaluable:,} judged answers fail")
        for value, tally in ((params.a, a), (params.b, b))
    ]
    return CompareView(by=params.by, a=params.a, b=params.b, sentence=found.sentence, worse=found.worse, sides=said)


def labelling_of(reader: Reader, back: str) -> Labelling:
    """Return whether the reader may label, and how."""
    allowed = "scores:write" in reader.principal.scopes
    return Labelling(allowed=allowed, form_token=reader.form_token, back=back)


def scores_of_trace(
    store: PageStore, trace_id: str, principal: Principal, *, with_text: bool = False
) -> dict[str, list[ScoreView]]:
    """Return the newest scores of each span; with the words they are about if those may be shown."""
    if "read:metrics" not in principal.scopes:
        return {}
    owner = principal.tenant
    found = explained(store, trace_id, owner) if with_text else store.quality.of_trace(trace_id, owner).to_pylist()
    said: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for label in store.quality.labels_of_trace(trace_id, owner).to_pylist():
        said.setdefault((label["span_id"], label["name"]), []).append(label)
    shown: dict[str, list[ScoreView]] = {}
    for row in newest_scores(found):
        shown.setdefault(row["span_id"], []).append(score_view(row, said.get((row["span_id"], row["name"]), ())))
    return shown
