"""Prompt injection by its wording: what attacks on language models are usually written like."""

from collections.abc import Iterator
from math import prod
from typing import Final, NamedTuple

from spanledger_analytics import evaluation
from spanledger_analytics.evaluation import Evidence, Extract, Label
from spanledger_analytics.scorers._base import Judgement, SingleScorer
from spanledger_analytics.scorers._text import MAX_CHARS, plain
from spanledger_analytics.scorers._wording import load

_PATTERNS: Final = load("attacks.txt")
WHY: Final = {
    "override": "tells the model to forget its instructions",
    "reveal": "asks for the instructions themselves",
    "unbound": "gives the model a role without rules",
    "no_refusal": "forbids the model to refuse",
    "two_answers": "asks for a second, unfiltered answer",
    "new_orders": "brings instructions of its own",
    "markup": "imitates the markup around instructions",
    "exfiltrate": "wants data sent away",
    "hypothetical": "wraps the request in a story without rules",
    "to_the_model": "speaks to the model from within a text",
    "encoded": "hides orders in an encoding",
}
_WARN, _FAIL = 0.4, 0.7


class Attack(NamedTuple):
    """A wording found: its name, how much it says, and where it stands."""

    name: str
    weight: float
    start: int
    end: int


def attacks(text: str) -> Iterator[Attack]:
    """Yield the wordings of attacks in ``text``, one for each pattern at most."""
    lower = plain(text[:MAX_CHARS])
    for name, weight, pattern in _PATTERNS:
        match = pattern.search(lower)
        if match and match.end() > match.start():
            yield Attack(name, weight, match.start(), match.end())


def combined(found: list[Attack]) -> float:
    """Return how likely wordings of several kinds together are an attack, if each kind were an independent witness."""
    strongest: dict[str, float] = {}
    for attack in found:
        strongest[attack.name] = max(attack.weight, strongest.get(attack.name, 0.0))
    return 1 - prod(1 - weight for weight in strongest.values())


def untrusted(evidence: Evidence) -> Iterator[tuple[Extract, str]]:
    """Yield what people and documents said to the model, with the place that stands for the whole of it."""
    for number, message in enumerate(evidence.messages):
        if message.role in {"user", "tool"} and message.text:
            yield Extract(where="input", source=str(number), start=0, end=len(message.text)), message.text
    for passage in evidence.context:
        if passage.text:
            yield Extract(where="context", source=passage.source, start=0, end=len(passage.text)), passage.text


class AttackPatterns(SingleScorer):
    """``prompt_injection_risk`` by wording alone, of the user's messages, retrieved passages and results of tools."""

    name = "prompt_injection_risk"
    version = "1.0.0"

    def judge(self, evidence: Evidence) -> Judgement | str:
        """See :class:`SingleScorer`."""
        places = list(untrusted(evidence))
        if not places:
            return evaluation.NO_INPUT if evidence.output is not None else evaluation.NO_CONTENT
        worst: list[Attack] = []
        where = places[0][0]
        for place, text in places:
            found = list(attacks(text))
            if combined(found) > combined(worst):
                worst, where = found, place
        value = combined(worst)
        offences = [
            Extract(where=where.where, source=where.source, start=a.start, end=a.end, reason=WHY[a.name]) for a in worst
        ]
        if value >= _WARN:
            said = "a retrieved text or tool result" if where.where == "context" else "the input"
            label: Label = "fail" if value >= _FAIL else "warn"
            return Judgement(value, label, f"{said} reads like an attack: it {offences[0].reason}", offences)
        return Judgement(value, "pass", "nothing reads like an attack", offences)
