"""``spanledger score --dataset``: the fixed format, the summary and the gate."""

import json
from pathlib import Path
from typing import Any

import pytest

from spanledger_ingest.cli import main

ROWS: list[dict[str, Any]] = [
    {
        "id": "a",
        "context": ["The warranty is two years.", "Call the desk at 020 7946 0958."],
        "question": "How long is the warranty of it?",
        "answer": "The warranty is two years [1].",
        "finish_reason": "stop",
    },
    {"id": "b", "question": "Who?", "answer": "Write to bob@corp.example.", "finish_reason": "stop", "label": 0},
    {"id": "c", "question": "As JSON", "answer": '{"a": 1}', "schema": {"required": ["b"]}, "anything": "else"},
    {"id": "d", "context": "one text", "question": "q", "answer": None},
]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    file = tmp_path / "answers.jsonl"
    file.write_text("\n".join(map(json.dumps, ROWS)) + "\n\n")
    return file


def scored(out: Path) -> dict[str, dict[str, Any]]:
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    return {row["id"]: row for row in rows}


def test_each_line_gets_its_scores(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.jsonl"
    assert main(["score", "--dataset", str(dataset), "--out", str(out)]) == 0
    rows = scored(out)
    assert list(rows) == ["a", "b", "c", "d"]
    assert rows["a"]["scores"]["citation_accuracy"]["value"] == 1.0
    leak = rows["b"]["scores"]["pii_leak_risk"]
    assert (leak["label"], leak["explanation"]["offences"][0]["text"]) == ("fail", "bob@corp.example")
    assert rows["b"]["label"] == 0
    assert rows["c"]["scores"]["json_validity"]["value"] == 0.0
    assert {verdict["label"] for name, verdict in rows["d"]["scores"].items() if name != "input_pii_risk"} >= {
        "not_evaluable"
    }
    assert rows["d"]["scores"]["refusal_risk"]["explanation"] == {"reason": "no_content"}
    fields = {"value", "label", "confidence", "explanation", "scorer_version", "calibration_id"}
    assert all(verdict.keys() == fields for row in rows.values() for verdict in row["scores"].values())


def test_scores_go_to_stdout_and_the_summary_to_stderr(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "--dataset", str(dataset), "--json"]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line)["id"] for line in out.splitlines()] == ["a", "b", "c", "d"]
    summary = json.loads(err)["completeness"]
    assert (summary["answers"], summary["evaluable"], summary["mean"]) == (4, 2, 1.0)
    assert summary["not_evaluable"] == {"no_finish_reason": 2}


@pytest.mark.parametrize(
    ("demand", "code", "said"),
    [
        ("completeness=1", 0, ""),
        ("pii_leak_risk=0.99", 1, "pii_leak_risk: 1 - mean is 0.6667, under 0.99"),
        ("json_validity=0.5", 1, "json_validity: mean is 0.0000, under 0.5"),
        ("completenes=1", 1, "no score has this name"),
        ("completeness=much", 1, "write NAME=VALUE"),
    ],
)
def test_the_gate(dataset: Path, capsys: pytest.CaptureFixture[str], demand: str, code: int, said: str) -> None:
    assert main(["score", "--dataset", str(dataset), "--fail-under", demand]) == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1]", "a line is an object"),
        ("{", "no JSON"),
        ('{"answer": 7}', "answer is text"),
        ('{"context": 7}', "list of"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, said: str) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text('{"id": 1}\n' + line + "\n")
    assert main(["score", "--dataset", str(file)]) == 1
    err = capsys.readouterr().err
    assert f"{file}:2" in err
    assert said in err


@pytest.mark.parametrize(
    "words", [[], ["--from", "2026-01-01"], ["--dataset", "x", "--from", "2026-01-01", "--to", "2027-01-01"]]
)
def test_either_a_file_or_a_time(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", *words]) == 1
    assert "either --dataset" in capsys.readouterr().err
