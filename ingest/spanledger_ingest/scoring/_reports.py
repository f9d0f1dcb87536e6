"""Scores in sum: rates with intervals and coverage, comparisons, and the queue of what to review."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from spanledger_analytics.quality import Agreement, Comparison, Tally, compare, inclusion, rate_of
from spanledger_ingest.store import DIMENSIONS, QualityReader, ScoreFilter

_QUEUE_FROM: Final = 20_000
"""Latest unlabelled scores that the queue is drawn from."""
Row = Mapping[str, Any]


def rates(store: QualityReader, wanted: ScoreFilter, by: Sequence[str]) -> list[dict[str, Any]]:
    """Return the share failing by dimensions and score, of the newest version of each scorer.

    ``coverage_percent`` is the part of all billable calls that could be judged. What was not even looked at, because
    none of its text is stored, counts as ``no_content`` among the reasons.
    """
    columns = [name for dimension in by for name in DIMENSIONS[dimension]]
    totals = {tuple(row[name] for name in columns): row["calls"] for row in store.calls(wanted, by).to_pylist()}
    agreements = _agreements(store, wanted, by_tenant="tenant" in by)
    found = store.rates(wanted, by).to_pylist()
    newest = _newest(found)
    return [_rate(row, columns, totals, agreements) for row in found if (row["name"], row["scorer_version"]) in newest]


def _rate(
    row: Row, columns: Sequence[str], totals: Mapping[Any, int], agreements: Mapping[Any, Agreement]
) -> dict[str, Any]:
    tenant = row["tenant_id"] if "tenant_id" in columns else None
    agreement = agreements.get((tenant, row["name"], row["scorer_version"]), Agreement())
    rate = rate_of(Tally(row["evaluable"], row["failing"]), agreement)
    calls = max(totals.get(tuple(row[name] for name in columns), 0), row["scored"])
    reasons = dict(row["reasons"] or ())
    if calls > row["scored"]:
        reasons["no_content"] = reasons.get("no_content", 0) + calls - row["scored"]
    shown = {name: row[name] for name in (*columns, "name", "scorer_version", "calibration_id")}
    return shown | {
        "calls": calls,
        "evaluable": row["evaluable"],
        "coverage_percent": _percent(row["evaluable"] / calls),
        "failing": row["failing"],
        "failing_percent": _percent(rate.value),
        "low_percent": _percent(rate.low),
        "high_percent": _percent(rate.high),
        "method": rate.method,
        "labels": agreement.labels,
        "mean": row["mean"],
        "not_evaluable": reasons,
    }


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 3)


def _agreements(store: QualityReader, wanted: ScoreFilter, *, by_tenant: bool) -> dict[Any, Agreement]:
    rows = store.agreement(wanted, by_tenant=by_tenant).to_pylist()
    return {(row["tenant_id"], row["name"], row["scorer_version"]): _agreement(row) for row in rows}


def _agreement(row: Row) -> Agreement:
    """Scale weighted sums so that they come to the number of equal labels they are worth (Kish)."""
    scale = row["weight"] / row["squares"] if row["squares"] else 0.0
    counts = {name: scale * (row[name] or 0.0) for name in ("both_fail", "missed", "false_alarm", "both_pass")}
    return Agreement(**counts, labels=row["labels"])


def _newest(found: Sequence[Row]) -> set[tuple[str, str]]:
    versions: dict[str, str] = {}
    for row in found:
        known = versions.get(row["name"])
        if known is None or version_key(known) < version_key(row["scorer_version"]):
            versions[row["name"]] = row["scorer_version"]
    return set(versions.items())


def version_key(version: str | None) -> tuple[list[int], str]:
    """Return what orders versions: numbers before the digest, as numbers."""
    text = version or ""
    return [int(number) for number in re.findall(r"\d{1,9}", text.split("+")[0])], text


def newest_scores(found: Iterable[Row]) -> list[dict[str, Any]]:
    """Return scores without those of ours of which a newer version judged the same; by name."""
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    for number, row in enumerate(found):
        ours = row["source"] == "spanledger"
        key = (row["span_id"], row["name"], row["source"], 0 if ours else number)
        known = kept.get(key)
        if known is None or version_key(known["scorer_version"]) < version_key(row["scorer_version"]):
            kept[key] = dict(row)
    return sorted(kept.values(), key=lambda row: row["name"])


def prompt_of(text: str | None) -> tuple[str | None, str | None]:
    """Return name and version of ``name@version``, or of ``name``."""
    if text is None:
        return None, None
    name, at, version = text.rpartition("@")
    return (name, version) if at else (text, None)


def side_of(wanted: ScoreFilter, by: str, value: str) -> ScoreFilter:
    """Return the scores of one model, or of one version of a prompt."""
    if by == "model":
        return replace(wanted, filters=replace(wanted.filters, model=value))
    name, version = prompt_of(value)
    return replace(wanted, prompt_name=name, prompt_version=version)


def comparison(store: QualityReader, a: ScoreFilter, b: ScoreFilter) -> tuple[Tally, Tally, Comparison]:
    """Compare two selections of the same score by the newest version that judged both."""
    one, two = _tallies(store, a), _tallies(store, b)
    both = sorted(one.keys() & two.keys(), key=version_key)
    first, second = (side[both[-1]] if both else Tally(0, 0) for side in (one, two))
    return first, second, compare(first, second)


def _tallies(store: QualityReader, wanted: ScoreFilter) -> dict[str, Tally]:
    found: dict[str, Tally] = {}
    for row in store.rates(wanted, ()).to_pylist():
        known = found.get(row["scorer_version"], Tally(0, 0))
        found[row["scorer_version"]] = Tally(known.evaluable + row["evaluable"], known.failing + row["failing"])
    return found


def review_queue(store: QualityReader, wanted: ScoreFilter, limit: int) -> Iterator[dict[str, Any]]:
    """Yield scores to label next, with the weight that their label has."""
    found = 0
    for row in store.unlabelled(wanted, _QUEUE_FROM).to_pylist():
        value = row["confidence"] if row["confidence"] is not None else row["value"]
        weight = inclusion(f"{row['trace_id']}{row['span_id']}{row['name']}", value)
        if weight is not None:
            found += 1
            yield row | {"weight": weight}
        if found == limit:
            return
