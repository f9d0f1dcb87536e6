"""What is measured of an answer against its context; none of it grows with length."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from spanledger_analytics.scorers._text import Sentence
from spanledger_analytics.scorers.groundedness._context import Context, Supporter, grams_of
from spanledger_analytics.scorers.groundedness._words import NEGATION, Word, scaled, words

SENTENCE_FEATURES: Final = (
    "cover", "best1", "best2", "bigrams", "grams", "numbers", "names", "negation", "asked", "rarest",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """A sentence of the answer: how much it claims, what supports it, and what does not."""

    sentence: Sentence
    mass: float
    features: tuple[float, ...]
    best: Supporter | None
    missing: Sequence[Word]
    negation_differs: bool


class Weights:
    """How much a stem says: its inverse document frequency."""

    def __init__(self, table: Mapping[str, float], unseen: float) -> None:
        self._table = table
        self._unseen = unseen

    def of(self, word: Word) -> float:
        """Return the weight; numbers weigh like rare words."""
        return self._unseen * 0.8 if word.number else self._table.get(word.stem, self._unseen)


def measure(
    text: str, sentence: Sentence, context: Context, asked: frozenset[str], weights: Weights
) -> Measured | None:
    """Measure one sentence; ``None`` if it claims nothing."""
    said = scaled(list(words(text, sentence.start, sentence.end)))
    if not said:
        return None
    mass = [weights.of(word) for word in said]
    total = sum(mass)
    met = [_met(word, context) for word in said]
    support = [0.0 if stem is None else 1.0 if stem == word.stem else 0.7 for word, stem in zip(said, met, strict=True)]
    first, second, best = _best(met, mass, context)
    missing = [word for word, stem in zip(said, met, strict=True) if stem is None]
    negated = NEGATION.search(text, sentence.start, sentence.end) is not None
    differs = best is not None and first / total >= 0.4 and negated != best.negated
    grams = grams_of(sentence.text)
    unasked = sum(weights.of(word) for word in missing if word.stem not in asked)
    features = (
        sum(m * s for m, s in zip(mass, support, strict=True)) / total,
        first / total,
        second / total,
        _bigrams(said, context),
        len(grams & context.grams) / len(grams),
        _share(missing, said, number=True),
        _share([w for w in missing if w.stem not in asked], said, number=False),
        float(not differs),
        1 - unasked / total,
        1 - max((weights.of(word) for word in missing), default=0.0) / 8,
    )
    return Measured(sentence, total, features, best, missing, differs)


def _met(word: Word, context: Context) -> str | None:
    if word.number:
        return word.stem if word.stem in context.holders else None
    if word.name and word.stem in context.initials:
        return word.stem
    return context.alike(word.stem)


def _best(met: Sequence[str | None], mass: Sequence[float], context: Context) -> tuple[float, float, Supporter | None]:
    """Return the mass that the best sentence holds, that the best two hold together, and the best."""
    held = [context.holders.get(stem, ()) if stem else () for stem in met]
    sums: dict[int, float] = {}
    for places, weight in zip(held, mass, strict=True):
        for place in places:
            sums[place] = sums.get(place, 0.0) + weight
    if not sums:
        return 0.0, 0.0, None
    first = max(sums, key=lambda place: (sums[place], -len(context.sentences[place].stems), -place))
    rest: dict[int, float] = {}
    for places, weight in zip(held, mass, strict=True):
        if first not in places:
            for place in places:
                rest[place] = rest.get(place, 0.0) + weight
    return sums[first], sums[first] + max(rest.values(), default=0.0), context.sentences[first]


def _bigrams(said: Sequence[Word], context: Context) -> float:
    if len(said) == 1:
        return float(said[0].stem in context.holders)
    stems = [word.stem for word in said]
    return sum(pair in context.bigrams for pair in itertools.pairwise(stems)) / (len(stems) - 1)


def _share(missing: Sequence[Word], said: Sequence[Word], *, number: bool) -> float:
    """Return the share of the numbers, or of the names, that the context has."""
    asked = [word for word in said if (word.number if number else word.name)]
    wrong = [word for word in missing if (word.number if number else word.name)]
    return 1 - len(wrong) / len(asked) if asked else 1.0


def pooled(measured: Sequence[Measured]) -> tuple[float, ...]:
    """Return the mean of each feature, weighted by what sentences claim, and its worst."""
    total = sum(one.mass for one in measured)
    columns = list(zip(*(one.features for one in measured), strict=True))
    masses = [one.mass for one in measured]
    means = [sum(v * m for v, m in zip(column, masses, strict=True)) / total for column in columns]
    return (*means, *(min(column) for column in columns))


POOLED_FEATURES: Final = (*SENTENCE_FEATURES, *(f"worst_{name}" for name in SENTENCE_FEATURES))
