"""Deterministic multi-tenant LLM traffic as OTLP, with the truth about it: one seed, always the same bytes."""

from spanledger_ingest.traffic._catalogue import MODELS, Model, Usage
from spanledger_ingest.traffic._generate import (
    DEFAULT_END_NS,
    HourTraffic,
    OutputError,
    Written,
    generate,
    generate_hour,
    write_traffic,
)
from spanledger_ingest.traffic._incidents import Incident, PromptGrowth
from spanledger_ingest.traffic._ledger import VERSION, Ledger, Totals, truth
from spanledger_ingest.traffic._world import HOUR_NS, Tenant, World, build_world

__all__ = [
    "DEFAULT_END_NS",
    "HOUR_NS",
    "MODELS",
    "VERSION",
    "HourTraffic",
    "Incident",
    "Ledger",
    "Model",
    "OutputError",
    "PromptGrowth",
    "Tenant",
    "Totals",
    "Usage",
    "World",
    "Written",
    "build_world",
    "generate",
    "generate_hour",
    "truth",
    "write_traffic",
]
