"""RAGTruth, if its official files are there: our figures by task, beside the published ones.

``DATA_DIR/ragtruth/response.jsonl``: ``id``, ``source_id``, ``split`` (train or test), ``response``, ``labels`` (a
list of objects with ``start`` and ``end``; empty where the answer is right). ``source_info.jsonl`` beside it:
``source_id``, ``task_type`` (QA, Data2txt or Summary) and ``source_info``: a text, or an object; of QA with
``question`` and ``passages``.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from benchmarks._statistics import auroc, best_threshold, f1, interval
from scripts._labelled import Example

from spanledger_analytics.scorers import Groundedness

TASKS: Final = ("QA", "Data2txt", "Summary")
PUBLISHED: Final[Mapping[str, tuple[float, float, float, float]]] = {
    "prompt GPT-3.5-turbo": (30.8, 77.4, 37.1, 52.9),
    "prompt GPT-4-turbo": (45.6, 78.3, 47.6, 63.4),
    "SelfCheckGPT (3.5)": (43.7, 74.8, 40.1, 58.8),
    "ChainPoll (3.5)": (40.5, 49.6, 46.9, 46.7),
    "RAGAS faithfulness": (35.7, 61.9, 40.8, 52.0),
    "TruLens groundedness": (36.6, 79.0, 44.5, 60.4),
    "Luna (DeBERTa)": (51.3, 75.9, 52.5, 65.4),
    "finetuned Llama-2-13B": (68.2, 88.1, 59.1, 78.7),
    "LettuceDetect base": (65.5, 87.9, 50.5, 76.1),
    "LettuceDetect large": (70.2, 88.5, 59.7, 79.2),
    "RAG-HAT (Llama-3-8B)": (74.8, 91.6, 67.6, 83.9),
}
"""F1 in percent on the test split: QA, data to text, summary, overall (LettuceDetect, repository at 102f7f2)."""


@dataclass(frozen=True, slots=True)
class Row:
    """An answer of RAGTruth."""

    task: str
    split: str
    example: Example


def read(folder: Path) -> list[Row] | None:
    """Return the answers; ``None`` if the files are not there."""
    responses, sources = folder / "response.jsonl", folder / "source_info.jsonl"
    if not responses.is_file() or not sources.is_file():
        return None
    known = {str(source["source_id"]): source for source in _lines(sources)}
    return [_row(response, known[str(response["source_id"])]) for response in _lines(responses)]


def _lines(file: Path) -> Iterator[Mapping[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines if line.strip())


def _row(response: Mapping[str, Any], source: Mapping[str, Any]) -> Row:
    info = source["source_info"]
    question = str(info.get("question", "")) if isinstance(info, dict) else ""
    given = info.get("passages", info) if isinstance(info, dict) else info
    marked = tuple((int(label["start"]), int(label["end"])) for label in response["labels"])
    example = Example(as_text(given), question, response["response"], good=not marked, unsupported=marked)
    return Row(source["task_type"], response["split"], example)


def as_text(value: Any) -> str:
    """Return structured data as lines of ``name value``."""
    if isinstance(value, dict):
        return "\n".join(f"{name} {as_text(one)}" for name, one in value.items())
    if isinstance(value, list):
        return "\n".join(map(as_text, value))
    return "" if value is None else str(value)


def measured(data: Path) -> dict[str, Any]:
    """Return our figures by task and overall beside the published ones."""
    rows = read(data / "ragtruth")
    if rows is None:
        return {"skipped": f"{data}/ragtruth has no response.jsonl and source_info.jsonl"}
    scorer = Groundedness()
    judged = [(row, scorer.score(row.example.evidence())[0].value) for row in rows]
    scored = [(row, 1 - value) for row, value in judged if value is not None]
    ours = {task: _task([pair for pair in scored if pair[0].task == task]) for task in TASKS} | {
        "overall": _task(scored)
    }
    unscored = {task: sum(value is None and row.task == task for row, value in judged) for task in TASKS}
    published = {name: dict(zip((*TASKS, "overall"), figures, strict=True)) for name, figures in PUBLISHED.items()}
    return {"ours": ours | {"overall": _task(scored)}, "not_evaluable": unscored, "published_f1": published}


def _task(scored: list[tuple[Row, float]]) -> dict[str, Any]:
    train, tested = ([pair for pair in scored if pair[0].split == split] for split in ("train", "test"))
    if not tested:
        return {"n": 0}
    risk = np.array([value for _, value in tested])
    bad = np.array([float(not row.example.good) for row, _ in tested])
    lengths = np.array([float(len(row.example.answer.split())) for row, _ in tested])
    threshold = 0.5
    if train:
        labels = np.array([float(not row.example.good) for row, _ in train])
        threshold = best_threshold(np.array([value for _, value in train]), labels)
    return {
        "n": len(tested),
        "base_rate": float(bad.mean()),
        "auroc": auroc(risk, bad),
        "interval": interval(risk, bad, auroc, [row.example.context for row, _ in tested]),
        "f1": 100 * f1(risk >= threshold, bad),
        "always_flag_f1": 100 * f1(np.ones(len(bad), bool), bad),
        "length_only_auroc": auroc(lengths, bad),
        "threshold": threshold,
        "threshold_from": "train split" if train else "none: the middle",
    }
