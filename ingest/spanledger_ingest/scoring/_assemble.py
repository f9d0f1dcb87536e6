"""Evidence out of stored rows: each call's question and answer, and what its trace retrieved before the answer."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from spanledger_analytics.evaluation import Evidence, Message, Passage
from spanledger_ingest.scoring._conversation import Answer, answer_of, documents_of, messages_of, plain_of
from spanledger_ingest.store import Material

_MAX_PASSAGES: Final = 200
_MASK: Final = re.compile(r"\[(?:email|phone|card|iban|ssn|ip|secret)\]")
_TOOL_KINDS: Final = frozenset({"execute_tool", "tool", "retriever", "retrieval", "reranker", "ai.toolcall"})
_KIND_NAMES: Final = (
    "gen_ai.operation.name", "openinference.span.kind", "traceloop.span.kind", "langfuse.observation.type",
    "ai.operationId",
)  # fmt: skip
_FORMAT_NAMES: Final = ("gen_ai.openai.request.response_format", "gen_ai.request.response_format", "gen_ai.output.type")
_SCHEMA_NAMES: Final = (
    "gen_ai.request.structured_output_schema", "llm.request.structured_output_schema", "gen_ai.output.schema",
    "ai.schema",
)  # fmt: skip
Row = Mapping[str, Any]
_Span = tuple[str, str, str]


def evidence_of(material: Material, *, masked: bool = False) -> Iterator[tuple[Evidence, set[str]]]:
    """Yield each call's evidence, and the digests under which it was judged before.

    Args:
        material: what the store knows of the calls.
        masked: whether text was masked before it was stored.
    """
    texts: dict[_Span, dict[str, str]] = {}
    for row in material.texts.to_pylist():
        texts.setdefault(_key(row), {})[row["kind"]] = row["text"]
    spans = {_key(row): row for row in material.spans.to_pylist()}
    judged: dict[_Span, set[str]] = {}
    for row in material.scored.to_pylist():
        judged.setdefault(_key(row), set()).add(row["evidence"])
    traces: dict[tuple[str, str], list[_Span]] = {}
    for key in texts:
        traces.setdefault(key[:2], []).append(key)
    for call in material.calls.to_pylist():
        beside = [key for key in traces.get((call["owner"], call["trace_id"]), ()) if key != _key(call)]
        context = list(_context(call, beside, texts, spans))
        yield (
            _evidence(call, texts.get(_key(call), {}), spans.get(_key(call), {}), context, masked=masked),
            judged.get(_key(call), set()),
        )


def digest_of(evidence: Evidence, judges: str) -> str:
    """Return a digest of all that a verdict depends on; ``judges`` stands for the scorers and their versions."""
    said = [
        judges,
        evidence.system,
        [(message.role, message.text) for message in evidence.messages],
        evidence.output,
        [(passage.source, passage.text) for passage in evidence.context],
        [evidence.finish_reason, evidence.tool_calls, evidence.wants_json, evidence.schema, evidence.masked],
    ]
    return hashlib.sha256(orjson.dumps(said, default=str)).hexdigest()[:24]


def _key(row: Row) -> _Span:
    return row["owner"], row["trace_id"], row["span_id"]


def _evidence(call: Row, said: Mapping[str, str], span: Row, context: Sequence[Passage], *, masked: bool) -> Evidence:
    messages = messages_of(said["input"]) if "input" in said else []
    answer = answer_of(said["output"]) if "output" in said else None
    attributes = _attributes(span)
    wants_json, schema = _format(attributes)
    system = [plain_of(said["system"])] if "system" in said else []
    system += [message.text for message in messages if message.role == "system"]
    passages = _numbered([*(message for message in messages if message.role == "tool"), *context])
    return Evidence(
        **{name: call[name] for name in ("owner", "trace_id", "span_id", "start_ns", "tenant_id", "service_name")},
        **{
            name: call[name]
            for name in (
                "use_case",
                "provider",
                "model",
                "operation",
                "prompt_name",
                "prompt_version",
                "response_id",
            )
        },
        finish_reason=call["finish_reason"],
        status=call["status"],
        system="\n".join(system) or None,
        messages=tuple(message for message in messages if message.role != "system"),
        output=None if answer is None else answer.text,
        context=passages,
        tool_calls=(answer or Answer("", 0)).tool_calls,
        wants_json=wants_json,
        schema=schema,
        masked=masked or _MASK.search((answer or Answer("", 0)).text) is not None,
    )


def _context(
    call: Row, beside: Iterable[_Span], texts: Mapping[_Span, Mapping[str, str]], spans: Mapping[_Span, Row]
) -> Iterator[Passage]:
    own = texts.get(_key(call), {}).get("retrieval")
    for stored in [own] if own else []:
        yield from (Passage(document.id or "", document.text) for document in documents_of(stored))
    for key in beside:
        span = spans.get(key)
        if span is None or span["start_ns"] > call["end_ns"]:
            continue
        said = texts[key]
        if "retrieval" in said:
            yield from (Passage(document.id or "", document.text) for document in documents_of(said["retrieval"]))
        elif "output" in said and _is_tool(_attributes(span)):
            yield Passage("", plain_of(said["output"]))


def _numbered(found: Sequence[Passage | Message]) -> tuple[Passage, ...]:
    """Name what has no id by its number; the same text counts once."""
    kept: dict[str, Passage] = {}
    taken: set[str] = set()
    for item in found:
        if not item.text.strip() or item.text in kept or len(kept) >= _MAX_PASSAGES:
            continue
        source = item.source if isinstance(item, Passage) and item.source not in taken else ""
        source = source or str(len(kept) + 1)
        kept[item.text] = Passage(source if source not in taken else f"#{len(kept) + 1}", item.text)
        taken.add(kept[item.text].source)
    return tuple(kept.values())


def _attributes(span: Row) -> Mapping[str, Any]:
    try:
        found = json.loads(span.get("attributes") or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_tool(attributes: Mapping[str, Any]) -> bool:
    return any(str(attributes.get(name, "")).lower() in _TOOL_KINDS for name in _KIND_NAMES)


def _format(attributes: Mapping[str, Any]) -> tuple[bool, Mapping[str, Any] | None]:
    """Return whether JSON was demanded, and its schema if the request's attributes have it."""
    schema = next((found for name in _SCHEMA_NAMES if (found := _object(attributes.get(name)))), None)
    parameters = _object(attributes.get("llm.invocation_parameters")) or {}
    wanted = parameters.get("response_format")
    if schema is None and isinstance(wanted, dict):
        inner = wanted.get("json_schema")
        found = inner.get("schema") if isinstance(inner, dict) else wanted.get("schema")
        schema = found if isinstance(found, dict) else None
    said = " ".join(str(attributes.get(name, "")) for name in _FORMAT_NAMES) + str(wanted or "")
    return schema is not None or "json" in said.lower(), schema


def _object(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, str) and value[:1] == "{":
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None
