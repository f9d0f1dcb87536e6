"""What the scorers have in common: one name, one version, one verdict."""

from collections.abc import Sequence
from dataclasses import dataclass

from spanledger_analytics.evaluation import Evidence, Explanation, Extract, Feature, Label, Verdict, not_evaluable


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict before it has a name and a version."""

    value: float
    label: Label
    reason: str
    offences: Sequence[Extract] = ()
    features: dict[str, Feature] | None = None


class SingleScorer:
    """A scorer of one name: :meth:`judge` says why there is no number, or gives one."""

    name: str
    version: str

    @property
    def names(self) -> Sequence[str]:
        """See :class:`~spanledger_analytics.ports.Scorer`."""
        return (self.name,)

    def judge(self, evidence: Evidence) -> Judgement | str:
        """Return the judgement, or the reason why none is possible."""
        raise NotImplementedError

    def score(self, evidence: Evidence) -> Sequence[Verdict]:
        """See :class:`~spanledger_analytics.ports.Scorer`."""
        judged = self.judge(evidence)
        if isinstance(judged, str):
            return (not_evaluable(self.name, judged, self.version),)
        return (verdict_of(self.name, self.version, judged),)


def verdict_of(name: str, version: str, judged: Judgement) -> Verdict:
    """Return the verdict that a judgement makes."""
    explanation = Explanation(reason=judged.reason, offences=judged.offences, features=judged.features or {})
    return Verdict(
        name=name,
        value=round(min(1.0, max(0.0, judged.value)), 6),
        label=judged.label,
        explanation=explanation,
        scorer_version=version,
    )
