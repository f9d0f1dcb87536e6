"""Normalisation of spans."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from spanledger_analytics.records import CallFacts, Content, Span
from spanledger_ingest.normalise._content import Found, is_withheld, split, split_events, without_mark
from spanledger_ingest.normalise._facts import facts_of, tenant_by_alias, tenant_of

UNKNOWN_TENANT = "unknown"


@dataclass(frozen=True, slots=True)
class Normalised:
    """A span taken apart: what is stored of it, what it says of a model call, and what was said."""

    span: Span
    """The span without content in its attributes and events."""
    facts: CallFacts | None
    """``None`` if the span does not describe a model call."""
    contents: Sequence[Content]
    """All content of the span, before any policy; none if its sender withholds it."""


def normalise(span: Span) -> Normalised:
    """Read a span of any dialect. Never raises, whatever the attributes hold."""
    facts = facts_of(span)
    found = Found()
    attributes = without_mark(split(span.attributes, found))
    events = split_events(span.events, found) if span.events else span.events
    message = span.status_message
    withheld = is_withheld(span.attributes)
    if message and (facts is not None or found.parts or withheld):
        # SDKs copy the provider's error text here, and that may quote the prompt.
        found.add("other", "status.message", message)
        message = ""
    alias = tenant_by_alias(span, facts)
    if not found.parts and attributes is span.attributes and alias is None:
        return Normalised(span, facts, ())
    clean = replace(span, attributes=attributes, events=events, status_message=message, tenant_id=alias)
    if withheld:
        return Normalised(clean, facts, ())
    tenant = (facts.tenant_id if facts is not None else tenant_of(span)) or UNKNOWN_TENANT
    contents = found.contents(span.owner, tenant, (span.trace_id, span.span_id), span.start_ns)
    return Normalised(clean, facts, contents)
