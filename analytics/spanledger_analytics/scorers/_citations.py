"""Citations: whether what the answer points at, links to and quotes is there."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from spanledger_analytics import evaluation
from spanledger_analytics.evaluation import Evidence, Extract, Label
from spanledger_analytics.scorers._base import Judgement, SingleScorer
from spanledger_analytics.scorers._text import MAX_CHARS, plain, unfit

_MARK: Final = re.compile(r"\[(\d{1,3}(?:\s*[,;-]\s*\d{1,3})*)\](?!\()|【(\d{1,3})[^】]{0,20}】")
_URL: Final = re.compile(r"https?://[^\s<>\"'`)\]}|\\^]{3,500}")
_QUOTE: Final = re.compile(r"[\"\u201c\u00ab]([^\"\u201c\u201d\u00ab\u00bb\n]{20,400})[\"\u201d\u00bb]")
_MIN_QUOTED_WORDS: Final = 4
_SPACE: Final = re.compile(r"[\W_]+")


class Citations(SingleScorer):
    """``citation_accuracy``: the share of the answer's source numbers, links and quotations that it was given.

    A number ``[3]`` needs a third passage; whether that passage supports the sentence is another question.
    """

    name = "citation_accuracy"
    version = "1.0.0"

    def judge(self, evidence: Evidence) -> Judgement | str:
        """See :class:`SingleScorer`."""
        reason = unfit(evidence)
        if reason is not None:
            return reason
        if not evidence.context:
            return evaluation.NO_CONTEXT
        text = (evidence.output or "")[:MAX_CHARS]
        checked = [*_marks(text, evidence), *_links(text, evidence), *_quotations(text, evidence)]
        if not checked:
            return evaluation.NO_CITATION
        wrong = sorted((extract for extract, right in checked if not right), key=lambda extract: extract.start)
        value = 1 - len(wrong) / len(checked)
        features = {"citations": len(checked), "wrong": len(wrong)}
        if not wrong:
            return Judgement(1.0, "pass", "everything cited is there", features=dict(features))
        label: Label = "fail" if value < 0.8 else "warn"
        return Judgement(value, label, f"{len(wrong)} of {len(checked)} citations lead nowhere", wrong, dict(features))


_Checked = tuple[Extract, bool]


def _marks(text: str, evidence: Evidence) -> Iterator[_Checked]:
    given = {passage.source for passage in evidence.context}
    for match in _MARK.finditer(text):
        numbers = [int(number) for number in re.findall(r"\d+", match[1] or match[2])]
        known = all(1 <= number <= len(evidence.context) or str(number) in given for number in numbers)
        yield Extract(start=match.start(), end=match.end(), reason="there is no such passage"), known


def _links(text: str, evidence: Evidence) -> Iterator[_Checked]:
    given = "\n".join(_given(evidence))
    for match in _URL.finditer(text):
        url = match.group().rstrip(".,;:!?")
        end = match.start() + len(url)
        yield Extract(start=match.start(), end=end, reason="this address is in no passage"), url.rstrip("/") in given


def _quotations(text: str, evidence: Evidence) -> Iterator[_Checked]:
    found = [match for match in _QUOTE.finditer(text) if len(match[1].split()) >= _MIN_QUOTED_WORDS]
    if not found:
        return
    given = "\n".join(_squeezed(piece) for piece in _given(evidence))
    for match in found:
        right = all(part in given for part in map(_squeezed, re.split(r"\.\.\.|\u2026|\[[^\]]{0,40}\]", match[1])))
        yield Extract(start=match.start(1), end=match.end(1), reason="these words are in no passage"), right


def _given(evidence: Evidence) -> Sequence[str]:
    texts = [passage.text for passage in evidence.context] + [message.text for message in evidence.messages]
    return [*texts, evidence.system or ""]


def _squeezed(text: str) -> str:
    return _SPACE.sub(" ", plain(text)).strip()
