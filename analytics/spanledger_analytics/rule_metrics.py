"""What an alert rule may ask of a store: one number per set of labels and stretch of time, with how much it rests on.

Pure values that adapters translate. Calls are billable ones, by the time at which they began.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import pyarrow as pa

from spanledger_analytics.errors import InvalidQueryError
from spanledger_analytics.queries import Window
from spanledger_analytics.schema import COUNT, FLAG, MONEY, REAL, TEXT

Source: TypeAlias = Literal["calls", "retries", "scores", "rejections"]

_CALL_DIMENSIONS: Final = (
    "tenant",
    "model",
    "provider",
    "use_case",
    "service",
    "environment",
    "region",
    "operation",
    "prompt",
    "prompt_version",
)
RULE_DIMENSIONS: Final[Mapping[Source, tuple[str, ...]]] = {
    "calls": _CALL_DIMENSIONS,
    "retries": _CALL_DIMENSIONS,
    "scores": ("tenant", "model", "use_case", "prompt", "prompt_version", "score"),
    "rejections": ("tenant", "service", "signal", "reason"),
}
"""What each source can be grouped and narrowed by."""

MAX_GROUPS: Final = 10_000
MAX_WINDOWS: Final = 400


@dataclass(frozen=True, slots=True)
class RuleMetric:
    """A number that rules know."""

    source: Source
    unit: str
    doc: str
    """What it is, for people; the second half says what it rests on."""


RULE_METRICS: Final[Mapping[str, RuleMetric]] = {
    "calls": RuleMetric("calls", "", "model calls"),
    "errors": RuleMetric("calls", "", "calls that ended in an error"),
    "error_rate": RuleMetric("calls", "share", "errors per call"),
    "rate_limited_share": RuleMetric("calls", "share", "calls that the provider refused with HTTP 429"),
    "duration_p50": RuleMetric("calls", "ms", "median duration of calls without error"),
    "duration_p95": RuleMetric("calls", "ms", "95th percentile of the duration of calls without error"),
    "duration_p99": RuleMetric("calls", "ms", "99th percentile of the duration of calls without error"),
    "ttft_p50": RuleMetric("calls", "ms", "median time to the first token of streams"),
    "ttft_p95": RuleMetric("calls", "ms", "95th percentile of the time to the first token"),
    "slow_share": RuleMetric("calls", "share", "calls without error that took longer than `slow_ms`"),
    "cost_usd": RuleMetric("calls", "USD", "cost of priced calls"),
    "cost_per_call": RuleMetric("calls", "USD", "mean cost of priced calls"),
    "unpriced_share": RuleMetric("calls", "share", "calls without error whose cost is unknown"),
    "tokens": RuleMetric("calls", "", "input and output tokens"),
    "input_tokens": RuleMetric("calls", "", "input tokens"),
    "output_tokens": RuleMetric("calls", "", "output tokens"),
    "tokens_per_call": RuleMetric("calls", "", "mean tokens of calls that report them"),
    "cache_share": RuleMetric("calls", "share", "input tokens that were read from the provider's cache"),
    "refusal_rate": RuleMetric("calls", "share", "answers that a content filter stopped"),
    "truncation_share": RuleMetric("calls", "share", "answers that ended at the token limit"),
    "retry_share": RuleMetric("retries", "share", "calls that follow a failed one of the same parent and model"),
    "score_mean": RuleMetric("scores", "", "mean of the score `score` over evaluable answers"),
    "score_failing_share": RuleMetric("scores", "share", "evaluable answers whose score is labelled `fail`"),
    "score_failing": RuleMetric("scores", "", "answers whose score is labelled `fail`"),
    "rejected": RuleMetric("rejections", "", "spans, records and points that could not be taken"),
}
"""By name. The volume beside each is the number of rows that it rests on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricQuery:
    """One metric over several stretches of time.

    The answer has the columns ``owner``, ``place`` (which window), the dimensions of ``by``, ``value`` and ``volume``
    (:func:`metric_shape`), the groups of the most volume first, at most ``limit`` of each window.
    """

    metric: str
    windows: tuple[Window, ...]
    by: tuple[str, ...] = ()
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Dimension to the values that count."""
    scores: tuple[str, ...] = ()
    """Names of scores; empty is all."""
    slow_ms: float = 0.0
    across_tenants: bool = False
    """One group for the whole installation instead of one per owner."""
    limit: int = 1_000

    def __post_init__(self) -> None:
        if self.metric not in RULE_METRICS:
            raise InvalidQueryError(f"there is no metric {self.metric!r}; there are {', '.join(RULE_METRICS)}")
        known = RULE_DIMENSIONS[self.source]
        for name in (*self.by, *self.where):
            if name not in known:
                raise InvalidQueryError(f"{self.metric} has no dimension {name!r}; it has {', '.join(known)}")
        if not 1 <= self.limit <= MAX_GROUPS or not 1 <= len(self.windows) <= MAX_WINDOWS:
            raise InvalidQueryError(f"at most {MAX_GROUPS} groups and {MAX_WINDOWS} windows, and at least one")

    @property
    def source(self) -> Source:
        """Where the metric comes from."""
        return RULE_METRICS[self.metric].source


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceQuery:
    """Who used to send and does not any more.

    The answer (:data:`SILENCE_SHAPE`) has for each tenant and service with at least ``min_calls`` in the window how
    long it has been silent at the window's end, the longest that it was before, and since when it is known.
    """

    window: Window
    min_calls: int = 100
    limit: int = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AnomalyQuery:
    """Anomalies that overlap the window, with their owner (:data:`ANOMALY_SHAPE`), the latest first."""

    window: Window
    limit: int = 1_000


def metric_shape(by: tuple[str, ...]) -> pa.Schema:
    """Return the columns of the answer to a :class:`MetricQuery`."""
    fields: list[pa.Field[Any]] = [pa.field("place", COUNT), pa.field("owner", TEXT)]
    fields += [pa.field(name, TEXT) for name in by]
    return pa.schema([*fields, pa.field("value", REAL), pa.field("volume", COUNT)])


def _shape(**types: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, type_) for name, type_ in types.items()])


SILENCE_SHAPE: Final = _shape(
    owner=TEXT, tenant=TEXT, service=TEXT, calls=COUNT, silent_s=REAL, longest_s=REAL, known_s=REAL
)

ANOMALY_SHAPE: Final = _shape(
    owner=TEXT,
    id=TEXT,
    tenant=TEXT,
    kind=TEXT,
    metric=TEXT,
    dimensions=TEXT,
    severity=TEXT,
    impact_usd=MONEY,
    expected=REAL,
    observed=REAL,
    cause=TEXT,
    summary=TEXT,
    started_ns=COUNT,
    open=FLAG,
)
