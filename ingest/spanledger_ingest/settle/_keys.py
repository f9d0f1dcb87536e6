"""What to ask the store for before new spans are settled."""

from collections.abc import Iterable, Sequence

from spanledger_analytics.ports import CallKeys
from spanledger_analytics.records import CallFacts, Head, Span
from spanledger_ingest.settle._same import HOUR_NS


def linking_traces(spans: Iterable[Span | Head]) -> set[tuple[str, str]]:
    """Return the traces of spans that may link others: all that have parents."""
    return {(span.owner, span.trace_id) for span in spans if span.parent_span_id is not None}


def related_keys(spans: Sequence[Span | Head], facts: Sequence[CallFacts]) -> CallKeys | None:
    """Return the keys of stored facts that may belong to the same calls; ``None`` if there can be none.

    Spans without facts count too: one that arrives late may turn out to link two calls. A root links nothing.

    Args:
        spans: All new spans.
        facts: What they say of calls.
    """
    traces = linking_traces(spans) | {(one.owner, one.trace_id) for one in facts}
    if not traces:
        return None
    times = [(span.start_ns, span.end_ns) for span in spans] + [(one.start_ns, one.end_ns) for one in facts]
    return CallKeys(
        trace_ids=traces,
        response_ids={(one.owner, one.response_id) for one in facts if one.response_id is not None},
        start_ns=max(0, min(start for start, _ in times) - HOUR_NS),
        end_ns=max(end for _, end in times) + HOUR_NS,
    )
