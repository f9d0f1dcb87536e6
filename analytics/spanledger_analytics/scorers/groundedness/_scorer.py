"""The scorer: is what the answer claims in what the model was given?"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from spanledger_analytics import evaluation
from spanledger_analytics.evaluation import Evidence, Explanation, Extract, Feature, Label, Verdict, not_evaluable
from spanledger_analytics.scorers._language import language_of
from spanledger_analytics.scorers._linear import sigmoid
from spanledger_analytics.scorers._refusal import Refusal
from spanledger_analytics.scorers._text import MAX_CHARS, sentences, too_short, unfit
from spanledger_analytics.scorers.groundedness._context import Contexts
from spanledger_analytics.scorers.groundedness._features import Measured, measure, pooled
from spanledger_analytics.scorers.groundedness._model import Model, shipped
from spanledger_analytics.scorers.groundedness._words import Word, words

NAME: Final = "groundedness"
_SHOWN: Final = ("cover", "best1", "best2", "bigrams", "grams", "numbers", "names", "worst_cover", "worst_grams")
_MOST_OFFENCES: Final = 5
_MOST_WORDS: Final = 8
_refusal: Final = Refusal()


class Weighed(NamedTuple):
    """A measured sentence and what the model thinks of it alone."""

    measured: Measured
    value: float


class Groundedness:
    """``groundedness``: how well the context supports the answer, by its words; 1 is good.

    A sentence made of the context's words can still be wrong, and a right one in other words can look unsupported:
    this is for trends and for where to look.
    """

    names: Sequence[str] = (NAME,)

    def __init__(self, model: Model | None = None) -> None:
        self._model = model or shipped()
        self._contexts = Contexts()
        self.version: str = self._model.version

    def score(self, evidence: Evidence) -> Sequence[Verdict]:
        """See :class:`~spanledger_analytics.ports.Scorer`."""
        reason = _unfit(evidence)
        measured = [] if reason else list(self._measured(evidence))
        if not measured:
            return (not_evaluable(NAME, reason or evaluation.TOO_SHORT, self.version),)
        features = pooled(measured)
        value = sigmoid(self._model.linear.logit(features))
        return (self._verdict(round(value, 6), features, self._weighed(measured)),)

    def features(self, evidence: Evidence) -> tuple[float, ...] | None:
        """Return what the model would see; ``None`` where there is nothing to judge."""
        measured = [] if _unfit(evidence) else list(self._measured(evidence))
        return pooled(measured) if measured else None

    def _measured(self, evidence: Evidence) -> Iterator[Measured]:
        text = (evidence.output or "")[:MAX_CHARS]
        context = self._contexts.of(evidence.context)
        asked = frozenset(word.stem for word in words((evidence.question or "")[:MAX_CHARS]))
        for sentence in sentences(text):
            measured = measure(text, sentence, context, asked, self._model.weights)
            if measured is not None:
                yield measured

    def _weighed(self, measured: Sequence[Measured]) -> list[Weighed]:
        alone = [Weighed(one, sigmoid(self._model.linear.logit(pooled([one])))) for one in measured]
        return sorted(alone, key=lambda one: (one.value, one.measured.sentence.start))

    def _label(self, value: float) -> Label:
        if value >= self._model.pass_from:
            return "pass"
        return "fail" if value < self._model.fail_below else "warn"

    def _verdict(self, value: float, features: Sequence[float], weighed: Sequence[Weighed]) -> Verdict:
        label = self._label(value)
        named = dict(zip(self._model.linear.names, features, strict=True))
        shown: dict[str, Feature] = {name: round(named[name], 4) for name in _SHOWN}
        shown["sentences"] = len(weighed)
        worst = [one for one in weighed if one.value < self._model.pass_from][:_MOST_OFFENCES]
        if label != "pass" and not worst:
            worst = list(weighed[:1])
        explanation = Explanation(
            reason=_reason(label, len(worst), len(weighed)),
            offences=[extract for one in worst for extract in _offences(one.measured)],
            support=_support(worst[0].measured) if worst else None,
            features=shown,
        )
        return Verdict(name=NAME, value=value, label=label, explanation=explanation, scorer_version=self.version)


def _unfit(evidence: Evidence) -> str | None:
    reason = unfit(evidence)
    if reason is not None:
        return reason
    output = (evidence.output or "")[:MAX_CHARS]
    if not any(passage.text.strip() for passage in evidence.context):
        return evaluation.NO_CONTEXT
    if too_short(output):
        return evaluation.TOO_SHORT
    if language_of(output) not in {None, "en"}:
        return evaluation.NON_ENGLISH
    refused = _refusal.judge(evidence)
    return evaluation.REFUSAL if not isinstance(refused, str) and refused.label == "fail" else None


def _reason(label: Label, worst: int, of: int) -> str:
    if label == "pass":
        return "the context holds what the answer says" if not worst else "the context holds most of what is said"
    count = f"{worst} of {of} sentences" if of > 1 else "the answer"
    return f"the context does not clearly support {count}"


def _offences(measured: Measured) -> Iterator[Extract]:
    sentence = measured.sentence
    yield Extract(start=sentence.start, end=sentence.end, reason=_why(measured))
    for word in measured.missing[:_MOST_WORDS]:
        yield Extract(start=word.start, end=word.end, reason=f"{_kind(word)} not in context")


def _kind(word: Word) -> str:
    return "number" if word.number else "name" if word.name else "word"


def _why(measured: Measured) -> str:
    kinds = [_kind(word) for word in measured.missing]
    said = [f"{kinds.count(kind)} {kind}{'s' * (kinds.count(kind) > 1)}" for kind in ("number", "name", "word")]
    missing = ", ".join(part for part in said if not part.startswith("0 "))
    reasons = [f"{missing} not in context"] if missing else []
    if measured.negation_differs:
        reasons.append("negation differs from the closest sentence")
    return "; ".join(reasons) or "its words stand in the context, but not together"


def _support(measured: Measured) -> Extract | None:
    best = measured.best
    if best is None:
        return None
    return Extract(where="context", source=best.source, start=best.start, end=best.end, reason="closest sentence")
