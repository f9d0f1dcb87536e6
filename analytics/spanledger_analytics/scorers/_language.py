"""Language: whether the answer is in that of the question, by scripts and by the commonest words."""

import re
from collections import Counter
from functools import lru_cache
from importlib.resources import files
from typing import Final

from spanledger_analytics import evaluation
from spanledger_analytics.evaluation import Evidence, Extract
from spanledger_analytics.scorers._base import Judgement, SingleScorer
from spanledger_analytics.scorers._text import unfit, words

_SCRIPTS: Final = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af]")),
    ("zh", re.compile(r"[\u4e00-\u9fff]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
)
"""Japanese first: it has Chinese characters, too."""

_LETTER: Final = re.compile(r"[^\W\d_]")
_CODE: Final = re.compile(r"```[\s\S]*?(?:```|\Z)|`[^`\n]*`|https?://\S+")
_MIN_LETTERS: Final = 20
_MIN_COMMON: Final = 3
_SAMPLE: Final = 4_000
_ASKS_FOR_ANOTHER: Final = re.compile(
    r"\b(?:translat\w*|übersetz\w*|tradu\w*|vertal\w*|(?:in|into|to|auf|en|em|in het) (?:english|german|french|spanish"
    r"|italian|portuguese|dutch|chinese|japanese|korean|russian|arabic|hindi|polish|turkish|swedish|deutsch|englisch"
    r"|français|anglais|español|inglés|italiano|português|inglês))\b",
    re.IGNORECASE,
)


@lru_cache(maxsize=1)
def _languages_of() -> dict[str, list[tuple[str, float]]]:
    """Return each common word's languages; one that many share counts for less."""
    text = (files(__package__) / "languages.txt").read_text(encoding="utf-8")
    lists = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    shared = Counter(word for _, *listed in lists for word in set(listed))
    found: dict[str, list[tuple[str, float]]] = {}
    for language, *listed in lists:
        for word in dict.fromkeys(listed):
            found.setdefault(word, []).append((language, 1 / shared[word]))
    return found


def language_of(text: str) -> str | None:
    """Return the ISO 639-1 code of the language of ``text``, ``None`` where that is not clear."""
    sample = _CODE.sub(" ", text[:_SAMPLE])
    letters = len(_LETTER.findall(sample))
    for language, pattern in _SCRIPTS:
        if letters and len(pattern.findall(sample)) > letters * (0.05 if language == "ja" else 0.3):
            return language
    return _latin(sample) if letters >= _MIN_LETTERS else None


def _latin(sample: str) -> str | None:
    votes: Counter[str] = Counter()
    known = _languages_of()
    found = words(sample)
    for word in found:
        for language, weight in known.get(word, ()):
            votes[language] += weight  # type: ignore[assignment]  # Counter adds any number
    (best, most), (_, second) = (*votes.most_common(2), ("", 0), ("", 0))[:2]
    clear = most >= _MIN_COMMON and most >= 1.25 * second and most >= 0.08 * len(found)
    return best if clear else None


class Language(SingleScorer):
    """``language_match``: 1 if the answer is in the language of the last question, 0 if in another.

    Not asked where the question asks for another language, or either text is short or mixed.
    """

    name = "language_match"
    version = "1.0.0"

    def judge(self, evidence: Evidence) -> Judgement | str:
        """See :class:`SingleScorer`."""
        reason = unfit(evidence)
        if reason is not None:
            return reason
        question = evidence.question
        if not question:
            return evaluation.NO_INPUT
        if _ASKS_FOR_ANOTHER.search(question[:_SAMPLE]) or _ASKS_FOR_ANOTHER.search((evidence.system or "")[:_SAMPLE]):
            return "asked_for_a_language"
        asked, answered = language_of(question), language_of(evidence.output or "")
        if asked is None or answered is None:
            return evaluation.TOO_SHORT
        features = {"question": asked, "answer": answered}
        if asked == answered:
            return Judgement(1.0, "pass", "question and answer are in one language", features=dict(features))
        offence = Extract(start=0, end=len(evidence.output or ""), reason="another language than the question's")
        return Judgement(0.0, "fail", "the answer is in another language", [offence], dict(features))
