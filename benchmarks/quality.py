"""How good the quality scores are: ``python -m benchmarks.quality DATA_DIR``. Prints JSON, then a table.

Each set of groundedness is judged by a model that was made without it; each attack by one that did not see it. What is
not in ``DATA_DIR`` is skipped, and the output says so. ``--only groundedness`` (or injection, pii, refusal, unjudged,
ragtruth) measures a part; injection takes minutes, because several models are made.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks import _groundedness, _ragtruth, _safety
from benchmarks._statistics import rounded

PARTS: Final[Mapping[str, Callable[[Path], dict[str, Any]]]] = {
    "groundedness": _groundedness.measured,
    "injection": _safety.injection,
    "pii": _safety.personal_data,
    "refusal": _safety.refusals,
    "unjudged": lambda _: _safety.unjudged(),
    "ragtruth": _ragtruth.measured,
}
_COLUMNS: Final = (
    "n", "base_rate", "auroc", "interval", "f1", "always_flag_f1", "length_only_auroc", "length_drop",
    "ece_uncalibrated", "ece_after_100_labels",
)  # fmt: skip


def table(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the table."""
    sets = found.get("groundedness", {}).get("sets", {})
    if sets:
        yield from _lines("set", _COLUMNS, sets)
    families = found.get("injection", {}).get("model", {}).get("flagged_by_family", {})
    if families:
        yield from _lines("family", ("n", "attack", "flagged"), families)
    ours = found.get("ragtruth", {}).get("ours", {})
    if ours:
        yield from _lines("RAGTruth", _COLUMNS[:7], ours)
        yield from _lines("published F1", (*_ragtruth.TASKS, "overall"), found["ragtruth"]["published_f1"])
    yield from (f"{name}: {part['skipped']}" for name, part in found.items() if "skipped" in part)


def _lines(title: str, columns: tuple[str, ...], rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield " | ".join([f"{title:30}", *columns])
    for name, row in rows.items():
        yield " | ".join([f"{name:30}", *(str(row.get(column, "")) for column in columns)])
    yield ""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", choices=PARTS, action="append")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        raise SystemExit(f"{arguments.data} is not there: this needs the public data sets, see docs/quality.md")
    chosen = arguments.only or list(PARTS)
    found = {name: rounded(PARTS[name](arguments.data)) for name in chosen}
    print(json.dumps(found, indent=2))
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
