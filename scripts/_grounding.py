"""Learning groundedness from judged answers; shared by the training script and the benchmark."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scripts._labelled import Example
from scripts._perturbed import perturbed

from spanledger_analytics.evaluation import Passage
from spanledger_analytics.scorers._linear import Array, Linear, fit
from spanledger_analytics.scorers._text import sentences
from spanledger_analytics.scorers.groundedness._context import Contexts
from spanledger_analytics.scorers.groundedness._features import POOLED_FEATURES, Weights, measure, pooled
from spanledger_analytics.scorers.groundedness._words import scaled, words

RIDGE: Final = 10.0
MADE_UP_SHARE: Final = 0.3
"""What the perturbed answers weigh together, beside 1 for all answers that people judged."""
SEED: Final = 7
_MIN_DOCUMENTS: Final = 2


@dataclass(frozen=True, slots=True)
class Idf:
    """How rare stems are among the sentences learned from."""

    table: Mapping[str, float]
    unseen: float

    def weights(self) -> Weights:
        """Return it as features use it."""
        return Weights(self.table, self.unseen)

    def as_json(self) -> dict[str, Any]:
        """Return it for JSON: stems of equal weight in one line."""
        groups: dict[str, list[str]] = defaultdict(list)
        for stem, idf in sorted(self.table.items()):
            groups[f"{idf:.1f}"].append(stem)
        return {
            "idf": {idf: " ".join(stems) for idf, stems in sorted(groups.items())},
            "unseen_idf": round(self.unseen, 3),
        }


def idf_of(examples: Iterable[Example]) -> Idf:
    """Count stems over the distinct sentences of contexts and questions."""
    texts = {text for example in examples for text in (example.context, example.question)}
    pieces = {piece.text for text in texts for piece in sentences(text)}
    counts = Counter(stem for piece in sorted(pieces) for stem in {w.stem for w in words(piece) if not w.number})
    table = {s: round(math.log((len(pieces) + 1) / (n + 1)), 1) for s, n in counts.items() if n >= _MIN_DOCUMENTS}
    return Idf(table, math.log(len(pieces) + 1) - 0.3)


def features_of(example: Example, weights: Weights, contexts: Contexts) -> tuple[float, ...] | None:
    """Return the features of an answer; ``None`` if it claims nothing."""
    context = contexts.of([Passage("1", example.context)])
    asked = frozenset(word.stem for word in scaled(list(words(example.question))))
    found = [measure(example.answer, piece, context, asked, weights) for piece in sentences(example.answer)]
    measured = [one for one in found if one is not None]
    return pooled(measured) if measured else None


@dataclass(frozen=True, slots=True)
class Table:
    """Features and labels of one set."""

    rows: Array
    good: Array


def table_of(examples: Sequence[Example], weights: Weights) -> Table:
    """Measure a set; answers that claim nothing are left out."""
    contexts = Contexts()
    found = [(features_of(example, weights, contexts), example.good) for example in examples]
    kept = [(row, good) for row, good in found if row is not None]
    return Table(np.array([row for row, _ in kept]), np.array([float(good) for _, good in kept]))


def made_up(sets: Mapping[str, Sequence[Example]]) -> list[Example]:
    """Return perturbed answers from the passages of the sets."""
    passages = sorted({example.context for examples in sets.values() for example in examples})
    return perturbed(passages, SEED)


def learn(tables: Sequence[Table], synthetic: Table, ridge: float = RIDGE, share: float = MADE_UP_SHARE) -> Linear:
    """Fit one model; each set weighs the same, and in each both labels do."""
    judged = sum(len(table.good) for table in tables)
    parts = [*((table, judged / len(tables)) for table in tables), (synthetic, judged * share)]
    rows = np.vstack([table.rows for table, _ in parts])
    good = np.concatenate([table.good for table, _ in parts])
    weights = np.concatenate([balanced(table.good) * total for table, total in parts])
    return fit(POOLED_FEATURES, rows, good, weights, ridge=ridge, rising=True)


def balanced(good: Array) -> Array:
    """Return weights that sum to one, half of it for either label."""
    weights: Array = np.where(good > 0, 0.5 / max(1.0, good.sum()), 0.5 / max(1.0, (1 - good).sum()))
    return weights


def logits(model: Linear, table: Table) -> Array:
    """Return the model's log-odds for each row."""
    found: Array = table.rows @ np.array(model.weights) + model.intercept
    return found
