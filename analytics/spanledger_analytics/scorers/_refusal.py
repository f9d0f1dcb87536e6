"""Refusals: the model says that it will not, or cannot, answer."""

from typing import Final

from spanledger_analytics.evaluation import Evidence, Extract
from spanledger_analytics.scorers._base import Judgement, SingleScorer
from spanledger_analytics.scorers._text import MAX_CHARS, Sentence, plain, sentences, unfit, words
from spanledger_analytics.scorers._wording import any_of, load

_WORDING: Final = load("refusals.txt")
_REFUSAL: Final = any_of(_WORDING, "refusing")
_ASIDE: Final = any_of(_WORDING, "aside")
_MOSTLY: Final = 0.6
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


def _weighed(found: list[Sentence], refusing: list[Sentence]) -> Judgement:
    answering = [sentence for sentence in found if sentence not in refusing and not _ASIDE.search(plain(sentence.text))]
    refused, answered = (sum(len(words(s.text)) for s in group) for group in (refusing, answering))
    share = refused / max(1, refused + answered)
    first = found[0] in refusing or (len(found) > 1 and found[1] in refusing and found[0] not in answering)
    whole = answered <= _LITTLE_WORDS or (first and share >= _MOSTLY / 2) or share >= _MOSTLY
    offences = [Extract(start=s.start, end=s.end, reason="says that it will not or cannot answer") for s in refusing]
    features = {"refusing_words": refused, "answering_words": answered}
    if whole:
        return Judgement(max(0.75, share), "fail", "the answer is a refusal", offences, dict(features))
    return Judgement(min(0.5, share), "warn", "the answer refuses a part", offences, dict(features))
