"""Write the model of prompt injection: ``python scripts/train_injection.py DATA_DIR``.

``DATA_DIR/injection`` holds ``jailbreaks.json``, ``benign.json`` (lists of texts) and ``injecguard_valid.json``
(objects with ``prompt``, ``label``, ``source``); contexts and questions of ``DATA_DIR/groundedness`` serve as honest
documents. Equal files give an equal model, byte by byte. Hashed weights are all that is written.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from scripts._injection import as_json, filled_by, held_out, judged_texts, learn, made_up_texts
from scripts._labelled import digest

from spanledger_analytics.scorers._linear import Array

TARGET: Final = Path(__file__).parent.parent / "analytics/spanledger_analytics/scorers/injection/model.json"
FILES: Final = ("benign.json", "injecguard_valid.json", "jailbreaks.json")
WARN_RATE: Final = 0.01
"""Share of honest requests, held out, that may be called doubtful."""
MARGIN: Final = 0.5
"""How much clearer (log-odds) than every one of them an attack has to be: one that fails alerts people."""


def limit(honest: Array, rate: float) -> float:
    """Return the log-odds that only this share of honest requests exceeds."""
    return float(np.quantile(honest, 1 - rate, method="higher"))


def model_of(data: Path) -> dict[str, Any]:
    """Return all that is shipped."""
    texts = judged_texts(data)
    honest = held_out(texts, data)[[not one.attack for one in texts]]
    made = made_up_texts(data, [one.text for one in texts if not one.attack])
    weights, intercept = learn(filled_by([*texts, *made]), [*texts, *made])
    return {
        "scorer": "prompt_injection_risk",
        "fail_from": round(float(honest.max()) + MARGIN, 4),
        "warn_from": round(limit(honest, WARN_RATE), 4),
        "trained_on": {"attacks": sum(one.attack for one in texts), "honest": len(honest), "made_up": len(made)},
        "sha256": digest([data / "injection" / name for name in FILES]),
        **as_json(weights, intercept),
    }


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=TARGET)
    arguments = parser.parse_args()
    absent = [name for name in FILES if not (arguments.data / "injection" / name).is_file()]
    if absent:
        raise SystemExit(f"{arguments.data}/injection needs {', '.join(absent)}")
    text = json.dumps(model_of(arguments.data), indent=1) + "\n"
    arguments.out.write_text(text, encoding="utf-8")
    print(f"{arguments.out}: {len(text.encode()) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
