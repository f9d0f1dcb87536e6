"""The Numenta Anomaly Benchmark, with our own scorer.

    python -m benchmarks.nab PATH      # the folder that has data/ and labels/

One setting for all files; each detector at its best common threshold, as NAB scores them. The scorer is checked on a
detector that says nothing (0) and on a perfect one (100) in every run.
"""

import sys
import time
from pathlib import Path

import numpy as np
from benchmarks._nab_detectors import DETECTORS, once
from benchmarks._nab_score import Reals, Series, read, scores


def main() -> None:
    """Print a row for each detector."""
    folder = Path(sys.argv[1]) if len(sys.argv) == 2 else None
    if folder is None or not (folder / "labels" / "combined_windows.json").is_file():
        print("no NAB data: name the folder that has data/ and labels/ (github.com/numenta/NAB)")
        return
    series = read(folder)
    rows, windows = (sum(len(part) for part in parts) for parts in (_values(series), [one.windows for one in series]))
    print(f"{len(series)} files, {rows:,} rows, {windows} windows")
    _check(series)
    print(f"{'detector':<26}{'standard':>10}{'low FP':>10}{'low FN':>10}{'rows/s':>12}")
    for name, detector in DETECTORS.items():
        began = time.process_time()
        found = [once(detector(one)) for one in series]
        rate = rows / (time.process_time() - began)
        print(
            f"{name:<26}" + "".join(f"{value:>10.1f}" for value in scores(series, found).values()) + f"{rate:>12,.0f}"
        )


def _values(series: list[Series]) -> list[Reals]:
    return [one.values for one in series]


def _check(series: list[Series]) -> None:
    nothing = [np.zeros(len(one.values)) for one in series]
    perfect = [np.zeros(len(one.values)) for one in series]
    for one, scored in zip(series, perfect, strict=True):
        for first, _ in one.windows:
            scored[max(first, one.probation)] = 1.0
    ends = scores(series, nothing)["standard"], scores(series, perfect)["standard"]
    assert ends[0] == 0 and ends[1] > 99, ends  # noqa: PT018 - both ends of the scale


if __name__ == "__main__":
    main()
