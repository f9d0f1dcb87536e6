"""The scorer: does what people, documents and tools said to the model read like an attack on it?"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from spanledger_analytics import evaluation
from spanledger_analytics.evaluation import Evidence, Extract, Label, Verdict, not_evaluable
from spanledger_analytics.scorers._attack_patterns import WHY, combined, untrusted
from spanledger_analytics.scorers._base import Judgement, verdict_of
from spanledger_analytics.scorers._linear import sigmoid
from spanledger_analytics.scorers.injection._model import Model, Reading, shipped

_ANY: Final = "prompt_injection_risk"
_INDIRECT: Final = "indirect_injection_risk"
_KNOWN: Final = 0.7
"""From here on known wordings and the model together are sure."""


class Found(NamedTuple):
    """What was read at a place; ``indirect`` if no user wrote it."""

    place: Extract
    reading: Reading
    indirect: bool


class Injection:
    """``prompt_injection_risk`` and ``indirect_injection_risk``: attacks by anyone, and those in passages and results.

    A linear model of words and pieces of words, helped by known wordings. 0.5 is where one honest request in a hundred
    lay when it was trained; an attack fails where it is clearer than all of them.
    """

    names: Sequence[str] = (_ANY, _INDIRECT)

    def __init__(self) -> None:
        model, version = shipped()
        self._model: Model = model
        self.version: str = version

    def score(self, evidence: Evidence) -> Sequence[Verdict]:
        """See :class:`~spanledger_analytics.ports.Scorer`."""
        found = [
            Found(place, self._model.reading(text), _is_indirect(place, evidence))
            for place, text in untrusted(evidence)
            if text.strip()
        ]
        missing = evaluation.NO_CONTENT if evidence.output is None else evaluation.NO_INPUT
        indirect = [one for one in found if one.indirect]
        none_given = evaluation.NO_CONTENT if evidence.output is None and not found else evaluation.NO_CONTEXT
        return self._verdict(_ANY, found, missing), self._verdict(_INDIRECT, indirect, none_given)

    def _verdict(self, name: str, found: Sequence[Found], missing: str) -> Verdict:
        if not found:
            return not_evaluable(name, missing, self.version)
        worst = max(found, key=lambda one: one.reading.logit)
        logit = worst.reading.logit
        value = sigmoid(logit - self._model.warn_from)
        label = self._label(worst.reading)
        if label == "pass":
            return verdict_of(name, self.version, Judgement(value, label, "nothing reads like an attack"))
        offences = _offences(worst)
        said = "a retrieved text or tool result" if worst.indirect else "the input"
        doubt = "reads like" if label == "fail" else "may be"
        reason = f"{said} {doubt} an attack: it {offences[0].reason}"
        return verdict_of(name, self.version, Judgement(value, label, reason, offences))

    def _label(self, reading: Reading) -> Label:
        if reading.logit < self._model.warn_from:
            return "pass"
        sure = reading.logit >= self._model.fail_from or combined(list(reading.attacks)) >= _KNOWN
        return "fail" if sure else "warn"


def _is_indirect(place: Extract, evidence: Evidence) -> bool:
    return place.where == "context" or evidence.messages[int(place.source or 0)].role == "tool"


def _offences(found: Found) -> list[Extract]:
    place, reading, _ = found
    known = [(attack.start, attack.end, WHY[attack.name]) for attack in reading.attacks]
    places = known or [(reading.start, reading.end, "is worded like orders to the model")]
    return [
        Extract(where=place.where, source=place.source, start=start, end=end, reason=why) for start, end, why in places
    ]
