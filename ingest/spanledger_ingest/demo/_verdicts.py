"""Compares the scores of the helpdesk's answers with what was planted in them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spanledger_ingest.demo._checks import Check
from spanledger_ingest.demo._helpdesk_plan import ANSWERS, PLANTED, Planted
from spanledger_ingest.demo.fake_provider import ServedRequest

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer, and what is said of it."""

    question: str
    answer: str
    failing: tuple[Row, ...]
    """Scores that it fails, with their explanations."""
    judged: tuple[str, ...]
    """Names of the scores that have a number."""

    @property
    def planted(self) -> Planted | None:
        """What is wrong with it."""
        return PLANTED.get(self.question)

    @property
    def is_right(self) -> bool:
        """Whether what was planted is found, or nothing was planted and nothing is found."""
        names = {row["name"] for row in self.failing}
        return not names if self.planted is None else bool(names.intersection(self.planted.scores))


def verdicts(
    served: Iterable[ServedRequest], calls: Sequence[Row], scores: Mapping[str, Sequence[Row]]
) -> list[Verdict]:
    """Return a verdict for each question, in order.

    Args:
        served: The provider's books.
        calls: Stored calls of the helpdesk.
        scores: Scores with their words, by trace.
    """
    asked = {request.response_id: _question(request) for request in served}
    found = {asked.get(call["response_id"], ""): scores.get(call["trace_id"], ()) for call in calls}
    return [_verdict(question, found.get(question, ())) for question in ANSWERS]


def verdict_checks(found: Sequence[Verdict]) -> list[Check]:
    """Check that everything planted is found, and nothing else."""
    bad, good = [one for one in found if one.planted], [one for one in found if not one.planted]
    missed = [one.question for one in bad if not one.is_right]
    flagged = [one.question for one in good if not one.is_right or not one.judged]
    return [
        Check(f"all {len(bad)} planted faults of answers are found", not missed, "missed: " + "; ".join(missed)),
        Check(f"{len(good)} clean answers were judged, and none is flagged", not flagged, "; ".join(flagged)),
    ]


def offending(score: Row) -> list[str]:
    """Return the words that a score is about, as far as they are known: whole places, not also parts of them."""
    places = [place for place in score["detail"].get("offences", ()) if place.get("text")]
    return [place["text"] for place in places if not any(_inside(place, other) for other in places)]


def _inside(place: Row, other: Row) -> bool:
    size, larger = (each["end"] - each["start"] for each in (place, other))
    same = place["where"] == other["where"]
    return bool(same and other["start"] <= place["start"] and place["end"] <= other["end"] and size < larger)


def _question(request: ServedRequest) -> str:
    said = json.dumps(request.body.get("messages", ())[-1:])
    return next((question for question in ANSWERS if question in said), "")


def _verdict(question: str, scores: Sequence[Row]) -> Verdict:
    failing = tuple(row for row in scores if row["label"] == "fail")
    judged = tuple(row["name"] for row in scores if row["value"] is not None)
    return Verdict(question, ANSWERS[question], failing, judged)
