"""Verdicts as rows of ``scores``."""

from collections.abc import Iterable

import orjson
import pyarrow as pa

from spanledger_analytics import rows, schema
from spanledger_analytics.evaluation import Evidence, Verdict

SOURCE = "spanledger"


def score_row(evidence: Evidence, verdict: Verdict, digest: str) -> rows.Row:
    """Return the row; it holds no captured text, only places in it."""
    detail = verdict.explanation.as_json()
    return (
        evidence.owner,
        evidence.start_ns,
        evidence.start_ns // 1000,
        evidence.trace_id,
        evidence.span_id,
        evidence.tenant_id,
        evidence.model,
        evidence.use_case,
        verdict.name,
        verdict.value,
        verdict.label,
        detail.pop("reason"),
        verdict.scorer_version,
        verdict.calibration_id,
        verdict.confidence,
        verdict.value is not None,
        SOURCE,
        evidence.prompt_name,
        evidence.prompt_version,
        orjson.dumps(detail).decode() if detail else None,
        digest,
    )


def table_of(found: Iterable[rows.Row]) -> pa.Table:
    """Return rows of ``scores`` as a table."""
    return rows.table_of(schema.SCORES, found)
