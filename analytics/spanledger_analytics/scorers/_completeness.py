"""Truncation: whether the answer was cut off."""

from spanledger_analytics import evaluation
from spanledger_analytics.evaluation import Evidence, Extract
from spanledger_analytics.scorers._base import Judgement, SingleScorer


class Completeness(SingleScorer):
    """``completeness``: 0 if the answer ran into its limit or broke off, by the finish reason alone."""

    name = "completeness"
    version = "1.0.0"

    def judge(self, evidence: Evidence) -> Judgement | str:
        """See :class:`SingleScorer`."""
        output = evidence.output or ""
        end = [Extract(start=max(0, len(output) - 80), end=len(output), reason="breaks off here")] if output else []
        if evidence.finish_reason == "length":
            return Judgement(0.0, "fail", "the answer was cut at the token limit", end)
        if evidence.finish_reason in {"stop", "tool_call"}:
            return Judgement(1.0, "pass", "the model ended by itself")
        if evidence.finish_reason == "content_filter":
            return Judgement(0.0, "fail", "a content filter ended the answer", end)
        if evidence.finish_reason == "error":
            return Judgement(0.0, "fail", "the call broke off", end)
        return evaluation.NO_FINISH
