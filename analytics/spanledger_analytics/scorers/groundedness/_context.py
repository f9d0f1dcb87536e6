"""The context, parsed once: which sentences hold which stems."""

import itertools
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from threading import Lock
from typing import Final, NamedTuple

from spanledger_analytics.evaluation import Passage
from spanledger_analytics.scorers._text import sentences
from spanledger_analytics.scorers.groundedness._words import NEGATION, Word, scaled, words

GRAM: Final = 5
MAX_CONTEXT: Final = 120_000
"""Characters of a passage beyond it are not looked at."""
_PREFIX: Final = 4
_NAME_GAP: Final = 4
"""Characters between the words of a name: at most " of "."""
_LONGEST_NAME: Final = 5
_SQUEEZE: Final = re.compile(r"[\W_]+")


class Supporter(NamedTuple):
    """A sentence of the context."""

    source: str
    start: int
    end: int
    negated: bool
    stems: frozenset[str]


@dataclass(frozen=True, slots=True)
class Parsed:
    """One passage, without its id."""

    sentences: tuple[Supporter, ...]
    bigrams: frozenset[tuple[str, str]]
    grams: frozenset[str]
    initials: frozenset[str]


def squeezed(text: str) -> str:
    """Return letters and digits with single spaces between."""
    return _SQUEEZE.sub(" ", text.casefold()).strip()


def grams_of(text: str) -> frozenset[str]:
    """Return the runs of five characters, spaces among them."""
    flat = f" {squeezed(text)} "
    return frozenset([flat[n : n + GRAM] for n in range(max(1, len(flat) - GRAM + 1))])


def _initials(found: Sequence[Word], text: str) -> Iterator[str]:
    """Yield the abbreviations of names of several words: of "United States of America" us, sa and usa."""
    run: list[Word] = []
    for word in found:
        if not word.name:
            continue
        run = [*run[-_LONGEST_NAME:], word] if run and word.start - run[-1].end <= _NAME_GAP else [word]
        letters = "".join(text[one.start] for one in run).casefold()
        yield from (letters[first:] for first in range(len(letters) - 1))


def parse(text: str) -> Parsed:
    """Parse one passage."""
    text = text[:MAX_CONTEXT]
    found: list[Supporter] = []
    bigrams: set[tuple[str, str]] = set()
    initials: set[str] = set()
    for sentence in sentences(text):
        said = scaled(list(words(text, sentence.start, sentence.end)))
        stems = [word.stem for word in said]
        bigrams.update(itertools.pairwise(stems))
        initials.update(_initials(said, text))
        negated = NEGATION.search(text, sentence.start, sentence.end) is not None
        found.append(Supporter("", sentence.start, sentence.end, negated, frozenset(stems)))
    return Parsed(tuple(found), frozenset(bigrams), grams_of(text), frozenset(initials))


class Context:
    """All passages of a call. What it tells depends on neither their order nor how often one is repeated."""

    def __init__(self, parts: Iterable[tuple[str, Parsed]]) -> None:
        self.sentences: list[Supporter] = []
        self.holders: dict[str, list[int]] = {}
        self.bigrams: set[tuple[str, str]] = set()
        self.grams: set[str] = set()
        self.initials: set[str] = set()
        for source, parsed in parts:
            for sentence in parsed.sentences:
                for stem in sentence.stems:
                    self.holders.setdefault(stem, []).append(len(self.sentences))
                self.sentences.append(sentence._replace(source=source))
            self.bigrams |= parsed.bigrams
            self.grams |= parsed.grams
            self.initials |= parsed.initials
        self._alike: dict[str, str | None] = {}
        self._prefixes: dict[str, list[str]] = {}
        for stem in self.holders:
            if len(stem) >= _PREFIX:
                self._prefixes.setdefault(stem[:_PREFIX], []).append(stem)

    def alike(self, stem: str) -> str | None:
        """Return the stem of the context that is most like ``stem``: itself, or one that begins alike."""
        if stem in self.holders:
            return stem
        if stem not in self._alike:
            near = [(_likeness(stem, other), other) for other in self._prefixes.get(stem[:_PREFIX], ())]
            best, other = max(near, default=(0.0, ""))
            self._alike[stem] = other if best >= 0.7 else None
        return self._alike[stem]


def _likeness(one: str, other: str) -> float:
    """Return the share of the longer that both begin with."""
    shared = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return shared / max(len(one), len(other))


class Contexts:
    """Parsed contexts by the hash of their text: the same documents are retrieved again and again."""

    def __init__(self, characters: int = 200_000) -> None:
        self._room = characters
        self._kept: OrderedDict[bytes, tuple[Context, int]] = OrderedDict()
        self._lock = Lock()

    def of(self, passages: Sequence[Passage]) -> Context:
        """Return the parsed context; each distinct text counts once, in an order that only texts decide."""
        distinct: dict[str, str] = {}
        for passage in passages:
            distinct[passage.text] = min(passage.source, distinct.get(passage.text, passage.source))
        key = _key(distinct)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
        context = Context((source, parse(text)) for text, source in sorted(distinct.items()))
        self._keep(key, context, sum(map(len, distinct)))
        return context

    def _keep(self, key: bytes, context: Context, size: int) -> None:
        with self._lock:
            if key not in self._kept:
                self._room -= size
            self._kept[key] = (context, size)
            while self._room < 0:
                self._room += self._kept.popitem(last=False)[1][1]


def _key(distinct: dict[str, str]) -> bytes:
    digest = blake2b(digest_size=16)
    for text, source in sorted(distinct.items()):
        for part in (text, source):
            data = part.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "little") + data)
    return digest.digest()
