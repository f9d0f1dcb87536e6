"""Learning to tell attacks from requests; shared by the training script and the benchmark."""

import random
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from scripts._attacks import attacks, hidden_in, honest
from scripts._labelled import groundedness_sets, prompts_of, texts_of

from spanledger_analytics.scorers._linear import Array
from spanledger_analytics.scorers.injection._model import Model
from spanledger_analytics.scorers.injection._ngrams import BUCKETS, buckets, tokens

SEED: Final = 7
RIDGE: Final = 2e-5
FOLDS: Final = 5
_ROUNDS: Final = 250
_MADE_UP: Final = 1_200
_DOCUMENTS: Final = 500
_JOINED: Final = 300


@dataclass(frozen=True, slots=True)
class Text:
    """A text, whether it is an attack, the family it is counted under, and how much it counts in training."""

    text: str
    attack: bool
    family: str
    weight: float = 1.0


def judged_texts(data: Path) -> list[Text]:
    """Return what others labelled."""
    found = [Text(text, attack=True, family="in_the_wild") for text in texts_of(data, "jailbreaks.json")]
    found += [Text(text, attack=False, family="wildguard") for text in texts_of(data, "benign.json")]
    for row in prompts_of(data, "injecguard_valid.json"):
        family = str(row["source"]).lower()
        family = "notinject" if family.startswith("notinject") else family
        found.append(Text(str(row["prompt"]), attack=row["label"] == 1, family=family))
    return found


def made_up_texts(data: Path, benign: Sequence[str]) -> list[Text]:
    """Return attacks and honest requests made from parts, honest documents, and attacks hidden in these."""
    rng = random.Random(SEED)  # noqa: S311 - no secret
    sets = groundedness_sets(data)
    documents = sorted({example.context for examples in sets.values() for example in examples})
    said = sorted({example.question for examples in sets.values() for example in examples})
    documents, said = rng.sample(documents, min(_DOCUMENTS, len(documents))), rng.sample(said, min(300, len(said)))
    made = attacks(_MADE_UP, SEED)
    found = [Text(text, attack=True, family=f"made_{family}", weight=0.5) for family, text in made]
    found += [
        Text(hidden_in(text, documents, rng) if documents else text, attack=True, family="made_hidden", weight=0.3)
        for _, text in made[::4]
    ]
    found += [Text(text, attack=False, family="made_honest", weight=0.5) for text in honest(_MADE_UP, SEED)]
    found += [Text(text, attack=False, family="document", weight=0.5) for text in (*documents, *said)]
    joined = [" ".join(rng.sample(benign, rng.randint(2, 15))) for _ in range(_JOINED if len(benign) > 15 else 0)]
    return [*found, *(Text(text, attack=False, family="joined", weight=0.5) for text in joined)]


@dataclass(frozen=True, slots=True)
class Sparse:
    """Rows of filled buckets, each of length one."""

    rows: "np.ndarray[Any, np.dtype[np.int64]]"
    columns: "np.ndarray[Any, np.dtype[np.int64]]"
    values: Array
    count: int

    def forward(self, weights: Array) -> Array:
        """Return the weighted sum of each row."""
        return np.bincount(self.rows, self.values * weights[self.columns], self.count).astype(np.float64)

    def backward(self, errors: Array) -> Array:
        """Return the gradient of each weight."""
        return np.bincount(self.columns, self.values * errors[self.rows], BUCKETS).astype(np.float64)


def sparse(filled: Sequence[set[int]]) -> Sparse:
    """Return the rows as arrays."""
    sizes = np.array([max(1, len(one)) for one in filled])
    rows = np.repeat(np.arange(len(filled)), [len(one) for one in filled])
    columns = np.array([bucket for one in filled for bucket in sorted(one)], dtype=np.int64)
    return Sparse(rows, columns, 1 / np.sqrt(sizes[rows]), len(filled))


def filled_by(texts: Sequence[Text]) -> list[set[int]]:
    """Return the buckets of each text."""
    return [buckets(tokens(one.text)) for one in texts]


def learn(filled: Sequence[set[int]], texts: Sequence[Text]) -> tuple[Array, float]:
    """Fit a ridge logistic regression; both labels weigh the same. The same texts give the same weights."""
    data = sparse(filled)
    target = np.array([float(one.attack) for one in texts])
    weight = np.array([one.weight for one in texts])
    weight = np.where(target > 0, 0.5 / weight[target > 0].sum(), 0.5 / weight[target == 0].sum()) * weight
    return _descended(
        data,
        target,
        weight,
    )


def _descended(data: Sparse, target: Array, weight: Array) -> tuple[Array, float]:
    w = ahead = np.zeros(BUCKETS)
    b = b_ahead = 0.0
    pace, steepest = 1.0, 0.5
    for _ in range(_ROUNDS):
        error = weight * (1 / (1 + np.exp(-np.clip(data.forward(ahead) + b_ahead, -35, 35))) - target)
        after = ahead - (data.backward(error) + RIDGE * ahead) / steepest
        b_after = b_ahead - float(error.sum()) / steepest
        faster = (1 + (1 + 4 * pace * pace) ** 0.5) / 2
        push = (pace - 1) / faster
        ahead, b_ahead = after + push * (after - w), b_after + push * (b_after - b)
        w, b, pace = after, b_after, faster
    return w, b


def as_json(weights: Array, intercept: float) -> dict[str, Any]:
    """Return the model for JSON: one byte a weight."""
    scale = float(np.abs(weights).max()) / 127
    packed = np.rint(weights / scale).astype(np.int8).tobytes()
    return {"scale": round(scale, 8), "intercept": round(intercept, 6), "weights": b64encode(packed).decode()}


def held_out(texts: Sequence[Text], data: Path) -> Array:
    """Return the log-odds of each text by a model that saw neither it nor a fifth of the others."""
    fold = np.random.default_rng(SEED).integers(0, FOLDS, len(texts))
    filled = filled_by(texts)
    found = np.zeros(len(texts))
    for held in range(FOLDS):
        seen = [n for n in range(len(texts)) if fold[n] != held]
        model = trained([texts[n] for n in seen], [filled[n] for n in seen], data)
        for n in np.flatnonzero(fold == held).tolist():
            found[n] = model.reading(texts[n].text).logit
    return found


def trained(texts: Sequence[Text], filled: Sequence[set[int]], data: Path) -> Model:
    """Return the model of these texts and of what is made up beside them, as it would be read from its file."""
    made = made_up_texts(data, [one.text for one in texts if not one.attack])
    weights, intercept = learn([*filled, *filled_by(made)], [*texts, *made])
    return Model.from_json(as_json(weights, intercept) | {"warn_from": 0.0, "fail_from": 0.0})
