import json
import math
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(name="ragtruth")
def _ragtruth(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    from benchmarks import _ragtruth

    return _ragtruth


@pytest.fixture(name="statistics")
def _statistics(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    from benchmarks import _statistics

    return _statistics


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_ragtruth_is_skipped_with_a_reason_where_it_is_not(ragtruth: ModuleType, tmp_path: Path) -> None:
    assert "response.jsonl" in ragtruth.measured(tmp_path)["skipped"]


def test_ragtruth_in_its_official_format(ragtruth: ModuleType, tmp_path: Path) -> None:
    passage = "The tower was finished in 1969. It opens at nine every day and closes at six in winter."
    sources: list[dict[str, Any]] = [
        {
            "source_id": "1",
            "task_type": "QA",
            "source_info": {"question": "When was it built?", "passages": passage},
        },
        {"source_id": "2", "task_type": "Data2txt", "source_info": {"name": "Tower", "hours": {"Monday": "9:0-18:0"}}},
        {"source_id": "3", "task_type": "Summary", "source_info": passage},
    ]
    right, wrong = "The tower was finished in 1969.", "The castle in Berlin was ruined by giants in 1812."
    mark = [{"start": 0, "end": len(wrong), "label_type": "Evident Baseless Info"}]
    rows = [
        {"id": f"{source}{split}{n}", "source_id": source, "split": split, "response": text, "labels": labels}
        for source in "123"
        for split in ("train", "test")
        for n, (text, labels) in enumerate([(right, []), (wrong, mark)])
    ]
    write(tmp_path / "ragtruth" / "source_info.jsonl", sources)
    write(tmp_path / "ragtruth" / "response.jsonl", rows)
    found = ragtruth.measured(tmp_path)
    assert {task: (one["n"], one["auroc"]) for task, one in found["ours"].items()} == {
        "QA": (2, 1.0),
        "Data2txt": (2, 1.0),
        "Summary": (2, 1.0),
        "overall": (6, pytest.approx(1.0, abs=0.5)),
    }
    assert found["published_f1"]["Luna (DeBERTa)"]["Summary"] == 52.5
    assert found["ours"]["QA"]["threshold_from"] == "train split"


def test_auroc_is_the_share_of_pairs_in_order(statistics: ModuleType) -> None:
    rng = random.Random(3)  # noqa: S311 - no secret
    scores = np.array([rng.randint(0, 5) / 5 for _ in range(60)])
    positive = np.array([float(rng.random() < 0.4) for _ in range(60)])
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[positive > 0] for b in scores[positive == 0]]
    assert statistics.auroc(scores, positive) == pytest.approx(sum(pairs) / len(pairs))
    assert math.isnan(statistics.auroc(scores, np.ones(60)))


def test_calibration_error_is_nought_where_what_was_foretold_happens(statistics: ModuleType) -> None:
    positive = np.array([1.0, 0.0, 0.0, 0.0])
    assert statistics.expected_calibration_error(np.full(4, 0.25), positive) == pytest.approx(0)
    assert statistics.expected_calibration_error(np.full(4, 0.95), positive) == pytest.approx(0.7)
