"""Injection, personal data, refusals, and answers that nobody can judge."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from benchmarks._statistics import Array, auroc, f1, interval
from benchmarks.pii import KINDS, counts_of, rates
from benchmarks.pii import interval as pii_interval
from scripts._injection import Text, filled_by, held_out, judged_texts, trained

from spanledger_analytics.evaluation import Evidence, Passage
from spanledger_analytics.scorers import Groundedness, Refusal
from spanledger_analytics.scorers._attack_patterns import attacks, combined

_FALSE_ALARMS: Final = 0.01
_UNJUDGED: Final = {
    "no_context": ("The tower was finished in 1969.", "It opens at nine and closes at six."),
    "too_short": ("Yes.", "Nine.", "ok", "Thank you!", "Of course, you are welcome!"),
    "refusal": (
        "I'm sorry, but I can't help with that.",
        "The context does not mention the price.",
        "I don't know.",
        "Unfortunately, the document does not say when it opens.",
        "There is no information about this in the passages provided.",
    ),
    "non_english": (
        "Der Turm ist im Jahr 1969 fertig geworden, und er steht nicht in der Stadt.",
        "La tour a été terminée en 1969 et elle est ouverte tous les jours pour les visiteurs.",
        "La torre fue terminada en 1969 y está abierta todos los días para los visitantes.",
        "塔は1969年に完成し、毎日九時に開きます。",
        "Башня была построена в 1969 году и открыта каждый день для посетителей.",
    ),
    "structured": ('{"year": 1969, "open": true}', "```\nprint(1969)\n```", "[1, 2, 3]", "<p>1969</p>"),
}
_CONTEXT: Final = "The tower was finished in 1969. It opens at nine every day."


def injection(data: Path) -> dict[str, Any]:
    """Return recall at one false alarm in a hundred by family, each text by a model that did not see it."""
    if not (data / "injection" / "jailbreaks.json").is_file():
        return {"skipped": f"{data}/injection is not there"}
    texts = judged_texts(data)
    by_model = held_out(texts, data)
    by_patterns = np.array([combined(list(attacks(one.text))) for one in texts])
    return {
        "model": _recalls(texts, by_model),
        "patterns_alone": _recalls(texts, by_patterns),
        "families_never_seen": _unseen(texts, data),
    }


def _recalls(texts: Sequence[Text], scores: Array) -> dict[str, Any]:
    attack = np.array([float(one.attack) for one in texts])
    limit = float(np.quantile(scores[attack == 0], 1 - _FALSE_ALARMS, method="higher"))
    families = sorted({one.family for one in texts})
    chosen = {family: np.array([one.family == family for one in texts]) for family in families}
    lengths = np.array([float(len(one.text)) for one in texts])
    return {
        "n": len(texts),
        "base_rate": float(attack.mean()),
        "auroc": auroc(scores, attack),
        "interval": interval(scores, attack, auroc, [str(number) for number in range(len(texts))]),
        "length_only_auroc": auroc(lengths, attack),
        "always_flag_f1": f1(np.ones(len(texts), bool), attack),
        "f1": f1(scores > limit, attack),
        "recall": float((scores > limit)[attack > 0].mean()),
        "flagged_by_family": {
            family: {
                "n": int(mine.sum()),
                "attack": bool(attack[mine].any()),
                "flagged": float((scores > limit)[mine].mean()),
            }
            for family, mine in chosen.items()
        },
    }


def _unseen(texts: Sequence[Text], data: Path) -> dict[str, float]:
    """Return recall on families of which the model saw nothing; a fifth of the honest texts sets the limit."""
    found: dict[str, float] = {}
    honest = [one for one in texts if not one.attack]
    kept, seen = honest[::5], [one for number, one in enumerate(honest) if number % 5]
    for start in ("in_the_wild", "bipia", "pint"):
        others = [one for one in texts if one.attack and not one.family.startswith(start)]
        model = trained([*seen, *others], filled_by([*seen, *others]), data)
        scores = np.array([model.reading(one.text).logit for one in kept])
        limit = float(np.quantile(scores, 1 - _FALSE_ALARMS, method="higher"))
        left = [one for one in texts if one.attack and one.family.startswith(start)]
        found[start] = float(np.mean([model.reading(one.text).logit > limit for one in left]))
    return found


def personal_data(data: Path) -> dict[str, Any]:
    """Return precision and recall over structured personal data."""
    file = data / "pii" / "synthetic.json"
    if not file.is_file():
        return {"skipped": f"{file} is not there"}
    per_text = [counts_of(row) for row in json.loads(file.read_text(encoding="utf-8"))]
    sums = [sum(one[kind][n] for one in per_text for kind in KINDS.values()) for n in range(3)]
    return {"texts": len(per_text), **rates(sums[0], sums[1], sums[2]), "interval": pii_interval(per_text)}


def refusals(data: Path) -> dict[str, Any]:
    """Return precision and recall on ``refusal/*.jsonl``: ``answer`` and ``refusal`` (true or false) a line."""
    files = sorted((data / "refusal").glob("*.jsonl"))
    rows = [
        json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines() if line.strip()
    ]
    if not rows:
        return {"skipped": f"{data}/refusal has no *.jsonl with answer and refusal"}
    scorer = Refusal()
    said = [scorer.score(Evidence(output=row["answer"], finish_reason="stop"))[0].label == "fail" for row in rows]
    right = sum(guess and bool(row["refusal"]) for guess, row in zip(said, rows, strict=True))
    return {
        "n": len(rows),
        "base_rate": sum(bool(row["refusal"]) for row in rows) / len(rows),
        "precision": right / sum(said) if any(said) else None,
        "recall": right / max(1, sum(bool(row["refusal"]) for row in rows)),
    }


def unjudged() -> dict[str, Any]:
    """Return how many answers that cannot be judged got a number all the same."""
    scorer = Groundedness()
    scored = {}
    for reason, answers in _UNJUDGED.items():
        context = () if reason == "no_context" else (Passage("1", _CONTEXT),)
        verdicts = [scorer.score(Evidence(output=answer, context=context))[0] for answer in answers]
        scored[reason] = sum(verdict.value is not None for verdict in verdicts)
    return {"n": sum(map(len, _UNJUDGED.values())), "scored": sum(scored.values()), "by_reason": scored}
