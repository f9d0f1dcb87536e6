"""Text as the scorers see it: sentences with their places, and what is prose at all."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from spanledger_analytics import evaluation
from spanledger_analytics.evaluation import Evidence

MAX_CHARS: Final = 40_000
"""Text beyond it is not looked at: a scorer's time is bounded."""

_BREAK: Final = re.compile(
    r"(?<=[.!?])[\"')\]]{0,2}\s+(?=[^\sa-z])|\n\s*(?:[-*•]\s+|\d{1,3}[.)]\s+)?|(?<=[\u3002\uff01\uff1f])"
)
_ABBREVIATION: Final = re.compile(r"\b(?:[A-Z]|[Mm]rs?|[Dd]r|[Ss]t|vs|etc|approx|[Nn]o|[Ff]ig|e\.g|i\.e|[Pp]rof)\.$")
_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_MIN_WORDS: Final = 3


class Sentence(NamedTuple):
    """A sentence and where it stands."""

    start: int
    end: int
    text: str


def sentences(text: str) -> Iterator[Sentence]:
    """Yield the sentences of ``text``, list items and lines among them, without the white space around."""
    start = 0
    for match in _BREAK.finditer(text):
        if match.group().startswith("\n") or not _ABBREVIATION.search(text, start, match.start()):
            yield from _trimmed(text, start, match.start())
            start = match.end()
    yield from _trimmed(text, start, len(text))


def _trimmed(text: str, start: int, end: int) -> Iterator[Sentence]:
    piece = text[start:end]
    words = piece.strip()
    if words:
        start += len(piece) - len(piece.lstrip())
        yield Sentence(start, start + len(words), words)


def words(text: str) -> list[str]:
    """Return the words in lower case."""
    return [match.group().casefold() for match in _WORD.finditer(text)]


def plain(text: str) -> str:
    """Return ``text`` of the same length, in lower case where that is one character, with straight apostrophes."""
    lower = text.lower()
    lower = lower if len(lower) == len(text) else text
    return lower.replace("\u2019", "'").replace("\u2018", "'").replace("\u00a0", " ")


def is_structured(text: str) -> bool:
    """Tell whether this is JSON, markup or code as a whole rather than prose."""
    stripped = text.strip()
    if stripped[:1] in "{[<" and stripped[-1:] in "}]>":
        return stripped[:1] != "[" or stripped[1:2] in '{["' or stripped[1:2].isdigit()
    return stripped.startswith("```") and stripped.endswith("```")


def unfit(evidence: Evidence, *, prose: bool = True) -> str | None:
    """Return why there is no text to judge, ``None`` if there is."""
    if evidence.output is None:
        return evaluation.NO_CONTENT
    if not evidence.output.strip():
        return evaluation.STRUCTURED if evidence.tool_calls else evaluation.TOO_SHORT
    return evaluation.STRUCTURED if prose and is_structured(evidence.output) else None


def too_short(text: str) -> bool:
    """Tell whether there are hardly any words."""
    return len(_WORD.findall(text[:200])) < _MIN_WORDS
