"""Degeneration: the answer goes round in circles."""

import zlib
from collections import Counter
from typing import Final

from spanledger_analytics import evaluation
from spanledger_analytics.evaluation import Evidence, Extract
from spanledger_analytics.scorers._base import Judgement, SingleScorer
from spanledger_analytics.scorers._text import MAX_CHARS, unfit, words

_MIN_WORDS: Final = 12
_GRAM: Final = 4
_WARN, _FAIL = 0.2, 0.3
_LEAST_RATIO: Final = 0.12
_MIN_CHARS: Final = 400
"""Below it text compresses badly whatever it says."""


class Repetition(SingleScorer):
    """``degeneration_risk``: the share of the answer's four-word runs that it has said before, or how well it packs."""

    name = "degeneration_risk"
    version = "1.0.0"

    def judge(self, evidence: Evidence) -> Judgement | str:
        """See :class:`SingleScorer`."""
        reason = unfit(evidence)
        if reason is not None:
            return reason
        text = (evidence.output or "")[:MAX_CHARS]
        said = words(text)
        ratio = _ratio(text)
        if len(said) < _MIN_WORDS and ratio is None:
            return evaluation.TOO_SHORT
        share = _repeated(said)
        value = max(share, 0.0 if ratio is None or ratio >= _LEAST_RATIO else 1.0 - ratio)
        features = {"repeated_runs": round(share, 4), "compressed_to": ratio}
        if value >= _FAIL:
            offence = Extract(start=0, end=len(text), reason="the same words again and again")
            return Judgement(value, "fail", "the answer repeats itself over and over", [offence], dict(features))
        if value >= _WARN:
            return Judgement(value, "warn", "the answer repeats itself", features=dict(features))
        return Judgement(value, "pass", "the answer does not repeat itself", features=dict(features))


def _repeated(said: list[str]) -> float:
    grams = Counter(zip(*(said[at:] for at in range(_GRAM)), strict=False))
    total = sum(grams.values())
    return sum(count - 1 for count in grams.values()) / total if total else 0.0


def _ratio(text: str) -> float | None:
    if len(text) < _MIN_CHARS:
        return None
    data = text.encode("utf-8", "replace")
    return round(len(zlib.compress(data, 6)) / len(data), 4)
