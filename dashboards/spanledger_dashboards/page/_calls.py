"""Rows of the table of calls."""

from collections.abc import Mapping
from typing import Any, Final

from spanledger_dashboards.page._format import NOTHING, exact_usd, shown
from spanledger_dashboards.page._state import State
from spanledger_dashboards.page._views import CallRow

FINISH_REASONS: Final = ("stop", "length", "tool_call", "content_filter", "error")
_COLOURS: Final = {"stop": "green", "tool_call": "blue", "length": "orange", "content_filter": "purple"}


def call_row(call: Mapping[str, Any], state: State, reasons: Mapping[str, str], *, traces: bool) -> CallRow:
    """Return a row.

    Args:
        call: A row of ``llm_calls``, the time as a datetime.
        state: What links keep.
        reasons: What each ``billing_reason`` means.
        traces: Whether the reader may open traces.
    """
    failed = call["status"] == "error"
    ending = (call["error_type"] or "error") if failed else (call["finish_reason"] or NOTHING)
    return CallRow(
        at=call["time"],
        trace_id=call["trace_id"],
        href=state.to(f"/traces/{call['trace_id']}") + f"#span-{call['span_id']}" if traces else "",
        tenant=call["tenant_id"] or NOTHING,
        use_case=call["use_case"] or NOTHING,
        service=call["service_name"] or NOTHING,
        model=call["model"] or NOTHING,
        provider=call["provider"] or "",
        ending=ending,
        colour="red" if failed else _COLOURS.get(call["finish_reason"] or "", "grey"),
        cost=_cost(call),
        exact_cost=exact_usd(call["cost_usd"]) if call["billable"] else "",
        cost_unknown=bool(call["billable"]) and call["cost_usd"] is None,
        taken=_count(call["input_tokens"]),
        given=_count(call["output_tokens"]),
        duration=shown(call["duration_ms"], "ms"),
        ttft=shown(call["ttft_ms"], "ms"),
        billing_text=_why_not(call, reasons),
    )


def _cost(call: Mapping[str, Any]) -> str:
    if not call["billable"]:
        return NOTHING
    if call["cost_usd"] is None:
        return str(call["cost_status"] or "no price").replace("_", " ")
    return shown(call["cost_usd"], "usd")


def _why_not(call: Mapping[str, Any], reasons: Mapping[str, str]) -> str:
    if call["billable"]:
        return ""
    return reasons.get(call["billing_reason"] or "", "Not billed.").format(winner="another span")


def _count(tokens: int | None) -> str:
    return NOTHING if tokens is None else f"{tokens:,}"
