"""Answers made from passages, and the same answers made wrong, of equal length.

A right answer is one to four sentences of a passage with some words left out. A wrong one is the same with one thing
changed: a number, a name, a denial, two words that changed places, or a sentence of another passage.
"""

import random
import re
from collections.abc import Sequence
from typing import Final

from scripts._labelled import Example

from spanledger_analytics.scorers._text import sentences

_NUMBER: Final = re.compile(r"\b\d[\d,.]*\b")
_NAME: Final = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+(?: [A-Z][a-z]+)*")
_VERB: Final = re.compile(r"\b(is|are|was|were|has|have|had|can|will|would|did|does)\b")
_LONG: Final = re.compile(r"\b[a-z]{6,}\b")
_KINDS: Final = ("number", "name", "denial", "swap", "word", "other", "other")


def perturbed(passages: Sequence[str], seed: int, each: int = 2) -> list[Example]:
    """Return right and wrong answers, as many of one as of the other."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    long_enough = [(p, [s.text for s in sentences(p) if 6 <= len(s.text.split()) <= 60]) for p in passages]
    usable = [(passage, pieces) for passage, pieces in long_enough if pieces]
    pool = [piece for _, pieces in usable for piece in pieces]
    found: list[Example] = []
    for passage, pieces in usable:
        for _ in range(each):
            found.extend(_pair(passage, pieces, pool, rng))
    return found


def _pair(passage: str, pieces: list[str], pool: list[str], rng: random.Random) -> list[Example]:
    chosen = [_shortened(piece, rng) for piece in rng.sample(pieces, min(len(pieces), rng.choice((1, 1, 2, 3, 4))))]
    place = rng.randrange(len(chosen))
    for kind in rng.sample(_KINDS, len(_KINDS)):
        wrong = _changed(chosen[place], kind, pool, rng)
        if wrong is not None and wrong != chosen[place]:
            broken = [*chosen[:place], wrong, *chosen[place + 1 :]]
            texts = (" ".join(chosen), " ".join(broken))
            if rng.random() < 0.3:
                texts = (texts[0].lower(), texts[1].lower())
            begin = len(" ".join(broken[:place])) + bool(place)
            return [
                Example(passage, "", texts[0], good=True),
                Example(passage, "", texts[1], good=False, unsupported=((begin, begin + len(wrong)),)),
            ]
    return []


def _shortened(piece: str, rng: random.Random) -> str:
    words = piece.split()
    leave = rng.choice((0.0, 0.1, 0.2, 0.35))
    kept = [word for n, word in enumerate(words) if n == 0 or n == len(words) - 1 or rng.random() >= leave]
    return " ".join(kept)


def _changed(piece: str, kind: str, pool: list[str], rng: random.Random) -> str | None:
    if kind == "other":
        near = [one for one in pool if abs(len(one.split()) - len(piece.split())) <= 2]
        return _shortened(rng.choice(near), rng) if near else None
    if kind == "denial":
        return _VERB.sub(r"\1 not", piece, count=1)
    if kind == "swap":
        return _swapped(piece, rng)
    pattern = {"number": _NUMBER, "name": _NAME, "word": _LONG}[kind]
    found = list(pattern.finditer(piece))
    others = [m.group() for one in rng.sample(pool, min(30, len(pool))) for m in pattern.finditer(one)]
    others = [other for other in others if other not in piece]
    if not found or not others:
        return None
    match = rng.choice(found)
    return piece[: match.start()] + rng.choice(others) + piece[match.end() :]


def _swapped(piece: str, rng: random.Random) -> str | None:
    found = list(_NAME.finditer(piece)) or list(_LONG.finditer(piece))
    if len(found) < 2:
        return None
    one, other = sorted(rng.sample(found, 2), key=lambda match: match.start())
    middle = piece[one.end() : other.start()]
    return piece[: one.start()] + other.group() + middle + one.group() + piece[other.end() :]
