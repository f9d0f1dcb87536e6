"""Deterministic multi-tenant LLM traffic, as OTLP or as columns, with the truth about it: one seed, the same bytes.

A `World` (`build_world`) says who calls what and what happens to them; `generate` makes OTLP of it, `calls` the rows
that a service stores of that OTLP, and `World.truth` the labels.
"""

from spanledger_ingest.traffic._catalogue import MODELS, Model, Usage
from spanledger_ingest.traffic._generate import (
    HourTraffic,
    OutputError,
    Written,
    generate,
    generate_hour,
    write_traffic,
)
from spanledger_ingest.traffic._incidents import KINDS, MAGNITUDES, Incident, Kind, Magnitude, Scope
from spanledger_ingest.traffic._ledger import VERSION, Ledger, Totals, truth
from spanledger_ingest.traffic._load import LoadError
from spanledger_ingest.traffic._schedule import Plan
from spanledger_ingest.traffic._served import SERVED, Served
from spanledger_ingest.traffic._table import calls
from spanledger_ingest.traffic._world import DEFAULT_END_NS, HOUR_NS, Mode, Tenant, World, build_world

__all__ = [
    "DEFAULT_END_NS",
    "HOUR_NS",
    "KINDS",
    "MAGNITUDES",
    "MODELS",
    "SERVED",
    "VERSION",
    "HourTraffic",
    "Incident",
    "Kind",
    "Ledger",
    "LoadError",
    "Magnitude",
    "Mode",
    "Model",
    "OutputError",
    "Plan",
    "Scope",
    "Served",
    "Tenant",
    "Totals",
    "Usage",
    "World",
    "Written",
    "build_world",
    "calls",
    "generate",
    "generate_hour",
    "truth",
    "write_traffic",
]
