"""Readers of the public data sets that models learn from and are measured on. Nothing of them is in this repository."""

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from spanledger_analytics.evaluation import Evidence, Message, Passage

BEGIN: Final = {"begin_wow": "begin_dev_wow.tsv", "begin_cmu": "begin_dev_cmu.tsv", "begin_tc": "begin_dev_tc.tsv"}
Q2: Final = "q2.csv"


@dataclass(frozen=True, slots=True)
class Example:
    """An answer that people judged. ``good`` is whether its context supports all of it."""

    context: str
    question: str
    answer: str
    good: bool
    unsupported: tuple[tuple[int, int], ...] = field(default=())
    """Places in the answer that people marked."""

    def evidence(self) -> Evidence:
        """Return what a scorer gets to see."""
        return Evidence(
            messages=(Message("user", self.question),) if self.question else (),
            output=self.answer,
            context=(Passage("1", self.context),),
            finish_reason="stop",
        )


def groundedness_sets(data: Path) -> dict[str, list[Example]]:
    """Return the human-labelled sets that are there, by name."""
    folder = data / "groundedness"
    found = {name: list(_begin(folder / file)) for name, file in BEGIN.items() if (folder / file).is_file()}
    if (folder / Q2).is_file():
        found["q2"] = list(_q2(folder / Q2))
    return found


def _begin(file: Path) -> Iterator[Example]:
    """Yield BEGIN's answers; small talk that claims nothing ("Generic") is left out."""
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            if row["begin_label"] != "Generic":
                good = row["begin_label"] == "Fully attributable"
                yield Example(row["knowledge"], row["message"], row["response"], good)


def _q2(file: Path) -> Iterator[Example]:
    """Yield both answers of each row of Q2; its label 1 means inconsistent."""
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            for model in ("dodeca", "memnet"):
                good = row[f"{model}_label"] == "0"
                yield Example(row["knowledge"], row["message"], row[f"{model}_response"], good)


def texts_of(data: Path, name: str) -> list[str]:
    """Return the texts of a JSON file of the injection folder."""
    found: list[str] = json.loads((data / "injection" / name).read_text(encoding="utf-8"))
    return found


def prompts_of(data: Path, name: str) -> list[Mapping[str, Any]]:
    """Return the objects of a JSON file of the injection folder: ``prompt``, ``label`` and ``source``."""
    found: list[Mapping[str, Any]] = json.loads((data / "injection" / name).read_text(encoding="utf-8"))
    return found


def digest(files: list[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file, so that a model tells what it was made of."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files) if file.is_file()}
