"""Scores beside answers: rates with their intervals, comparisons, what to look at next, and what people said of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from spanledger_dashboards.page._format import NOTHING

_COLOURS: Final = {"pass": "green", "warn": "yellow", "fail": "red"}
_MOST_PLACES: Final = 5
_MOST_REASONS: Final = 3
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRow:
    """The failing share of one score among some answers."""

    name: str
    about: str
    """Tenant, model and prompt."""
    share: str
    interval: str
    coverage: str
    evaluable: str
    method: str
    version: str
    reasons: str
    """Why the others could not be judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareView:
    """Two versions beside each other."""

    by: str
    a: str
    b: str
    sentence: str
    worse: bool = False
    sides: Sequence[tuple[str, str]] = ()
    """Each version, and how many of its answers failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreView:
    """A score of an answer, with a form to say whether it is right."""

    trace_id: str
    span_id: str
    name: str
    value: str
    label: str
    colour: str
    reason: str
    version: str
    places: Sequence[tuple[str, str]] = ()
    """Why, and the words it is about; these only where they may be read."""
    support: str = ""
    said: str = ""
    """What people said of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """An answer to look at."""

    at: datetime
    href: str
    """Where it can be read; empty where the reader may not."""
    about: str
    score: ScoreView


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelling:
    """Whether the reader may say what is right."""

    allowed: bool
    form_token: str = ""
    back: str = ""
    """The address to come back to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewView:
    """The page about rates, comparisons and what to look at."""

    name: str
    names: Sequence[str]
    rates: Sequence[RateRow]
    comparison: CompareView
    queue: Sequence[QueueRow]
    labelling: Labelling
    saved: bool = False


def rate_row(row: Row) -> RateRow:
    """Return a row of ``GET /api/v1/scores/rates`` as it is shown."""
    reasons = sorted(row["not_evaluable"].items(), key=lambda one: (-one[1], one[0]))[:_MOST_REASONS]
    return RateRow(
        name=row["name"],
        about=_about(row),
        share=_percent(row["failing_percent"]),
        interval=f"{_percent(row['low_percent'])} to {_percent(row['high_percent'])}" if row["evaluable"] else NOTHING,
        coverage=_percent(row["coverage_percent"]),
        evaluable=f"{row['evaluable']:,} of {row['calls']:,}",
        method=str(row["method"]).replace("_", " ") + (f", {row['labels']:,} labels" if row["labels"] else ""),
        version=row["scorer_version"] or "",
        reasons=", ".join(f"{str(reason).replace('_', ' ')} {count:,}" for reason, count in reasons),
    )


def score_view(row: Row, said: Iterable[Row] = ()) -> ScoreView:
    """Return a score as it is shown; ``row`` may have the words it is about in ``detail``."""
    detail = row.get("detail")
    detail = detail if isinstance(detail, Mapping) else {}
    places = [(one.get("reason", ""), one.get("text", "")) for one in detail.get("offences", ())][:_MOST_PLACES]
    value = "" if row["value"] is None else f"{row['value']:.3f}"
    sure = "" if row.get("confidence") is None else f", confidence {row['confidence']:.2f}"
    return ScoreView(
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        name=row["name"],
        value=value + sure,
        label=str(row["label"] or NOTHING).replace("_", " "),
        colour=_COLOURS.get(row["label"] or "", "grey"),
        reason=str(row["explanation"] or "").replace("_", " "),
        version=row["scorer_version"] or "",
        places=places,
        support=(detail.get("support") or {}).get("text", ""),
        said=", ".join(f"{one['label']} ({one['source'].replace('_', ' ')})" for one in said),
    )


def queue_row(row: Row, at: datetime, href: str) -> QueueRow:
    """Return an item of ``GET /api/v1/review`` as it is shown."""
    return QueueRow(at=at, href=href, about=_about(row), score=score_view({**row, "detail": None}))


def _about(row: Row) -> str:
    prompt = row.get("prompt_name") or ""
    if prompt and row.get("prompt_version"):
        prompt = f"{prompt}@{row['prompt_version']}"
    parts = (row.get("tenant_id"), row.get("model"), row.get("use_case"), prompt)
    return ", ".join(part for part in parts if part) or NOTHING


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f} %"
