"""How well the recognisers find structured personal data: ``python -m benchmarks.pii DATA_DIR``.

``DATA_DIR/pii/synthetic.json`` is in the format of microsoft/presidio-research: texts with spans of entities. Precision
and recall by kind and over all structured kinds, by overlap; intervals by bootstrap over texts.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from spanledger._pii import find

KINDS: Final = {
    "CREDIT_CARD": "card",
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "phone",
    "IBAN_CODE": "iban",
    "US_SSN": "ssn",
    "IP_ADDRESS": "ip",
}
Counts = Mapping[str, tuple[int, int, int]]
"""Kind -> found, wrongly found, missed."""


def counts_of(row: Mapping[str, Any]) -> Counts:
    """Count one text."""
    wanted = [
        (KINDS[span["entity_type"]], span["start_position"], span["end_position"])
        for span in row["spans"]
        if span["entity_type"] in KINDS
    ]
    hits = [hit for hit in find(row["full_text"]) if hit.kind in KINDS.values()]
    met = [
        {n for n, hit in enumerate(hits) if hit.kind == kind and hit.start < end and start < hit.end}
        for kind, start, end in wanted
    ]
    right = set().union(*met)
    found = Counter(kind for (kind, _, _), used in zip(wanted, met, strict=True) if used)
    missed = Counter(kind for (kind, _, _), used in zip(wanted, met, strict=True) if not used)
    wrong = Counter(hit.kind for n, hit in enumerate(hits) if n not in right)
    return {kind: (found[kind], wrong[kind], missed[kind]) for kind in KINDS.values()}


def rates(found: int, wrong: int, missed: int) -> dict[str, float | int | None]:
    """Return precision and recall."""
    return {
        "n": found + missed,
        "precision": round(found / (found + wrong), 4) if found + wrong else None,
        "recall": round(found / (found + missed), 4) if found + missed else None,
    }


def interval(per_text: Sequence[Counts]) -> dict[str, list[float]]:
    """Return 95 % intervals of precision and recall over all kinds."""
    table = np.array([[sum(one[kind][n] for kind in one) for n in range(3)] for one in per_text])
    rng = np.random.default_rng(7)
    draws = [table[rng.integers(0, len(table), len(table))].sum(axis=0) for _ in range(1000)]
    both = {"precision": [f / (f + w) for f, w, _ in draws], "recall": [f / (f + m) for f, _, m in draws]}
    return {name: [round(float(edge), 4) for edge in np.quantile(of, [0.025, 0.975])] for name, of in both.items()}


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    file = parser.parse_args().data / "pii" / "synthetic.json"
    if not file.is_file():
        raise SystemExit(f"{file} is not there: this benchmark needs data in the format of presidio-research")
    texts = json.loads(file.read_text(encoding="utf-8"))
    began = time.process_time()
    per_text = [counts_of(row) for row in texts]
    seconds = time.process_time() - began
    totals = {kind: [sum(one[kind][n] for one in per_text) for n in range(3)] for kind in KINDS.values()}
    sums = [sum(total[n] for total in totals.values()) for n in range(3)]
    shown = {kind: rates(*total) for kind, total in totals.items()}
    whole: dict[str, Any] = rates(*sums)
    print(json.dumps({**shown, "structured": whole | {"interval": interval(per_text)}}, indent=2))
    print(f"{len(texts)} texts, {1000 * seconds / len(texts):.3f} ms CPU a text")


if __name__ == "__main__":
    main()
