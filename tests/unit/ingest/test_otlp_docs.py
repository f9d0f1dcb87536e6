"""The tables in the docs name tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("page", "most"), [("otlp-conformance.md", 60), ("guarantees.md", 20)])
def test_every_test_named_in_the_docs_exists(page: str, most: int) -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / page).read_text()))
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    defined = set(re.findall(r"^\s*(?:async )?def (test_\w+)\(", sources, re.MULTILINE))
    assert len(named) > most // 2
    assert named - defined == set()
