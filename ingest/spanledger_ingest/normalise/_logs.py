"""Normalisation of log records: GenAI events carry content and evaluations."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from spanledger_analytics.records import Content, LogRecord, Score, Span
from spanledger_ingest.normalise import _convert as to
from spanledger_ingest.normalise._content import Found, is_withheld, kind_of_event, split, split_message, without_mark
from spanledger_ingest.normalise._facts import tenant_of
from spanledger_ingest.normalise._spans import UNKNOWN_TENANT

EVALUATION_EVENT: Final = "gen_ai.evaluation.result"
OWN_SCORES: Final = "spanledger.scoring"
"""Scope of the events of our own scores."""
_MAX_EXPLANATION = 4096


@dataclass(frozen=True, slots=True)
class NormalisedLog:
    """A log record taken apart."""

    record: LogRecord
    """The record without content in its attributes and body."""
    contents: Sequence[Content]
    scores: Sequence[Score]


def normalise_log(record: LogRecord) -> NormalisedLog:
    """Read a log record of any dialect. Never raises, whatever it holds."""
    name = record.event_name or to.text(record.attributes.get("event.name")) or ""
    if name == EVALUATION_EVENT:
        # Events of our own that somebody forwards to us are no judgement of theirs.
        ours = record.scope.name.startswith(OWN_SCORES)
        return NormalisedLog(record, (), () if ours else _scores(record))
    found = Found()
    kind = kind_of_event(name)
    if kind is None:
        attributes = split(record.attributes, found)
        body = _split_body(name, record.body, found)
    else:
        attributes = split_message(name, record.attributes, kind, found)
        found.add(kind, name, record.body)
        body = None
    attributes = without_mark(attributes)
    if not found.parts and attributes is record.attributes:
        return NormalisedLog(record, (), ())
    clean = replace(record, attributes=attributes, body=body)
    if record.trace_id is None or record.span_id is None or is_withheld(record.attributes):
        return NormalisedLog(clean, (), ())  # text of no span: nobody could ever find it
    where = (record.trace_id, record.span_id)
    return NormalisedLog(clean, found.contents(record.owner, _tenant(record), where, record.time_ns), ())


def _split_body(name: str, body: Any, found: Found) -> Any:
    # An ordinary log line is the application's own business; only GenAI events have content for a body.
    if not name.startswith("gen_ai.") or body is None:
        return body
    found.add("other", name, body)
    return None


def _tenant(record: LogRecord) -> str:
    # Reads the same rows of the mapping table as a span would.
    stand_in = Span(
        owner=record.owner,
        trace_id=record.trace_id or "",
        span_id=record.span_id or "",
        name="",
        start_ns=record.time_ns,
        end_ns=record.time_ns,
        attributes=record.attributes,
        resource=record.resource,
    )
    return tenant_of(stand_in) or UNKNOWN_TENANT


def _scores(record: LogRecord) -> tuple[Score, ...]:
    get = record.attributes.get
    name = to.text(get("gen_ai.evaluation.name"))
    if name is None:
        return ()
    explanation = get("gen_ai.evaluation.explanation")
    score = Score(
        owner=record.owner,
        tenant_id=_tenant(record),
        trace_id=record.trace_id or "",
        span_id=record.span_id or "",
        time_ns=record.time_ns,
        model=to.text(get("gen_ai.request.model")) or to.text(get("gen_ai.response.model")),
        use_case=to.text(get("spanledger.use_case")),
        name=name,
        value=to.number(get("gen_ai.evaluation.score.value")),
        label=to.text(get("gen_ai.evaluation.score.label")),
        explanation=explanation[:_MAX_EXPLANATION] if isinstance(explanation, str) and explanation else None,
        scorer_version=to.text(get("spanledger.scorer.version")),
    )
    return (score,)
