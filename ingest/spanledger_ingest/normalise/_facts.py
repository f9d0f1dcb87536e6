"""From a span to the facts it states about one model call."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from spanledger_analytics.records import Attributes, CallFacts, FinishReason, Span, Usage
from spanledger_ingest.normalise import _aliases as alias
from spanledger_ingest.normalise._dialects import Dialect, Operation, dialect_of, operation_by_name, operation_of
from spanledger_ingest.normalise._sources import Attr, EventAttr, FirstEvent, Reader, Resource
from spanledger_ingest.normalise._table import COMPILED, SOURCE_NAMES, Convert, Rule
from spanledger_ingest.normalise._usage import source_of, usage_of

_USD = (None, "USD", "usd")
_OTHER_ERROR = "_OTHER"
"""What the conventions say for an error whose type is not known."""
_HUNG_UP = "GeneratorExit"
"""Python's word for a reader who stops reading: the stream is aborted, but nobody failed."""
_TENANT = dict(COMPILED)["tenant_id"]
_TENANT_NAME = "tenant.id"
_TENANT_ATTRIBUTES = frozenset(rule.source.needs for rule in _TENANT if rule.source.needs is not None)
_TENANT_RESOURCES = frozenset(rule.source.name for rule in _TENANT if isinstance(rule.source, Resource))
_Step = tuple[str | None, Callable[[Reader], Any], Convert]
"""The span attribute to take, or ``None`` and how else to read; then how to clean it."""
_Plan = tuple[tuple[str, tuple[_Step, ...]], ...]
_IN_EVENTS = (EventAttr, FirstEvent)
_USUAL_ATTRIBUTES = 64


def facts_of(span: Span) -> CallFacts | None:
    """Return what the span says of a model call, ``None`` if it does not describe one."""
    operation = operation_of(span.attributes)
    if operation is None and span.status == "error":
        operation = operation_by_name(span)
    if operation is None or operation.role == "none":
        return None
    dialect = dialect_of(span.scope, span.attributes)
    if dialect.answered_by and span.status != "error" and not _is_answered(dialect, span):
        return None
    found = _read(span)
    usage = usage_of(found, _provider(found, span.scope.name), dialect)
    rollup = _is_rollup(operation, span, usage)
    if rollup is None:
        return None
    return _build(span, operation, dialect, found, usage, rollup=rollup)


def tenant_of(span: Span) -> str | None:
    """Return the tenant of any span: of its credential, else what the span says itself."""
    if span.owner:
        return span.owner
    reader = Reader(span, failed=False)
    return next((clean for rule in _TENANT if (clean := rule.convert(rule.source.read(reader))) is not None), None)


def _is_answered(dialect: Dialect, span: Span) -> bool:
    return any(name.startswith(dialect.answered_by) for name in span.attributes)


def _is_rollup(operation: Operation, span: Span, usage: Usage) -> bool | None:
    if operation.role == "call":
        return False
    if usage.input is None and usage.output is None:
        return None
    # The conventions give inference spans the kind CLIENT; what runs inside the process sums up others.
    return operation.role == "rollup" or span.kind != "client"


def _plan(attributes: Attributes, *, has_events: bool) -> _Plan:
    if len(attributes) > _USUAL_ATTRIBUTES:
        return _plan_of(SOURCE_NAMES.intersection(attributes), has_events=has_events)
    return _usual_plan(tuple(attributes), has_events=has_events)


@lru_cache(maxsize=512)
def _usual_plan(names: tuple[str, ...], *, has_events: bool) -> _Plan:
    # Instrumentations write the same names in the same order: found without comparing sets.
    return _plan_of(SOURCE_NAMES.intersection(names), has_events=has_events)


@lru_cache(maxsize=4096)
def _plan_of(names: frozenset[str], *, has_events: bool) -> _Plan:
    """Return what is worth trying on a span that has these of the table's attributes."""
    plan = []
    for column, rules in COMPILED:
        useful = tuple(_step(rule) for rule in rules if _is_useful(rule, names, has_events=has_events))
        if useful:
            plan.append((column, useful))
    return tuple(plan)


def _is_useful(rule: Rule, names: frozenset[str], *, has_events: bool) -> bool:
    if isinstance(rule.source, _IN_EVENTS):
        return has_events
    return rule.source.needs is None or rule.source.needs in names


def _step(rule: Rule) -> _Step:
    return rule.source.needs if isinstance(rule.source, Attr) else None, rule.source.read, rule.convert


def _read(span: Span) -> dict[str, Any]:
    attributes = span.attributes
    reader = Reader(span, failed=span.status == "error")
    found: dict[str, Any] = {}
    for column, steps in _plan(attributes, has_events=bool(span.events)):
        for name, read, convert in steps:
            raw = read(reader) if name is None else attributes[name]
            if raw is not None and (clean := convert(raw)) is not None:
                found[column] = clean
                break
    return found


def _provider(found: dict[str, Any], scope_name: str) -> str | None:
    at_host = alias.provider_of_host(found["host"]) if "host" in found else None
    named = found.get("provider")
    # The OpenAI SDK speaks to many hosts, and its instrumentations say openai for all of them.
    if at_host is not None and named in {None, "openai"}:
        return at_host
    if named is not None:
        return str(named)
    model = found.get("response_model") or found.get("request_model")
    by_model = None if model is None else alias.provider_of_model(model)
    return by_model or alias.provider_of_scope(scope_name)


def _build(
    span: Span, operation: Operation, dialect: Dialect, found: dict[str, Any], usage: Usage, *, rollup: bool
) -> CallFacts:
    provider = _provider(found, span.scope.name)
    failed = _failed(span, found)
    spoke = usage != Usage() or "response_id" in found
    get = found.get
    stream, response_id = get("stream"), get("response_id")
    tier, http_status, error_type = _tier(found), *_outcome(span, found, failed=failed)
    return CallFacts(
        owner=span.owner,
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        tenant_id=span.owner or get("tenant_id"),
        user_id=get("user_id"),
        session_id=get("session_id"),
        use_case=get("use_case"),
        service_name=get("service_name"),
        environment=get("environment"),
        region=get("region"),
        prompt_name=get("prompt_name"),
        prompt_version=get("prompt_version"),
        provider=provider,
        operation=operation.name or _spelled(span),
        request_model=_model(get("request_model"), provider),
        # Some families repeat the model asked for on errors; nobody answered there.
        response_model=_model(get("response_model"), provider) if spoke or not failed else None,
        response_id=None if _is_local_id(response_id) else response_id,
        usage=usage,
        usage_source=source_of(usage, span.attributes, span.scope.name, dialect),
        service_tier=tier,
        batch=get("batch", False) or tier == "batch",
        reported_cost_usd=get("reported_cost_usd") if get("cost_currency") in _USD else None,
        finish_reason=_finish(found, failed=failed),
        finish_reasons_raw=get("finish_reasons_raw", ()),
        stream=stream,
        ttft_ns=get("ttft_ns", get("ttft_of_stream_ns") if stream else None),
        status="error" if failed else "ok",
        http_status=http_status,
        error_type=error_type,
        dialect=dialect.name,
        scope_name=span.scope.name,
        rollup=rollup,
    )


def tenant_by_alias(span: Span, facts: CallFacts | None) -> str | None:
    """Return the tenant of a span that has neither a credential nor ``tenant.id``; ``None`` if nothing names one."""
    if span.owner or _TENANT_NAME in span.attributes or _TENANT_NAME in span.resource.attributes:
        return None
    if facts is not None:
        return facts.tenant_id
    named = not _TENANT_ATTRIBUTES.isdisjoint(span.attributes) or not _TENANT_RESOURCES.isdisjoint(
        span.resource.attributes
    )
    return tenant_of(span) if named else None


def _failed(span: Span, found: dict[str, Any]) -> bool:
    if found.get("error_type") == _HUNG_UP:
        found["aborted"] = True
        return False
    return span.status == "error" or bool(span.attributes.get("error.type")) or "failed_level" in found


def _outcome(span: Span, found: dict[str, Any], *, failed: bool) -> tuple[int | None, str | None]:
    """Return HTTP status and error type."""
    http: int | None = found.get("http_status")
    if not failed:
        return http, None
    error_type = found.get("error_type")
    if http is None:
        http = alias.status_in(span.status_message) or (alias.status_of_error(error_type) if error_type else None)
    if error_type is None:
        error_type = str(http) if http is not None else _OTHER_ERROR
    return http, error_type


def _finish(found: dict[str, Any], *, failed: bool) -> FinishReason | None:
    if "aborted" in found:
        return "error"
    told = found.get("finish_reason")
    by_us = None if told is None else alias.finish_reason_of(told)
    return by_us or alias.finish_reason(found.get("finish_reasons_raw", ())) or ("error" if failed else None)


def _model(name: str | None, provider: str | None) -> str | None:
    return None if name is None else alias.plain_model(name, provider)


def _tier(found: dict[str, Any]) -> str | None:
    tier = found.get("service_tier")
    return None if tier is None else str(tier).lower()


def _is_local_id(response_id: str | None) -> bool:
    # LangChain numbers its own runs; no provider knows these.
    return response_id is not None and response_id.startswith(("lc_run-", "run-", "run--"))


def _spelled(span: Span) -> str | None:
    value = span.attributes.get("gen_ai.operation.name")
    return value[:64] if type(value) is str and value else None
