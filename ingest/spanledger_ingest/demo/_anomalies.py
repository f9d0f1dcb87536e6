"""Compares what the detector found with the incidents that the generator hid."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from spanledger_ingest.demo._checks import Check

Row = dict[str, Any]

ENOUGH: Final = 3
"""So many incidents have to be found, where so many are hidden."""
_NAMES: Final = {"tenant_id": "tenant"}
_EARLY: Final = timedelta(hours=4)
"""A start that is found may lie so much before the true one: the detector's longest window."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An anomaly, and the incident that explains it."""

    anomaly: Row
    incident: Row | None
    """``None`` if nothing was hidden there."""
    names_culprit: bool = False
    """Whether it names the scope of the incident, alone or with others that cannot be told from it."""


def findings(truth: Row, anomalies: Sequence[Row]) -> list[Finding]:
    """Return what was found, the first start first, without what is only worth knowing."""
    serious = [row for row in anomalies if row["severity"] != "info" and row["status"] != "withdrawn"]
    return [_explained(truth, row) for row in sorted(serious, key=lambda row: str(row["started"]))]


def anomaly_checks(truth: Row, found: Sequence[Finding]) -> list[Check]:
    """Check that what was hidden is found with its culprit, and that nothing is said of tenants that had nothing."""
    clean = set(truth["clean_tenants"])
    wrong = [one.anomaly["summary"] for one in found if one.incident is None and _tenant(one.anomaly) in clean]
    quiet = Check(
        f"none is said to be in one of the {len(clean)} tenants in which there is none", not wrong, "; ".join(wrong)
    )
    hidden = len(truth["incidents"])
    if hidden < ENOUGH:
        return [quiet]  # a period that is too short to know what is usual
    known = {one.incident["id"] for one in found if one.incident is not None and one.names_culprit}
    claim = f"{len(known)} of {hidden} hidden incidents are found, at their time and with their culprit"
    return [Check(claim, len(known) >= ENOUGH, f"at least {ENOUGH} have to be"), quiet]


def who(anomaly: Row) -> str:
    """Say whom an anomaly is about: the leaf, and others that explain it as well."""
    places = [json.loads(anomaly["dimensions"]), *json.loads(anomaly["ties"])]
    return " or ".join(_place(place) for place in sorted(places, key=len)[-1:]) or "everybody"


def _place(place: Mapping[str, Any]) -> str:
    return ", ".join(str(value) for value in place.values()) or "everybody"


def _explained(truth: Row, anomaly: Row) -> Finding:
    began = _moment(anomaly["started"])
    for incident in truth["incidents"]:
        onset, end = _moment(incident["onset"]), _moment(incident["end"])
        over = end if anomaly["ended"] is None else _moment(anomaly["ended"])
        if onset - _EARLY <= began <= end and over >= onset and _touches(incident, anomaly):
            return Finding(anomaly, incident, _names(incident, anomaly))
    return Finding(anomaly, None)


def _touches(incident: Row, anomaly: Row) -> bool:
    tenant = _tenant(anomaly)
    return tenant is None or tenant in incident["tenants"]


def _names(incident: Row, anomaly: Row) -> bool:
    scope = {_NAMES.get(name, name): value for name, value in incident["scope"].items()}
    places: Iterator[Row] = iter([json.loads(anomaly["dimensions"]), *json.loads(anomaly["ties"])])
    return any(scope.items() <= place.items() for place in places)


def _tenant(anomaly: Row) -> str | None:
    found: str | None = anomaly["tenant_id"]
    return found


def _moment(text: str) -> datetime:
    head, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{fraction[:6]:0<6}+00:00")
