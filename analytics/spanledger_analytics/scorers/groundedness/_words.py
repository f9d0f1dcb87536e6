"""Words as groundedness compares them: stems, numbers in digits, names by their capitals; each with its place."""

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from typing import Final, NamedTuple

_TOKEN: Final = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:['\u2019](?!s\b)[^\W\d_]+)*|[^\W_]+")


def _read(file: str) -> dict[str, dict[str, str]]:
    """Return the lists of the file beside this module: each word and what it stands for."""
    lists: dict[str, dict[str, str]] = {}
    for line in (files(__package__) / file).read_text(encoding="utf-8").splitlines():
        name, *listed = line.split() or ["#"]
        if name != "#":
            pairs = (entry.partition("=") for entry in listed)
            lists.setdefault(name, {}).update({word: meaning for word, _, meaning in pairs})
    return lists


_ENGLISH: Final = _read("english.txt")
_COMMON: Final = frozenset(_ENGLISH["common"])
_NUMBERS: Final = _ENGLISH["number"]
_SCALES: Final = {word: int(zeros) for word, zeros in _ENGLISH["zeros"].items()}
_ALIASES: Final = _ENGLISH["alias"]
_ENDINGS: Final = tuple(_ENGLISH["ending"].items())
_MIN_STEM: Final = 3
_MAX_WORD: Final = 64
"""Of a longer word only the beginning is looked at, and kept."""
NEGATION: Final = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|neither|nor|without|cannot|unable|fail(?:s|ed)? to)\b|n ?['\u2019] ?t\b",
    re.IGNORECASE,
)


class Word(NamedTuple):
    """A word that claims something."""

    start: int
    end: int
    stem: str
    number: bool
    name: bool
    """Whether it is written like a name."""


@lru_cache(maxsize=32_768)
def stem(word: str) -> str:
    """Return what forms of a word in lower case have in common."""
    word = _ALIASES.get(word, word)
    if len(word) <= _MIN_STEM or len(word) > _MAX_WORD or word.endswith("ss"):
        return word[:_MAX_WORD]
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _MIN_STEM:
            word = word[: -len(ending)] + instead
            break
    if len(word) > _MIN_STEM and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]
    return word[:-1] + "i" if word.endswith("y") and len(word) > _MIN_STEM else word


@lru_cache(maxsize=32_768)
def _claim(token: str) -> tuple[str, bool] | None:
    """Return the stem of a token and whether it is a number; ``None`` if it claims nothing."""
    lower = token.casefold()
    if token[0].isdecimal():
        return digits(token), True
    if lower in _NUMBERS:
        return _NUMBERS[lower], True
    return None if lower in _COMMON else (stem(lower.replace("\u2019", "'")), False)


def words(text: str, start: int = 0, end: int | None = None) -> Iterator[Word]:
    """Yield the words of ``text`` from ``start`` to ``end`` that claim something."""
    first, shouted = True, text.isupper()
    for match in _TOKEN.finditer(text, start, len(text) if end is None else end):
        token = match.group()
        claim = _claim(token[:_MAX_WORD])
        if claim is not None:
            meant, number = claim
            name = not (number or first or shouted) and token[0].isupper()
            yield Word(*match.span(), meant, number, name)
        first = False


def digits(token: str) -> str:
    """Return one way of writing a number: no separators of thousands, no zeros without meaning."""
    number = re.sub(r",(?=\d{3}(?!\d))", "", token[:_MAX_WORD])
    if "." in number and ":" not in number and number.count(".") == 1:
        number = number.rstrip("0").rstrip(".")
    return number.lstrip("0") or "0"


def scaled(found: list[Word]) -> list[Word]:
    """Join "5" and "million" to 5000000."""
    joined: list[Word] = []
    for word in found:
        zeros = _SCALES.get(word.stem)
        before = joined[-1] if joined else None
        if zeros and before is not None and before.number and word.start - before.end <= 1:
            joined[-1] = before._replace(end=word.end, stem=_times(before.stem, zeros))
        else:
            joined.append(word)
    return joined


def _times(number: str, zeros: int) -> str:
    whole, _, part = number.partition(".")
    if not (whole + part).isdecimal() or len(part) > zeros:
        return number
    return (whole + part).lstrip("0") + "0" * (zeros - len(part)) or "0"
