"""The judge's own calls as spans, so that they are priced, budgeted and shown like any other call."""

import json
import secrets
from dataclasses import dataclass
from typing import Any, Final

from spanledger_analytics.evaluation import Evidence
from spanledger_ingest.judging._endpoint import Endpoint, Reply

USE_CASE: Final = "spanledger.judge"
_CLIENT: Final = 3
_ERROR: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call of the judge."""

    evidence: Evidence
    endpoint: Endpoint
    start_ns: int
    end_ns: int
    reply: Reply | None = None
    error: str = ""


def export_request(asked: Asked) -> bytes:
    """Return the call as an OTLP/JSON request of one span, linked to the span that was judged; it has no text."""
    span: dict[str, Any] = {
        "traceId": secrets.token_hex(16),
        "spanId": secrets.token_hex(8),
        "name": f"chat {asked.endpoint.model}",
        "kind": _CLIENT,
        "startTimeUnixNano": str(asked.start_ns),
        "endTimeUnixNano": str(asked.end_ns),
        "attributes": [_attribute(name, value) for name, value in _attributes(asked).items()],
        "links": [{"traceId": asked.evidence.trace_id, "spanId": asked.evidence.span_id}],
    }
    if asked.error:
        span["status"] = {"code": _ERROR}
    scopes = [{"scope": {"name": "spanledger.judge"}, "spans": [span]}]
    resource = {"attributes": [_attribute("service.name", "spanledger")]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": scopes}]}).encode()


def _attributes(asked: Asked) -> dict[str, Any]:
    endpoint, reply = asked.endpoint, asked.reply
    found: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": endpoint.provider,
        "gen_ai.request.model": endpoint.model,
        "server.address": endpoint.target.host,
        "server.port": endpoint.target.port,
        "tenant.id": asked.evidence.tenant_id,
        "spanledger.use_case": USE_CASE,
        "error.type": asked.error,
    }
    if reply is not None:
        found |= {
            "gen_ai.response.model": reply.model,
            "gen_ai.response.id": reply.response_id,
            "gen_ai.response.finish_reasons": [reply.finish_reason],
            "gen_ai.usage.input_tokens": reply.input_tokens,
            "gen_ai.usage.output_tokens": reply.output_tokens,
        }
    return {name: value for name, value in found.items() if value not in (None, "")}


def _attribute(name: str, value: Any) -> dict[str, Any]:
    return {"key": name, "value": _value(value)}


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}
