"""Refusals: the model says that it will not, or cannot, answer."""

import re
from typing import Final

from spanledger_analytics.evaluation import Evidence, Extract
from spanledger_analytics.scorers._base import Judgement, SingleScorer
from spanledger_analytics.scorers._text import MAX_CHARS, Sentence, plain, sentences, unfit, words
from spanledger_analytics.scorers._wording import any_of, load

_WORDING: Final = load("refusals.txt")
_REFUSAL: Final = any_of(_WORDING, "refusing")
_ASIDE: Final = any_of(_WORDING, "aside")
_TURN: Final = re.compile(r"\b(?:but|however|although|though|yet)\b")
_MOSTLY: Final = 0.6
_FIRST: Final = 0.4
"""An answer that begins with a refusal is one sooner."""
_LITTLE_WORDS: Final = 12


class Refusal(SingleScorer):
    """``refusal_risk``: 1 if the answer is a refusal as a whole, around a half if it refuses a part.

    Apologies and advice where else to ask do not count as an answer. English only.
    """

    name = "refusal_risk"
    version = "1.0.0"

    def judge(self, evidence: Evidence) -> Judgement | str:
        """See :class:`SingleScorer`."""
        reason = unfit(evidence)
        if reason is not None:
            return reason
        found = list(sentences((evidence.output or "")[:MAX_CHARS]))
        refusing = [sentence for sentence in found if _REFUSAL.search(plain(sentence.text))]
        if evidence.finish_reason == "content_filter" and not refusing:
            return Judgement(1.0, "fail", "the provider's content filter stopped the answer")
        if not refusing:
            return Judgement(0.0, "pass", "the answer refuses nothing")
        return _weighed(found, refusing)


def _halves(sentence: str) -> tuple[str, str]:
    """Part "I am not sure, but it opens at nine" at the but; of "I am sorry, but I cannot" nothing is an answer."""
    refusal = _REFUSAL.search(plain(sentence))
    turn = _TURN.search(plain(sentence), refusal.end()) if refusal else None
    if turn is None or _REFUSAL.search(plain(sentence), turn.end()):
        return sentence, ""
    return sentence[: turn.start()], sentence[turn.end() :]


def _weighed(found: list[Sentence], refusing: list[Sentence]) -> Judgement:
    answering = [sentence for sentence in found if sentence not in refusing and not _ASIDE.search(plain(sentence.text))]
    parts = [_halves(sentence.text) for sentence in refusing]
    refused = sum(len(words(before)) for before, _ in parts)
    answered = sum(len(words(s.text)) for s in answering) + sum(len(words(after)) for _, after in parts)
    share = refused / max(1, refused + answered)
    first = found[0] in refusing or (len(found) > 1 and found[1] in refusing and found[0] not in answering)
    whole = answered <= _LITTLE_WORDS or (first and share >= _FIRST) or share >= _MOSTLY
    offences = [Extract(start=s.start, end=s.end, reason="says that it will not or cannot answer") for s in refusing]
    features = {"refusing_words": refused, "answering_words": answered}
    if whole:
        return Judgement(max(0.75, share), "fail", "the answer is a refusal", offences, dict(features))
    return Judgement(min(0.5, share), "warn", "the answer refuses a part", offences, dict(features))
