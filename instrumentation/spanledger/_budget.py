"""Asking about budgets before a model call is made: what is asked, and what becomes of the answer.

Loaded at the first call of an application with ``budgets`` set to ``observe`` or ``enforce``.
"""

import asyncio
import copy
from typing import Any

from opentelemetry import trace

from spanledger import semconv
from spanledger._budget_body import Demand, demand_of, limited
from spanledger._budget_gate import Verdict, gate
from spanledger._guard import shielded
from spanledger._observe import recording_call
from spanledger._runtime import runtime
from spanledger.errors import BudgetExceeded

_REFUSED = range(400, 600)
_LONGEST = 86_400.0


def question(sdk: str, client: Any, args: tuple[Any, ...]) -> "Question | None":
    """The question about a request, or ``None`` if there is none to ask: nobody records it, or it costs nothing."""
    span = recording_call()
    demand = None if span is None else demand_of(sdk, client, args[1])
    return None if demand is None else Question(sdk, client, args, demand, span)


class Question:
    """One request, before it is sent."""

    def __init__(self, sdk: str, client: Any, args: tuple[Any, ...], demand: Demand, span: Any) -> None:
        self._args = args
        self._demand = demand
        self._span = span
        self._enforcing = runtime.settings.budgets == "enforce"
        self._verdict: Verdict | None = None
        self._body = _asked(sdk, client, args[1], demand, span)

    def wait(self) -> tuple[Any, ...]:
        """Ask, and return the arguments to go on with.

        Raises:
            BudgetExceeded: A budget has no room, and budgets are enforced.
        """
        verdict = Verdict("unknown")
        with shielded("asking about budgets"):
            verdict = gate.ask(self._body, self._span.get_span_context().span_id)
        return self._obey(verdict)

    async def wait_async(self) -> tuple[Any, ...]:
        """The same, without holding up the event loop."""
        verdict = gate.from_lease(self._body, self._span.get_span_context().span_id)
        if verdict is not None:
            return self._obey(verdict)
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # another event loop than asyncio's: it waits for the short timeout
            return self.wait()
        return await asyncio.to_thread(self.wait)

    def failed(self, error: BaseException) -> None:
        """Give back what was held, if the provider has refused the request."""
        with shielded("settling with budgets"):
            if self._verdict is not None and getattr(error, "status_code", None) in _REFUSED:
                gate.give_back(self._span.get_span_context().span_id)

    def _obey(self, verdict: Verdict) -> tuple[Any, ...]:
        self._verdict = verdict
        refused = verdict.decision == "deny"
        if verdict.decision == "unknown":
            refused = runtime.settings.budgets_on_error == "block"
        with shielded("noting what budgets said"):
            self._note(verdict, refused=refused)
        if refused and self._enforcing:
            raise BudgetExceeded(verdict.budget, verdict.reset)
        if verdict.decision != "clamp" or not self._enforcing or not self._demand.limit or verdict.max_tokens is None:
            return self._args
        cast_to, options, *rest = self._args
        options = copy.copy(options)  # the caller's own may be sent again
        for name, value in limited(options, self._demand, verdict.max_tokens).items():
            setattr(options, name, value)
        return (cast_to, options, *rest)

    def _note(self, verdict: Verdict, *, refused: bool) -> None:
        changes = refused or verdict.decision == "clamp"
        word = "deny" if refused else verdict.decision
        said = {semconv.BUDGET_DECISION: word if self._enforcing or not changes else f"would_{word}"}
        if verdict.budget is not None and changes:
            said[semconv.BUDGET_NAME] = verdict.budget
        self._span.set_attributes(said)
        if verdict.decision == "clamp" and verdict.max_tokens is not None:
            self._span.set_attribute(semconv.BUDGET_MAX_TOKENS, verdict.max_tokens)


def _asked(sdk: str, client: Any, options: Any, demand: Demand, span: Any) -> dict[str, Any]:
    attributes, resource = span.attributes or {}, span.resource.attributes
    context = span.get_span_context()
    said = {
        "model": demand.model,
        "provider": attributes.get(semconv.PROVIDER_NAME) or attributes.get(semconv.SYSTEM) or sdk,
        "tenant": attributes.get(semconv.TENANT_ID) or resource.get(semconv.TENANT_ID),
        "use_case": attributes.get(semconv.USE_CASE),
        "service": resource.get("service.name"),
        "environment": resource.get("deployment.environment.name") or resource.get("deployment.environment"),
        "input_tokens": demand.input_tokens,
        "max_tokens": demand.max_tokens,
        "min_tokens": demand.min_tokens,
        "choices": demand.choices,
        "classes": None if demand.classes is None else list(demand.classes),
        "service_tier": demand.service_tier,
        "timeout_seconds": _timeout(client, options),
        "start_ns": span.start_time,
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }
    return {name: value for name, value in said.items() if value is not None}


def _timeout(client: Any, options: Any) -> float:
    """Seconds until the call has certainly ended, all attempts together."""
    timeout = options.timeout if isinstance(options.timeout, int | float) else client.timeout
    seconds = getattr(timeout, "read", timeout)
    seconds = float(seconds) if isinstance(seconds, int | float) and seconds > 0 else 600.0
    return min(seconds * (1 + int(getattr(client, "max_retries", 2))), _LONGEST)
