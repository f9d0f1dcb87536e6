"""Prometheus' text exposition format, version 0.0.4."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from spanledger_ingest.pipeline import Distribution

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric family: samples are labels and value."""

    name: str
    kind: Kind
    help: str
    samples: Sequence[tuple[Mapping[str, str], float]]
    suffixes: Sequence[str] = ()
    """What follows the name in each sample of a histogram."""

    @classmethod
    def single(cls, name: str, kind: Kind, help_: str, value: float) -> "Metric":
        """Return a family of one sample without labels."""
        return cls(name, kind, help_, [({}, value)])

    @classmethod
    def histogram(cls, name: str, help_: str, found: Distribution) -> "Metric":
        """Return the family of a distribution without labels."""
        bounds = [*(repr(bound) for bound in found.bounds), "+Inf"]
        buckets = [({"le": bound}, count) for bound, count in zip(bounds, found.cumulative, strict=True)]
        samples = [*buckets, ({}, found.sum), ({}, found.count)]
        return cls(name, "histogram", help_, samples, [*["_bucket"] * len(buckets), "_sum", "_count"])


def render(metrics: Iterable[Metric]) -> str:
    """Return the page that Prometheus scrapes."""
    return "".join(line + "\n" for metric in metrics for line in _lines(metric))


def _lines(metric: Metric) -> Iterable[str]:
    yield f"# HELP {metric.name} {_escape(metric.help)}"
    yield f"# TYPE {metric.name} {metric.kind}"
    suffixes = metric.suffixes or [""] * len(metric.samples)
    for (labels, value), suffix in zip(metric.samples, suffixes, strict=True):
        inside = ",".join(f'{name}="{_escape_label(text)}"' for name, text in labels.items())
        name = metric.name + suffix
        yield f"{name}{{{inside}}} {value}" if inside else f"{name} {value}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escape_label(text: str) -> str:
    return _escape(text).replace('"', '\\"')
