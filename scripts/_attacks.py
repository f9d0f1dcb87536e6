"""Attacks and honest requests made from parts, so that no family of a benchmark has to be learned by heart.

The parts are in ``attack_parts.json``, written for this repository; ``{NAME}`` stands for one of its alternatives.
Honest requests use the words that attacks use.
"""

import json
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

_FILE: Final[dict[str, Any]] = json.loads(Path(__file__).with_name("attack_parts.json").read_text(encoding="utf-8"))
_PART: Final = re.compile(r"\{(\w+)\}")
Parts = Mapping[str, Sequence[str]]


def attacks(count: int, seed: int) -> list[tuple[str, str]]:
    """Return attacks with their families."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    parts = _FILE["parts"] | _FILE["attacks"]
    families = sorted(_FILE["attacks"])
    return [(family, _cased(_filled(f"{{{family}}}", parts, rng), rng)) for family in rng.choices(families, k=count)]


def honest(count: int, seed: int) -> list[str]:
    """Return honest requests in the words of attacks."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    parts = _FILE["parts"] | _FILE["honest_parts"] | {"honest": _FILE["honest"]}
    return [_cased(_filled("{honest}", parts, rng), rng) for _ in range(count)]


def hidden_in(attack: str, texts: Sequence[str], rng: random.Random) -> str:
    """Return a text with the attack between two of its parts."""
    before, after = rng.choice(texts), rng.choice(texts)
    return rng.choice((" ", "\n", "\n\n")).join((before, attack, after)[slice(*rng.choice(((0, 3), (0, 2), (1, 3))))])


def _filled(text: str, parts: Parts, rng: random.Random) -> str:
    while (match := _PART.search(text)) is not None:
        text = text[: match.start()] + rng.choice(parts[match[1]]) + text[match.end() :]
    return text


def _cased(text: str, rng: random.Random) -> str:
    style = rng.random()
    if style < 0.6:
        text = text[:1].upper() + text[1:]
    elif style < 0.65:
        text = text.upper()
    return text if text[-1] in "?.!>]" else text + rng.choice((".", "", "!"))
