"""What is measured of each series, and the test that fits what the number is.

Every metric compares a numerator with what the leaves themselves would give at their own slow means (which takes the
mix out): ``X`` against ``E``, with ``V`` its sampling variance and ``N`` calls. What varies between minutes beyond that
is the learned ``tau2``, a variance of the logarithm.

* counts and shares: the root of the deviance of counts whose rate itself varies (which is exact where few are
  expected), over the dispersion ``V/E``; variances are learned from differences of square roots;
* means of logarithms: a normal mean of known variance;
* unit price: cost against the cost that learned token prices predict, which has hardly any sampling noise.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from spanledger_analytics.detect._cells import LOG_UNIT, USER_BUCKETS, Reals

Kind = Literal["count", "share", "mean", "price"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric and what must be true of a change before it can matter."""

    name: str
    kind: Kind
    top: str
    """The measure above the line."""
    below: str
    """The measure below it."""
    squares: str = ""
    directions: tuple[int, ...] = (1, -1)
    least_up: float
    """Smallest factor of a rise that is looked at."""
    least_down: float = 0.0
    """Largest factor of a fall that is looked at."""
    tau2: float
    """Variance of the logarithm between minutes before anything was learned."""
    half_life: float = 120.0
    """Hours in which old calls lose half of their weight."""
    windows: tuple[int, ...] = (1, 3, 12, 60, 240)
    """Minutes over which it is tested."""
    drift: bool = False
    """Whether half a day is looked at, too."""
    hours: int = 24
    """How old a leaf must be before it can change."""
    levels: tuple[str, ...] = ()
    """The levels at which it is tested; none is all."""


METRICS: Final = (
    Metric(
        name="requests",
        kind="count",
        top="calls",
        below="calls",
        directions=(-1,),
        least_up=2.0,
        least_down=0.1,
        tau2=0.25,
    ),
    Metric(name="error_rate", kind="share", top="errors", below="calls", directions=(1,), least_up=1.5, tau2=0.05),
    Metric(name="retry_rate", kind="share", top="retries", below="calls", directions=(1,), least_up=1.5, tau2=0.05),
    Metric(name="length_rate", kind="share", top="length", below="answers", directions=(1,), least_up=1.5, tau2=0.05),
    Metric(name="filter_rate", kind="share", top="filtered", below="answers", directions=(1,), least_up=2.0, tau2=0.05),
    Metric(
        name="cache_rate",
        kind="share",
        top="cache_hits",
        below="answers",
        directions=(-1,),
        least_up=9.0,
        least_down=0.7,
        tau2=0.01,
        drift=True,
    ),
    *(
        Metric(
            name=f"{what}_tokens",
            kind="mean",
            top=f"log_{what}",
            below="answers",
            squares=f"log_{what}_2",
            least_up=1.15,
            least_down=0.8,
            tau2=0.005,
            drift=True,
            hours=96,
        )
        for what in ("input", "output")
    ),
    Metric(
        name="latency",
        kind="mean",
        top="log_time",
        below="timed",
        squares="log_time_2",
        directions=(1,),
        least_up=1.12,
        tau2=0.002,
        drift=True,
    ),
    Metric(
        name="first_token",
        kind="mean",
        top="log_first",
        below="first_tokens",
        squares="log_first_2",
        directions=(1,),
        least_up=1.15,
        tau2=0.002,
        drift=True,
    ),
    Metric(name="unit_price", kind="price", top="cost", below="priced", least_up=1.12, least_down=0.88, tau2=0.0004),
    *(
        Metric(
            name=name,
            kind="share",
            top=name,
            below="calls",
            directions=(1,),
            least_up=1.5,
            tau2=0.05,
            windows=(12, 60),
            levels=("tenant", "tenant_use_case"),
        )
        for name in USER_BUCKETS
    ),
)
NUMBER: Final = {metric.name: place for place, metric in enumerate(METRICS)}

LEAST_CALLS: Final = 20
LEAST_EXPECTED: Final = 12


def quantum(metric: Metric) -> float:
    """Return the step to which expectations are rounded, a power of two, so that their sums are exact."""
    return 1.0 if metric.kind == "price" else 2.0**-10


def rounded(values: Reals, step: float) -> Reals:
    """Round to multiples of a step."""
    return np.rint(values / step) * step


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Of one metric: arrays of one shape, series first.

    ``v`` of a price is, where causes are compared, the sum of the calls' logarithms of cost over expected cost, each as
    its leaf has it on average.
    """

    x: Reals
    e: Reals
    v: Reals
    n: Reals

    def log_effect(self, metric: Metric) -> Reals:
        """Return the logarithm of the factor by which the metric differs from what is expected."""
        if metric.kind == "mean":
            return np.asarray((self.x - self.e) / np.maximum(self.n, 1.0) / LOG_UNIT)
        half = 0.0 if metric.kind == "price" else 0.5
        return np.asarray(np.log(np.maximum(self.x, 0) + half + 1e-9) - np.log(np.maximum(self.e, 0) + half + 1e-9))

    def deviation(self, metric: Metric) -> tuple[Reals, Reals, Reals]:
        """Return the deviation, its sampling variance, and what a unit of ``tau2`` adds to that."""
        one = np.ones_like(self.x)
        if metric.kind == "mean":
            calls = np.maximum(self.n, 1.0)
            return (self.x - self.e) / calls / LOG_UNIT, self.v / calls**2 / LOG_UNIT**2, one
        if metric.kind == "price":
            return self.log_effect(metric), 0.02 / np.maximum(self.n, 1.0), one
        expected = np.maximum(self.e, 0.0)
        root = 2 * (np.sqrt(self.x + 0.375) - np.sqrt(expected + 0.375))
        return root, np.maximum(self.v, 0.05 * expected + 0.05) / np.maximum(expected, 0.05), expected

    def z(self, metric: Metric, tau2: Reals) -> Reals:
        """Return the deviation in standard deviations."""
        if metric.kind == "count":
            return _gamma_poisson(self.x, self.e, tau2)
        if metric.kind == "share":
            spread = np.sqrt(np.maximum(self.v, 0.05 * self.e + 0.05) / np.maximum(self.e, 0.05))
            return np.asarray(_gamma_poisson(self.x, self.e, tau2) / np.maximum(spread, 0.3))
        deviation, variance, weight = self.deviation(metric)
        return np.asarray(deviation / np.sqrt(variance + tau2 * weight))

    def gain(self, metric: Metric) -> Reals:
        """Return by how much the log likelihood rises if all calls of the series changed by one common factor."""
        if metric.kind == "mean":
            deviation, variance, _ = self.deviation(metric)
            return np.asarray(deviation**2 / np.maximum(variance, 1e-12) / 2)
        if metric.kind == "price":
            return np.asarray(self.v**2 / np.maximum(self.n, 1.0) / 0.04)
        e = np.maximum(self.e, 1e-9)
        own = np.where(self.x > 0, self.x * np.log(np.maximum(self.x, 1e-9) / e), 0.0)
        return np.asarray((own - (self.x - e)) / np.maximum(self.v / e, 0.05))

    def admitted(self, metric: Metric) -> NDArray[np.bool_]:
        """Tell which have enough calls to be judged by themselves."""
        if metric.kind == "count":
            return np.asarray(self.e >= LEAST_EXPECTED)
        return np.asarray(self.n >= LEAST_CALLS)


def _gamma_poisson(x: Reals, e: Reals, tau2: Reals) -> Reals:
    """Return the signed root of the deviance of counts whose rate itself varies: how unlikely is it to see none."""
    shape = 1 / np.maximum(tau2, 1e-6)
    e = np.maximum(e, 1e-9)
    own = np.where(x > 0, x * np.log(np.maximum(x, 1e-9) / e), 0.0)
    deviance = 2 * (own - (x + shape) * np.log((x + shape) / (e + shape)))
    return np.asarray(np.sign(x - e) * np.sqrt(np.maximum(deviance, 0.0)))
