"""Explanations with the words they are about, read out of the content store for who may see it."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from spanledger_analytics.evaluation import Evidence, Extract
from spanledger_ingest.scoring._assemble import evidence_of
from spanledger_ingest.store import EvidenceReader, QualityReader


class ExplainStore(Protocol):
    """Where scores and text are."""

    evidence: EvidenceReader
    quality: QualityReader


def explained(store: ExplainStore, trace_id: str, owner: str | None) -> list[dict[str, Any]]:
    """Return the scores of a trace; offences and support have their text while it is stored."""
    material = store.evidence.calls_of_trace(trace_id, owner)
    known = {(one.owner, one.span_id): one for one, _ in evidence_of(material)}
    found = []
    for row in store.quality.of_trace(trace_id, owner).to_pylist():
        evidence = known.get((row.pop("owner"), row["span_id"]))
        detail = json.loads(row.pop("detail") or "{}")
        found.append(row | {"detail": detail if evidence is None else _with_text(detail, evidence)})
    return found


def _with_text(detail: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    shown = dict(detail)
    if "offences" in detail:
        shown["offences"] = [_extract(place).as_json(evidence) for place in detail["offences"]]
    if "support" in detail:
        shown["support"] = _extract(detail["support"]).as_json(evidence)
    return shown


def _extract(place: Mapping[str, Any]) -> Extract:
    names = ("where", "start", "end", "source", "reason")
    return Extract(**{name: place[name] for name in names if name in place})
