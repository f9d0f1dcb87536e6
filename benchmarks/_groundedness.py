"""Groundedness on sets that people labelled: each by a model that was made without it."""

import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from benchmarks._statistics import Array, auroc, expected_calibration_error, f1, interval
from scripts._grounding import (
    MADE_UP_SHARE,
    RIDGE,
    Table,
    balanced,
    features_of,
    idf_of,
    learn,
    logits,
    made_up,
    table_of,
)
from scripts._labelled import Example, groundedness_sets

from spanledger_analytics.evaluation import Evidence, Message, Passage
from spanledger_analytics.quality import Labelled, calibrate
from spanledger_analytics.scorers import Groundedness
from spanledger_analytics.scorers._linear import Linear, fit
from spanledger_analytics.scorers._text import sentences
from spanledger_analytics.scorers.groundedness._context import Contexts
from spanledger_analytics.scorers.groundedness._features import POOLED_FEATURES, Weights

_SEEDS: Final = 10
_LABELS: Final = 100
_WORDS: Final = (61, 244, 672)
_ROUNDS: Final = 40
Sets = Mapping[str, Sequence[Example]]


def measured(data: Path) -> dict[str, Any]:
    """Return the figures of every set, and of what is not about a set."""
    sets = groundedness_sets(data)
    if len(sets) < 2:
        return {"skipped": f"{data}/groundedness needs two labelled sets or more"}
    figures = {name: _left_out(name, sets) for name in sets}
    macro = {key: float(np.mean([one[key] for one in figures.values()])) for key in ("auroc", "length_drop")}
    return {"sets": figures, "macro": macro, "sentence_top1": _top1(sets), "ms_cpu": _speed()}


def _left_out(name: str, sets: Sets) -> dict[str, Any]:
    others = {other: examples for other, examples in sets.items() if other != name}
    weights = idf_of(example for examples in others.values() for example in examples).weights()
    tables = [table_of(examples, weights) for examples in others.values()]
    synthetic = table_of(made_up(others), weights)
    contexts = Contexts()
    tested = [one for one in sets[name] if features_of(one, weights, contexts) is not None]
    table = table_of(tested, weights)
    risk, bad = -logits(learn(tables, synthetic), table), 1 - table.good
    lengths = np.array([float(len(one.answer.split())) for one in tested])
    reached = auroc(risk, bad)
    with_length = _with_length(others, tables, (made_up(others), synthetic), (tested, table), weights)
    flagged = risk > 0
    return {
        "n": len(tested),
        "base_rate": float(bad.mean()),
        "auroc": reached,
        "interval": interval(risk, bad, auroc, [one.context for one in tested]),
        "f1": f1(flagged, bad),
        "always_flag_f1": f1(np.ones(len(bad), bool), bad),
        "length_only_auroc": auroc(lengths, bad),
        "length_drop": auroc(with_length, bad) - reached,
        "ece_uncalibrated": expected_calibration_error(_sigmoid(risk), bad),
        "ece_after_100_labels": _calibrated(risk, bad),
    }


def _sigmoid(z: Array) -> Array:
    found: Array = 1 / (1 + np.exp(-np.clip(z, -35, 35)))
    return found


def _calibrated(risk: Array, bad: Array) -> float:
    """Return the calibration error on the rest after Platt on 100 labels, the mean of ten draws."""
    values = _sigmoid(risk)
    errors = []
    for seed in range(_SEEDS):
        order = np.random.default_rng(seed).permutation(len(bad))
        taken, rest = order[:_LABELS], order[_LABELS:]
        found = calibrate([Labelled(float(values[n]), bool(bad[n])) for n in taken])
        known = values if found is None else np.array([found.confidence(float(value), {}) for value in values])
        errors.append(expected_calibration_error(known[rest], bad[rest]))
    return float(np.mean(errors))


def _with_length(
    others: Sets,
    tables: Sequence[Table],
    synthetic: tuple[Sequence[Example], Table],
    tested: tuple[Sequence[Example], Table],
    weights: Weights,
) -> Array:
    """Return the risk by a model that also knows lengths, in either direction."""
    contexts = Contexts()
    known = [[e for e in examples if features_of(e, weights, contexts) is not None] for examples in others.values()]
    made = [e for e in synthetic[0] if features_of(e, weights, contexts) is not None]
    longer = [_lengthened(e, t) for e, t in zip([*known, made], [*tables, synthetic[1]], strict=True)]
    judged = sum(len(table.good) for table in tables)
    shares = [*([judged / len(tables)] * len(tables)), judged * MADE_UP_SHARE]
    rows = np.vstack([table.rows for table in longer])
    good = np.concatenate([table.good for table in longer])
    total = np.concatenate([balanced(table.good) * share for table, share in zip(longer, shares, strict=True)])
    names = (*POOLED_FEATURES, *(f"length_{n}" for n in range(rows.shape[1] - len(POOLED_FEATURES))))
    model: Linear = fit(names, rows, good, total, ridge=RIDGE, rising=True)
    return -logits(model, _lengthened(*tested))


def _lengthened(examples: Sequence[Example], table: Table) -> Table:
    answer = np.log1p([float(len(one.answer.split())) for one in examples])
    given = np.log1p([float(len(one.context.split())) for one in examples])
    pieces = np.log1p([float(len(list(sentences(one.answer)))) for one in examples])
    lengths = np.stack([answer, pieces, answer - given], axis=1)
    return Table(np.hstack([table.rows, lengths, -lengths]), table.good)


def _top1(sets: Sets) -> dict[str, Any]:
    """Return how often the first sentence shown is the one that was made wrong, in made-up answers of several."""
    scorer = Groundedness()
    hits, chance = [], []
    for example in made_up(sets):
        pieces = list(sentences(example.answer))
        marked = [n for n, s in enumerate(pieces) if any(s.start < e and b < s.end for b, e in example.unsupported)]
        if not marked or len(marked) == len(pieces):
            continue
        (verdict,) = scorer.score(example.evidence())
        first = next(iter(verdict.explanation.offences), None)
        hits.append(float(first is not None and any(pieces[n].start <= first.start < pieces[n].end for n in marked)))
        chance.append(len(marked) / len(pieces))
    return {"n": len(hits), "hit": float(np.mean(hits)), "by_chance": float(np.mean(chance)), "on": "made-up answers"}


def _speed() -> dict[str, dict[str, float]]:
    """Return milliseconds of CPU an answer of 80 words, with the context new and known."""
    found: dict[str, dict[str, float]] = {}
    for size in _WORDS:
        evidences = [_random_evidence(size, seed) for seed in range(_ROUNDS)]
        scorer = Groundedness()
        scorer.score(_random_evidence(size, _ROUNDS))
        times = []
        for _ in range(2):
            began = time.process_time()
            for evidence in evidences:
                scorer.score(evidence)
            times.append(1000 * (time.process_time() - began) / _ROUNDS)
        found[f"{size} words"] = {"new": times[0], "known": times[1]}
    return found


def _random_evidence(size: int, seed: int) -> Evidence:
    rng = random.Random(seed)  # noqa: S311 - no secret
    vocabulary = ["".join(rng.choices("abcdefghijklmnoprstuvw", k=rng.randint(2, 9))) for _ in range(400)]
    drawn = [rng.choices(vocabulary, k=count) for count in (20, 80, size)]
    texts = [" ".join(f"{w}." if n % 14 == 13 else w for n, w in enumerate(words)).capitalize() for words in drawn]
    return Evidence(messages=[Message("user", texts[0])], output=texts[1], context=[Passage("1", texts[2])])
