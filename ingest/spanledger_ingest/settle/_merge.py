"""One row out of several tellings: who is believed, and what the others add."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields, replace
from typing import Any

from spanledger_analytics.ports import SpanKey
from spanledger_analytics.records import CallFacts, Usage, UsageSource
from spanledger_ingest.normalise import is_framework, rank_of
from spanledger_ingest.settle._same import has_usage
from spanledger_ingest.settle._tree import key_of

_FILLED = (
    "tenant_id", "user_id", "session_id", "use_case", "service_name", "environment", "region", "provider", "operation",
    "request_model", "response_model", "response_id", "prompt_name", "prompt_version", "service_tier",
    "reported_cost_usd", "ttft_ns", "http_status", "error_type",
)  # fmt: skip
"""Taken from the next in line where the winner says nothing."""
_CLASSES = tuple(field.name for field in fields(Usage) if field.name not in {"input", "output"})


def in_order(members: Iterable[CallFacts], wrappers: Collection[SpanKey]) -> list[CallFacts]:
    """Return the tellings of one call, the most credible first.

    Success before failure, then the rank of the dialect, then the innermost (without tree, the last to start), then the
    identity.

    Args:
        members: All spans of the call.
        wrappers: Those of them with another of them inside.
    """
    return sorted(
        members,
        key=lambda facts: (
            facts.status == "error", rank_of(facts.dialect), key_of(facts) in wrappers, -facts.start_ns, key_of(facts),
        ),
    )  # fmt: skip


def merged(tellings: Sequence[CallFacts]) -> CallFacts:
    """Return the first telling with its gaps filled from the others, in order.

    A call that went well takes nothing from spans that failed: their errors are not its own.
    """
    winner = tellings[0]
    helpers = [facts for facts in tellings[1:] if facts.status == winner.status]
    if not helpers:
        return winner
    changes: dict[str, Any] = {}
    for name in _FILLED:
        if getattr(winner, name) is None:
            changes[name] = next((value for facts in helpers if (value := getattr(facts, name)) is not None), None)
    usage, source = _usage([winner, *helpers])
    stopped = winner if winner.finish_reason else next((f for f in helpers if f.finish_reason), winner)
    return replace(
        winner,
        **changes,
        usage=usage,
        usage_source=source,
        finish_reason=stopped.finish_reason,
        finish_reasons_raw=stopped.finish_reasons_raw,
        stream=_stream([winner, *helpers]),
        batch=any(facts.batch for facts in (winner, *helpers)),
    )


def _stream(tellings: Sequence[CallFacts]) -> bool | None:
    # Frameworks ask for a stream on their own and do not tell; the client that saw chunks knows.
    said = {facts.stream for facts in tellings}
    return True if True in said else (False if False in said else None)


def _usage(tellings: Sequence[CallFacts]) -> tuple[Usage, UsageSource]:
    trusted = sorted((facts for facts in tellings if has_usage(facts)), key=_hearsay)
    if not trusted:
        guess = next((facts for facts in tellings if facts.usage_source == "estimated"), tellings[0])
        return guess.usage, guess.usage_source
    usage = trusted[0].usage
    for facts in trusted[1:]:
        usage = _filled(usage, facts.usage)
    return usage, "provider"


def _hearsay(facts: CallFacts) -> int:
    # A framework counts what a client told it, and may miss some of it: two ranks back.
    return rank_of(facts.dialect) + 2 * is_framework(facts.scope_name)


def _filled(usage: Usage, other: Usage) -> Usage:
    """Add totals and classes that are missing, as far as they fit into the totals."""
    changes = {
        name: getattr(other, name)
        for name in ("input", "output", *_CLASSES)
        if getattr(usage, name) is None and getattr(other, name) is not None
    }
    candidate = replace(usage, **changes) if changes else usage
    return candidate if _is_sound(candidate) else usage


def _is_sound(usage: Usage) -> bool:
    cached = (usage.cache_read or 0) + (usage.cache_write or 0)
    fits_in = usage.input is None or (cached <= usage.input and (usage.audio_input or 0) <= usage.input)
    inside_output = max(usage.reasoning or 0, usage.audio_output or 0)
    return fits_in and (usage.output is None or inside_output <= usage.output)
