"""The shipped model: a byte for each bucket, as JSON."""

import hashlib
import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import chain
from math import inf, log, sqrt
from typing import Any, Final, NamedTuple

from spanledger_analytics.scorers._attack_patterns import Attack, attacks, combined
from spanledger_analytics.scorers.injection._ngrams import STEP, WINDOW, Token, of_tokens, tokens

SEMANTIC_VERSION: Final = "1.1.0"
"""Rises with the code; the digest of the parameters stands behind it."""
MAX_CHARS: Final = 20_000
_FILE: Final = "model.json"
_WINDOW_ALONE: Final = 2.0
"""A part of a long text has to be this much clearer (log-odds) than the whole: there are many parts."""
_PATTERNS: Final = 0.3
_EMPTY: Final = -10.0


class Reading(NamedTuple):
    """What the model makes of a text: log-odds, the place that speaks loudest, the known wordings in it."""

    logit: float
    start: int
    end: int
    attacks: Sequence[Attack]


@dataclass(frozen=True, slots=True)
class Model:
    """What was learned."""

    weights: Sequence[float]
    intercept: float
    warn_from: float
    fail_from: float

    def reading(self, text: str) -> Reading:
        """Read a text as a whole and in parts."""
        found = tokens(text[:MAX_CHARS])
        known = list(attacks(text[:MAX_CHARS]))
        patterns = min(0.999, max(0.001, combined(known)))
        logit, part = self._loudest(found)
        start, end = (part[0].start, part[-1].end) if part else (0, len(text))
        return Reading(logit + _PATTERNS * log(patterns / (1 - patterns)), start, end, known)

    def _loudest(self, found: Sequence[Token]) -> tuple[float, Sequence[Token]]:
        filled = list(of_tokens(found))
        logit, loudest, best = self._logit(filled), found, -inf
        for start in range(0, len(filled) - STEP, STEP) if len(filled) > WINDOW else ():
            alone = self._logit(filled[start : start + WINDOW])
            if alone > best:
                best, loudest = alone, found[start : start + WINDOW]
        return max(logit, best - _WINDOW_ALONE), loudest

    def _logit(self, filled: Sequence[tuple[int, ...]]) -> float:
        distinct = set(chain.from_iterable(filled))
        if not distinct:
            return _EMPTY
        return sum(map(self.weights.__getitem__, distinct)) / sqrt(len(distinct)) + self.intercept

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Model":
        """Read what the training script wrote."""
        scale = float(found["scale"])
        packed = memoryview(b64decode(found["weights"])).cast("b")
        limits = float(found["warn_from"]), float(found["fail_from"])
        return cls(tuple(scale * weight for weight in packed), float(found["intercept"]), *limits)


@lru_cache(maxsize=1)
def shipped() -> tuple[Model, str]:
    """Return the model that comes with this package, and its version."""
    text = (files(__package__) / _FILE).read_text(encoding="utf-8")
    return Model.from_json(json.loads(text)), f"{SEMANTIC_VERSION}+{hashlib.sha256(text.encode()).hexdigest()[:8]}"
