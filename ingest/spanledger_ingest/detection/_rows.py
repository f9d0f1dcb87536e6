"""Findings as rows of the public table ``anomalies``."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from spanledger_analytics import schema
from spanledger_analytics.detect import Anomaly

KEY: Final = ("owner", "id")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def anomaly_row(one: Anomaly) -> dict[str, Any]:
    """Return a row."""
    return {
        "owner": one.owner,
        "id": one.id,
        "tenant_id": one.tenant,
        "kind": one.kind,
        "metric": one.metric,
        "dimensions": _text(dict(one.dimensions)),
        "started": _moment(one.started_ns),
        "ended": None if one.ended_ns is None else _moment(one.ended_ns),
        "severity": one.severity,
        "impact_usd": Decimal(one.impact_nano).scaleb(-9),
        "expected": one.expected,
        "observed": one.observed,
        "cause": one.cause,
        "summary": one.summary,
        "status": one.status,
        "detected": _moment(one.detected_ns),
        "impact_usd_per_hour": Decimal(one.impact_nano_per_hour).scaleb(-9),
        "requests_per_hour": one.requests_per_hour,
        "confidence": one.confidence,
        "causes": _text([{"dimensions": dict(where), "share": round(share, 4)} for where, share in one.causes]),
        "ties": _text([dict(where) for where in one.ties]),
        "detail": _text(dict(one.detail)),
    }


def anomaly_table(rows: Iterable[dict[str, Any]]) -> pa.Table:
    """Return rows as a table."""
    return pa.Table.from_pylist(list(rows), schema=schema.ANOMALIES.arrow)


def _moment(ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=ns // 1000)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=float)
