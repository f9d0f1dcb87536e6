"""Scoring a file of questions and answers: one JSON object a line in, one a line out, without a service.

The format is part of the public surface; docs/quality.md describes it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from spanledger_analytics.evaluation import Evidence, Message, Passage, Verdict
from spanledger_analytics.ports import Scorer
from spanledger_ingest.errors import IngestError

_MAX_LINE: Final = 16 * 1024 * 1024
Row = Mapping[str, Any]


class DatasetError(IngestError):
    """A line of the file that cannot be meant."""


@dataclass(slots=True)
class Summary:
    """What a file's verdicts under one name come to."""

    answers: int = 0
    evaluable: int = 0
    failing: int = 0
    total: float = 0.0
    reasons: dict[str, int] = field(default_factory=dict)

    def add(self, verdict: Verdict) -> None:
        """Count a verdict."""
        self.answers += 1
        if verdict.value is None:
            reason = verdict.explanation.reason
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
            return
        self.evaluable += 1
        self.failing += verdict.label == "fail"
        self.total += verdict.value

    @property
    def mean(self) -> float | None:
        """The mean value of what could be judged."""
        return self.total / self.evaluable if self.evaluable else None

    def as_json(self) -> dict[str, Any]:
        """Return it for JSON."""
        mean = None if self.mean is None else round(self.mean, 6)
        return {
            "answers": self.answers,
            "evaluable": self.evaluable,
            "failing": self.failing,
            "mean": mean,
            "not_evaluable": self.reasons,
        }


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the objects of a JSONL file.

    Raises:
        DatasetError: the file cannot be read, or a line is no object of the format; the message names the line.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _row(f"{path}:{number}", line)
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error


def _row(where: str, line: bytes) -> Row:
    if len(line) > _MAX_LINE:
        raise DatasetError(f"{where}: a line has at most {_MAX_LINE // 2**20} MiB")
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{where}: no JSON: write one object a line") from error
    if not isinstance(row, dict):
        raise DatasetError(f"{where}: a line is an object with id, context, question and answer")
    _check(where, row)
    return row


def _check(where: str, row: Row) -> None:
    for name in ("question", "answer", "system", "finish_reason", "model", "tenant"):
        if not isinstance(row.get(name), str | None):
            raise DatasetError(f"{where}: {name} is text or left out")
    if not isinstance(row.get("context"), str | list | None):
        raise DatasetError(f"{where}: context is a text or a list of texts")


def evidence_of(row: Row) -> Evidence:
    """Return what a line says of one answer. A member that is left out, or null, was not captured."""
    schema = row.get("schema") or _schema_of(row.get("response_format"))
    messages = [Message(str(m.get("role", "user")), str(m.get("content", ""))) for m in _objects(row.get("messages"))]
    if row.get("question") is not None:
        messages.append(Message("user", row["question"]))
    return Evidence(
        span_id=str(row.get("id", "")),
        tenant_id=row.get("tenant") or "",
        model=row.get("model"),
        use_case=row.get("use_case"),
        prompt_name=row.get("prompt_name"),
        prompt_version=row.get("prompt_version"),
        finish_reason=row.get("finish_reason"),
        system=row.get("system"),
        messages=messages,
        output=row.get("answer"),
        context=tuple(_passages(row.get("context"))),
        wants_json=schema is not None or row.get("response_format") is not None,
        schema=schema if isinstance(schema, dict) else None,
    )


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    yield from (item for item in value or () if isinstance(item, dict))


def _passages(context: Any) -> Iterator[Passage]:
    items = [context] if isinstance(context, str) else context or []
    for number, item in enumerate(items, 1):
        if isinstance(item, dict):
            yield Passage(str(item.get("id", number)), str(item.get("text", "")))
        elif item:
            yield Passage(str(number), str(item))


def _schema_of(response_format: Any) -> Any:
    if not isinstance(response_format, dict):
        return None
    wrapped = response_format.get("json_schema")
    return wrapped.get("schema", wrapped) if isinstance(wrapped, dict) else response_format.get("schema")


def score_rows(
    rows: Iterable[Row], scorers: Sequence[Scorer], summaries: dict[str, Summary]
) -> Iterator[dict[str, Any]]:
    """Yield for each line its id, its label if it has one, and its scores by name; ``summaries`` are filled."""
    for row in rows:
        evidence = evidence_of(row)
        verdicts = [verdict for scorer in scorers for verdict in scorer.score(evidence)]
        for verdict in verdicts:
            summaries.setdefault(verdict.name, Summary()).add(verdict)
        kept = {name: row[name] for name in ("id", "label") if name in row}
        yield kept | {"scores": {verdict.name: _shown(verdict, evidence) for verdict in verdicts}}


def _shown(verdict: Verdict, evidence: Evidence) -> dict[str, Any]:
    # The file is its reader's own: explanations quote it.
    return {name: value for name, value in verdict.as_json(evidence).items() if name != "name"}


def unmet(summaries: Mapping[str, Summary], least: Mapping[str, float]) -> Iterator[str]:
    """Yield what is under what was demanded, in words.

    Demanded is the mean; of a ``_risk``, one minus the mean, so that more is better for every name.
    """
    for name, wanted in least.items():
        mean = summaries[name].mean if name in summaries else None
        if mean is None:
            yield f"{name}: nothing could be judged, {wanted:g} is demanded"
            continue
        reached = 1 - mean if name.endswith("_risk") else mean
        if reached < wanted:
            yield f"{name}: {'1 - mean' if name.endswith('_risk') else 'mean'} is {reached:.4f}, under {wanted:g}"
