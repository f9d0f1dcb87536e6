"""What the detector finds in generated worlds, what it costs in false alarms, and what simpler ones find.

    python -m benchmarks.anomaly                               # seasonal, six worlds of four weeks
    python -m benchmarks.anomaly --mode wild --load FILE       # with request rates of real clients
    python -m benchmarks.anomaly --incidents none --seeds 1-50 # quiet worlds: false groups per organisation-week
    python -m benchmarks.anomaly --speed                       # points per second, a tick of 10,000 series

An incident counts as found if a finding of severity warning or higher has time and calls in common with it; every
other such finding is a false group. Baselines look at the same numbers in bins of ten minutes, at thresholds at which
the same world without incidents has one false group a week.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from benchmarks._anomaly_baselines import BASELINES, groups, series_of, threshold_for
from benchmarks._anomaly_speed import speed
from benchmarks._anomaly_truth import Judge, Report, Truth, make_world, planned

from spanledger_analytics.detect import MINUTE_NS, Anomaly, Grouping, LedgerDetector, Options, State, Window


@dataclass(slots=True)
class Tally:
    """What one detector did in all worlds."""

    truths: list[Truth] = field(default_factory=list)
    false: list[Report] = field(default_factory=list)
    weeks: float = 0.0
    seconds: float = 0.0
    points: float = 0.0

    def add(self, judge: Judge, weeks: float) -> None:
        """Count a world."""
        self.truths += judge.truths
        self.false += judge.false
        self.weeks += weeks


def main() -> None:
    """Run and print the tables."""
    options = _options()
    if options.speed:
        print(json.dumps(speed(), indent=2))
        return
    tallies: dict[str, Tally] = {"spanledger": Tally()}
    for seed in options.seeds:
        world, cells = make_world(seed, options, options.mode, options.incidents)
        end = int(cells.minute[-1]) + 1
        began = time.process_time()
        detector = LedgerDetector(Options(false_alarms_per_week=options.knob, planned=planned(world)))
        state, found = detector.run(Window(cells, end), State())
        tally = tallies["spanledger"]
        tally.seconds += time.process_time() - began
        tally.points += len(Grouping(state.leaves).series) * (end - int(cells.minute[0]))
        judge = Judge(world, cells)
        judge.judge([_report(one) for one in found if one.severity != "info"])
        tally.add(judge, options.days / 7)
        if options.baselines:
            _add_baselines(tallies, seed, options, (world, cells))
        print(
            f"seed {seed}: {sum(bool(t.reports) for t in judge.truths)}/{len(judge.truths)}, false {len(judge.false)}",
            flush=True,
        )
        _show(options, judge)
    for name, one in tallies.items():
        print("\n".join(_table(name, one)))


def _show(options: argparse.Namespace, judge: Judge) -> None:
    if options.verbose:
        for truth in judge.truths:
            if not truth.reports:
                print("  missed", truth.incident.id, truth.incident.scope.as_json())
        for report in judge.false:
            print("  false", report)


def _report(one: Anomaly) -> Report:
    ended = None if one.ended_ns is None else one.ended_ns // MINUTE_NS
    causes = [where for where, _ in one.causes]
    return Report(one.started_ns // MINUTE_NS, one.detected_ns // MINUTE_NS, ended, one.dimensions, causes, one.ties)


def _add_baselines(tallies: dict[str, Tally], seed: int, options: argparse.Namespace, made: tuple[Any, Any]) -> None:
    world, cells = made
    grouping, first, values = series_of(cells)
    quiet = series_of(make_world(seed, options, options.mode, "none")[1])
    for name, method in BASELINES.items():
        tally = tallies.setdefault(name, Tally())
        threshold = threshold_for(quiet[0], quiet[1], method(quiet[2]), options.days / 7)
        began = time.process_time()
        scores = method(values)
        tally.seconds += time.process_time() - began
        tally.points += values.shape[1] * values.shape[2]
        judge = Judge(world, cells)
        judge.judge(groups(grouping, first, scores, threshold))
        tally.add(judge, options.days / 7)


def _table(name: str, one: Tally) -> Iterator[str]:
    found = [truth for truth in one.truths if truth.reports]
    precision = len(found) / max(len(found) + len(one.false), 1)
    recall = len(found) / max(len(one.truths), 1)
    low, high = _interval(len(one.false))
    yield f"\n{name}: {one.weeks:.0f} organisation-weeks"
    yield (
        f"  recall {recall:.3f}  precision {precision:.3f}  F1 {_f1(precision, recall):.3f}  false groups a week "
        f"{len(one.false) / one.weeks:.2f} (95 %: {low / one.weeks:.2f}..{high / one.weeks:.2f})"
    )
    if found:
        named, among = (sum(getattr(t, what) for t in found) / len(found) for what in ("is_named", "is_among"))
        rate = one.points / max(one.seconds, 1e-9)
        yield f"  cause top-1 {named:.2f}, top-3 {among:.2f}; {rate:,.0f} series-points/s"
        yield "  kind             small  medium large  recall F1    median minutes  top-1"
    for kind in sorted({truth.incident.kind for truth in one.truths}):
        yield _row(kind, [truth for truth in one.truths if truth.incident.kind == kind], len(one.false) / 9)


def _row(kind: str, truths: Sequence[Truth], false: float) -> str:
    found = [truth for truth in truths if truth.reports]
    cells = []
    for magnitude in ("small", "medium", "large"):
        of = [truth for truth in truths if truth.incident.magnitude == magnitude]
        cells.append(f"{sum(bool(truth.reports) for truth in of)}/{len(of)}")
    recall = len(found) / len(truths)
    score = _f1(len(found) / max(len(found) + false, 1e-9), recall)
    delays = [truth.reports[0].detected - truth.onset for truth in found]
    middle = f"{np.median(delays):.0f}" if delays else "-"
    named = f"{sum(t.is_named for t in found) / len(found):.2f}" if found else "-"
    sizes = "".join(f"{cell:<7}" for cell in cells)
    return f"  {kind:<16} {sizes}{recall:<7.2f}{score:<6.2f}{middle:<16}{named}"


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / max(precision + recall, 1e-9)


def _interval(count: int) -> tuple[float, float]:
    """Return an exact-enough 95 % interval of a Poisson count (Wilson and Hilferty)."""

    def bound(number: float, z: float) -> float:
        return float(number * (1 - 1 / (9 * number) + z / (3 * number**0.5)) ** 3) if number else 0.0

    return bound(count, -1.96), bound(count + 1, 1.96)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=_seeds, default="41-46", help="such as 41-46 or 1,5,9")
    parser.add_argument("--mode", choices=("seasonal", "wild"), default="seasonal")
    parser.add_argument("--incidents", choices=("full", "none"), default="full")
    parser.add_argument("--days", type=int, default=28)
    parser.add_argument("--tenants", type=int, default=20)
    parser.add_argument("--calls", type=int, default=50_000, help="a day")
    parser.add_argument("--load", default="", help="request rates of real clients, for --mode wild")
    parser.add_argument("--knob", type=float, default=1.0, help="false alarms a week that are accepted")
    parser.add_argument("--baselines", action="store_true", help="run the simpler detectors, too")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--verbose", action="store_true", help="name what was missed, and what is false")
    return parser.parse_args()


def _seeds(text: str) -> list[int]:
    parts = [part.split("-") for part in text.split(",")]
    return list(chain.from_iterable(range(int(part[0]), int(part[-1]) + 1) for part in parts))


if __name__ == "__main__":
    main()
