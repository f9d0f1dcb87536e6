"""Settlement in plain words."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from spanledger_analytics.ports import SpanKey
from spanledger_analytics.records import Call
from spanledger_ingest.settle._settle import settle_all
from spanledger_ingest.settle._tree import key_of

REASONS: Mapping[str, str] = {
    "only_span": "Billed: the only span that describes this call.",
    "best_span": "Billed: the most trustworthy of the spans that describe this call.",
    "usage_missing": "Counted as a call, but without a cost: no span of it says how many tokens the provider counted.",
    "error_without_usage": "Counted as a failed call, without a cost: the provider reported no usage.",
    "same_response_id": "Not billed: it carries the response id of a call that {winner} is billed for.",
    "nested_duplicate": "Not billed: it wraps, or lies inside, {winner}, which describes the same call.",
    "detached_duplicate": "Not billed: it lost its context, but its time, model and outcome are those of {winner}.",
    "failed_attempt": "Not billed: a failed attempt of the call that {winner} is billed for.",
    "wrapper": "Not billed: it wraps calls that are billed by themselves.",
    "rollup": "Not billed: it sums up calls that are billed by themselves.",
}
"""What each ``billing_reason`` means. The words are stable; the sentences may change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a span was billed or not."""

    owner: str
    trace_id: str
    span_id: str
    billable: bool
    reason: str
    """The stable word of ``billing_reason``."""
    text: str
    winner: SpanKey | None
    """The span that is billed for the same call; ``None`` if it is several or not among the calls given."""


def explain(calls: Iterable[Call], parents: Mapping[SpanKey, str | None] | None = None) -> list[Explanation]:
    """Explain rows, in order of start.

    Args:
        calls: Rows of one or more traces. Give those of all spans of a call (``SpanStore.related``) to learn winners.
        parents: Parents of the traces' spans, as settlement had them; ``None`` if unknown.
    """
    rows = list(calls)
    winners = {
        key_of(found.call.own): (found.call.billing_reason, found.winner)
        for found in settle_all((row.own for row in rows), parents or {})
    }
    rows.sort(key=lambda row: (row.own.start_ns, key_of(row.own)))
    return [_explanation(row, *winners[key_of(row.own)]) for row in rows]


def _explanation(row: Call, reason_now: str, winner: SpanKey | None) -> Explanation:
    if reason_now != row.billing_reason:  # settled with more than we were given: do not guess
        winner = key_of(row.own) if row.billable else None
    name = "another span" if winner is None else f"span {winner[2]}"
    if winner is not None and winner[1] != row.own.trace_id:
        name += f" of trace {winner[1]}"
    return Explanation(
        owner=row.own.owner,
        trace_id=row.own.trace_id,
        span_id=row.own.span_id,
        billable=row.billable,
        reason=row.billing_reason,
        text=REASONS.get(row.billing_reason, row.billing_reason).format(winner=name),
        winner=winner,
    )
