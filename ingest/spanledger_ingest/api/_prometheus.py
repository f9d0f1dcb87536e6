"""Prometheus' text exposition format, version 0.0.4."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric family: samples are labels and value."""

    name: str
    kind: Kind
    help: str
    samples: Sequence[tuple[Mapping[str, str], float]]

    @classmethod
    def single(cls, name: str, kind: Kind, help_: str, value: float) -> "Metric":
        """Return a family of one sample without labels."""
        return cls(name, kind, help_, [({}, value)])


def render(metrics: Iterable[Metric]) -> str:
    """Return the page that Prometheus scrapes."""
    return "".join(line + "\n" for metric in metrics for line in _lines(metric))


def _lines(metric: Metric) -> Iterable[str]:
    yield f"# HELP {metric.name} {_escape(metric.help)}"
    yield f"# TYPE {metric.name} {metric.kind}"
    for labels, value in metric.samples:
        inside = ",".join(f'{name}="{_escape_label(text)}"' for name, text in labels.items())
        yield f"{metric.name}{{{inside}}} {value}" if inside else f"{metric.name} {value}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escape_label(text: str) -> str:
    return _escape(text).replace('"', '\\"')
