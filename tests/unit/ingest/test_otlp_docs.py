"""The table of OTLP rules in the docs names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_test_named_in_the_docs_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "otlp.md").read_text()))
    sources = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    defined = set(re.findall(r"^def (test_\w+)\(", sources, re.MULTILINE))
    assert len(named) > 20
    assert named - defined == set()
