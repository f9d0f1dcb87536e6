"""Text as numbers of buckets: words, pairs of words and pieces of words, hashed; the same in every process."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final, NamedTuple
from zlib import crc32

BUCKETS: Final = 1 << 15
WINDOW: Final = 60
"""Words of a window: an attack of one sentence must not drown in a long document."""
STEP: Final = 30
_WORD: Final = re.compile(r"\w+|[^\w\s]{1,3}")
_SHORTEST, _LONGEST = 3, 5
_LONGEST_WORD: Final = 40


class Token(NamedTuple):
    """A word or a sign, in one way of writing, and its place."""

    start: int
    end: int
    text: str


def tokens(text: str) -> list[Token]:
    """Return the words and signs of ``text``; wide, styled and joined letters are written plainly."""
    found = []
    for match in _WORD.finditer(text):
        plain = match.group()
        if not plain.isascii():
            plain = unicodedata.normalize("NFKC", plain)
        found.append(Token(match.start(), match.end(), plain.casefold()[:_LONGEST_WORD]))
    return found


def of_tokens(found: Sequence[Token]) -> Iterator[tuple[int, ...]]:
    """Yield for each token the buckets of its word, of its pieces, and of the pair with the word before."""
    before = ""
    for token in found:
        yield (*_of_word(token.text), _hashed(f"{before} {token.text}")) if before else _of_word(token.text)
        before = token.text


def buckets(found: Sequence[Token]) -> set[int]:
    """Return the buckets that these tokens fill."""
    return set(chain.from_iterable(of_tokens(found)))


@lru_cache(maxsize=16_384)
def _of_word(word: str) -> tuple[int, ...]:
    edged = f"<{word}>"
    pieces = [
        edged[n : n + size] for size in range(_SHORTEST, _LONGEST + 1) for n in range(max(0, len(edged) - size + 1))
    ]
    return tuple({_hashed(word), *(_hashed(f"#{piece}") for piece in pieces)})


def _hashed(text: str) -> int:
    return crc32(text.encode("utf-8", "surrogatepass")) % BUCKETS
