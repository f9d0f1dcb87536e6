"""The shipped model: an idf table and a handful of weights, as JSON."""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from spanledger_analytics.scorers._linear import Linear
from spanledger_analytics.scorers.groundedness._features import Weights

_FILE: Final = "model.json"
SEMANTIC_VERSION: Final = "1.0.0"
"""Rises with the code; the digest of the parameters stands behind it."""


@dataclass(frozen=True, slots=True)
class Model:
    """What was learned."""

    linear: Linear
    weights: Weights
    pass_from: float
    fail_below: float
    version: str


def load(text: str) -> Model:
    """Read a model."""
    found: dict[str, Any] = json.loads(text)
    table: dict[str, float] = {stem: float(idf) for idf, stems in found["idf"].items() for stem in stems.split()}
    return Model(
        linear=Linear.from_json(found["linear"]),
        weights=Weights(table, float(found["unseen_idf"])),
        pass_from=float(found["pass_from"]),
        fail_below=float(found["fail_below"]),
        version=f"{SEMANTIC_VERSION}+{hashlib.sha256(text.encode()).hexdigest()[:8]}",
    )


@lru_cache(maxsize=1)
def shipped() -> Model:
    """Return the model that comes with this package."""
    return load((files(__package__) / _FILE).read_text(encoding="utf-8"))
