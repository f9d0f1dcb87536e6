"""Back-test of the forecast of spending, on public series and on generated traffic.

    python -m benchmarks.forecast [DATA_DIR] [--seeds 1-5]

DATA_DIR has nab/ (github.com/numenta/NAB) and servegen_clients.npz (rates of github.com/alibaba/ServeGen); without
one of them the rest is measured. Every series is cut into periods; at 25, 50 and 75 % of each the forecast sees what
came before and nothing else. Errors are relative to what the period came to. One forecaster for a group, periods in
order of time, so intervals learn from all series of the group that are further back.
"""

import argparse
import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow.compute as pc

from spanledger_analytics.forecast import SpendForecaster
from spanledger_ingest.traffic import build_world, calls

HOUR = 3600 * 10**9
DAY = 24 * HOUR
History: TypeAlias = list[tuple[int, int]]
"""Hours and what was spent in them."""


class Period(NamedTuple):
    """A stretch of time."""

    start_ns: int
    end_ns: int


class Result(NamedTuple):
    """One forecast beside what came, and beside the linear pace."""

    share: float
    error: float
    linear: float
    held: bool


def main() -> None:
    """Print a row for each group and moment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--seeds", default="1-5")
    options = parser.parse_args()
    first, _, last = options.seeds.partition("-")
    print(f"{'series':<34}{'elapsed':>8}{'n':>6}{'median':>9}{'p90':>9}{'linear':>9}{'p90':>9}{'covered':>9}")
    for name, group, days in groups(options.data, range(int(first), int(last or first) + 1)):
        show(name, list(back_test(group, days)))


def groups(data: Path | None, seeds: Iterable[int]) -> Iterator[tuple[str, Sequence[History], int]]:
    """Yield names, series and the length of a period in days."""
    if data is not None and (data / "nab" / "data").is_dir():
        folder = data / "nab" / "data"
        taxi = folder / "realKnownCause" / "nyc_taxi.csv"
        if taxi.is_file():
            yield "NYC taxi, 28 days", [from_csv(taxi)], 28
        yield "Twitter volume, 14 days", [from_csv(path) for path in sorted((folder / "realTweets").glob("*.csv"))], 14
        yield "Twitter volume, 7 days", [from_csv(path) for path in sorted((folder / "realTweets").glob("*.csv"))], 7
    if data is not None and (data / "servegen_clients.npz").is_file():
        yield "LLM clients (ServeGen), 7 days", from_servegen(data / "servegen_clients.npz"), 7
    for mode in ("seasonal", "wild"):
        made = [series for seed in seeds for series in generated(seed, mode)]
        yield f"generated, {mode}, 28 days", made, 28


def from_csv(path: Path) -> History:
    """Return a NAB series by the hour."""
    sums: dict[int, float] = {}
    with path.open() as lines:
        for row in csv.DictReader(lines):
            moment = int(datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC).timestamp()) * 10**9
            sums[moment // HOUR * HOUR] = sums.get(moment // HOUR * HOUR, 0.0) + float(row["value"])
    return [(hour, int(value * 1000)) for hour, value in sorted(sums.items()) if value > 0]


def from_servegen(path: Path) -> list[History]:
    """Return the cost of the 60 clients that spent most: 3 and 15 USD for a million tokens in and out."""
    with np.load(path) as found:
        rate, tokens = found["rate"].astype(float), np.nan_to_num(found["tok"].astype(float))
    each = np.repeat(3 * tokens[:, 0] + 15 * tokens[:, 1], 36, axis=1)[:, : rate.shape[1]]
    cost = np.nan_to_num(rate * each * 600).reshape(len(rate), -1, 6).sum(axis=2)
    top = np.argsort(cost.sum(axis=1))[::-1][:60]
    return [[(hour * HOUR, int(nano)) for hour, nano in enumerate(cost[one]) if nano >= 1] for one in top]


def generated(seed: int, mode: str) -> list[History]:
    """Return the tenants of a world over 98 days."""
    world = build_world(seed, days=98, tenants=12, calls_per_day=1500, mode=mode, incidents="none")  # type: ignore[arg-type]
    table = calls(world, columns=["start_ns", "tenant_id", "cost_usd"])
    hours = pc.divide(table["start_ns"], HOUR).to_numpy()
    costs = np.array([0 if cost is None else int(cost * 10**9) for cost in table["cost_usd"].to_pylist()])
    names = np.array(table["tenant_id"].to_pylist())
    series = []
    for name in np.unique(names):
        mine = names == name
        places, inverse = np.unique(hours[mine], return_inverse=True)
        sums = np.bincount(inverse, costs[mine])
        series.append([(int(hour) * HOUR, int(nano)) for hour, nano in zip(places, sums, strict=True) if nano])
    return series


def back_test(series: Sequence[History], days: int) -> Iterator[Result]:
    """Forecast every whole period of every series three times."""
    forecaster = SpendForecaster()
    starts = {(history[0][0] // DAY + 1) * DAY for history in series}
    ends = max(history[-1][0] for history in series)
    for start in range(min(starts), ends - days * DAY + HOUR + 1, days * DAY):
        for share in (0.25, 0.5, 0.75):
            for history in series:
                if history[0][0] <= start:
                    yield from _one(forecaster, history, Period(start, start + days * DAY), share)


def _one(forecaster: SpendForecaster, history: History, period: Period, share: float) -> Iterator[Result]:
    now = int(period.start_ns + share * (period.end_ns - period.start_ns))
    known = [(hour, nano) for hour, nano in history if hour < now // HOUR * HOUR]
    came = sum(nano for hour, nano in history if period.start_ns <= hour < period.end_ns)
    spent = sum(nano for hour, nano in known if hour >= period.start_ns)
    forecast = forecaster(known, period, now // HOUR * HOUR)
    if forecast is not None and came > 0:
        held = forecast.low <= came <= forecast.high
        yield Result(share, abs(forecast.total / came - 1), abs(spent / share / came - 1), held)


def show(name: str, results: list[Result]) -> None:
    """Print three rows."""
    for share in (0.25, 0.5, 0.75):
        mine = [result for result in results if result.share == share]
        if mine:
            errors, linear = ([getattr(one, what) for one in mine] for what in ("error", "linear"))
            values = (np.median(errors), np.quantile(errors, 0.9), np.median(linear), np.quantile(linear, 0.9))
            row = "".join(f"{value:>9.1%}" for value in values)
            print(f"{name:<34}{share:>8.0%}{len(mine):>6}{row}{np.mean([one.held for one in mine]):>9.2f}", flush=True)


if __name__ == "__main__":
    main()
