"""What an ended span says of the cost of its call, if it says it for certain."""

from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from spanledger._facts import facts_of


def report_of(span: ReadableSpan) -> dict[str, Any] | None:
    """Tokens by class and the service tier, or ``None`` for a call that failed or was left before its end.

    What such a call says of its usage may be a placeholder; it stays held until the service has its span.
    """
    facts = facts_of(span.attributes or {})
    if facts is None or not facts.has_usage or span.status.status_code is StatusCode.ERROR:
        return None
    if facts.streamed and not facts.finish_reasons:
        return None
    usage = dict(facts.tokens)
    if facts.operation in ("embeddings", "EMBEDDING"):
        usage.setdefault("output", 0)
    return {"usage": usage, "service_tier": facts.service_tier}
