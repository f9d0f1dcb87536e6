"""Write the model of groundedness: ``python scripts/train_groundedness.py DATA_DIR``.

``DATA_DIR/groundedness`` holds the dev sets of BEGIN (``begin_dev_{wow,cmu,tc}.tsv``) and Q2 (``q2.csv``). Equal files
give an equal model, byte by byte. Coefficients and an idf table are all that is written: no row of the data.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from scripts._grounding import Idf, balanced, idf_of, learn, logits, made_up, table_of
from scripts._labelled import BEGIN, Q2, Example, digest, groundedness_sets

from spanledger_analytics.scorers._linear import Array, Linear, fit

TARGET: Final = Path(__file__).parent.parent / "analytics/spanledger_analytics/scorers/groundedness/model.json"
SURE: Final = 0.85
"""How often ``fail`` and ``pass`` are to be right where half of the answers are good, on sets that were held out."""
Sets = dict[str, list[Example]]


def held_out(sets: Sets) -> dict[str, tuple[Array, Array]]:
    """Return for each set the log-odds of a model that never saw it, and the labels."""
    found: dict[str, tuple[Array, Array]] = {}
    for name, tested in sets.items():
        others = {other: examples for other, examples in sets.items() if other != name}
        weights = idf_of(example for examples in others.values() for example in examples).weights()
        tables = [table_of(examples, weights) for examples in others.values()]
        table = table_of(tested, weights)
        found[name] = (logits(learn(tables, table_of(made_up(others), weights)), table), table.good)
    return found


def settled(model: Linear, found: dict[str, tuple[Array, Array]]) -> tuple[Linear, dict[str, float]]:
    """Bend the log-odds to what held-out sets show, and choose the thresholds there."""
    z = np.concatenate([logit for logit, _ in found.values()])
    good = np.concatenate([labels for _, labels in found.values()])
    weights = np.concatenate([balanced(labels) for _, labels in found.values()])
    platt = fit(("logit",), z[:, None], good, weights * len(z), ridge=1e-3, rising=True)
    (slope,) = platt.weights
    bent = Linear(model.names, tuple(slope * w for w in model.weights), slope * model.intercept + platt.intercept)
    values = 1 / (1 + np.exp(-(slope * z + platt.intercept)))
    return bent, _thresholds(values, good, weights)


def _thresholds(values: Array, good: Array, weights: Array) -> dict[str, float]:
    steps = np.arange(0.05, 0.96, 0.01)
    passing = [s for s in steps if _right(values >= s, good, weights) >= SURE]
    failing = [s for s in steps if _right(values < s, 1 - good, weights) >= SURE]
    low, high = max(failing, default=0.05), min(passing, default=0.95)
    return {"fail_below": round(min(low, high), 2), "pass_from": round(max(low, high), 2)}


def _right(chosen: "np.ndarray[Any, np.dtype[np.bool_]]", wanted: Array, weights: Array) -> float:
    total = float(weights[chosen].sum())
    return float((weights * wanted)[chosen].sum()) / total if total else 0.0


def model_of(sets: Sets, data: Path) -> dict[str, Any]:
    """Return all that is shipped."""
    idf: Idf = idf_of(example for examples in sets.values() for example in examples)
    weights = idf.weights()
    synthetic = made_up(sets)
    model = learn([table_of(examples, weights) for examples in sets.values()], table_of(synthetic, weights))
    linear, thresholds = settled(model, held_out(sets))
    files = [data / "groundedness" / name for name in (*BEGIN.values(), Q2)]
    trained_on = {name: len(examples) for name, examples in sets.items()} | {"made_up": len(synthetic)}
    return {
        "scorer": "groundedness",
        "linear": linear.as_json(),
        **thresholds,
        "trained_on": trained_on,
        "sha256": digest(files),
        **idf.as_json(),
    }


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=TARGET)
    arguments = parser.parse_args()
    sets = groundedness_sets(arguments.data)
    if len(sets) < len(BEGIN) + 1:
        raise SystemExit(f"{arguments.data}/groundedness needs {', '.join([*BEGIN.values(), Q2])}")
    text = json.dumps(model_of(sets, arguments.data), indent=1, ensure_ascii=False) + "\n"
    arguments.out.write_text(text, encoding="utf-8")
    print(f"{arguments.out}: {len(text.encode()) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
