"""What is judged, and the judgement: the records between the service and its scorers.

:class:`Evidence` is everything a scorer may look at of one model call. A :class:`Verdict` is what it says. Captured
text is never copied into a verdict: it names places in the text (:class:`Extract`), and whoever may read the text sees
the words there (:meth:`Explanation.as_json` with the evidence).

Values go from 0 to 1. 1 is good, except for names that end in ``_risk``, where 1 is bad.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Label: TypeAlias = Literal["pass", "warn", "fail", "not_evaluable"]
Where: TypeAlias = Literal["output", "input", "context"]
Feature: TypeAlias = str | int | float | bool | None

# Why there is no number. A scorer may have reasons of its own; these have a line in docs/quality.md.
NO_CONTENT = "no_content"
"""The text was not captured."""
NO_CONTEXT = "no_context"
"""Nothing was retrieved that the answer could rest on."""
NO_INPUT = "no_input"
"""The question was not captured."""
NO_SCHEMA = "no_schema"
"""The request asked for no structured output."""
NO_CITATION = "no_citation"
"""The answer cites nothing."""
TOO_SHORT = "too_short"
REFUSAL = "refusal"
NON_ENGLISH = "non_english"
STRUCTURED = "structured"
"""The answer is JSON, code or a tool call, not prose."""
MASKED = "masked"
"""Values were replaced before they were stored, so they cannot be compared."""
NO_FINISH = "no_finish_reason"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the conversation before the answer; ``role`` is user, assistant, system or tool."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A text that was given to the model to answer from; ``source`` is an id, unique among the call's passages."""

    source: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One model call, as far as it is known. Text is ``None`` where it was not captured.

    ``output`` is what the model said, without its tool calls (``tool_calls`` counts those). ``context`` holds retrieved
    documents and results of tools. ``messages`` ends with the last question; system instructions are in ``system``.
    ``schema`` is the JSON schema that the request demanded, ``wants_json`` tells that it demanded JSON at all.
    """

    owner: str = ""
    trace_id: str = ""
    span_id: str = ""
    start_ns: int = 0
    tenant_id: str = ""
    service_name: str | None = None
    use_case: str | None = None
    provider: str | None = None
    model: str | None = None
    operation: str | None = None
    prompt_name: str | None = None
    prompt_version: str | None = None
    response_id: str | None = None
    finish_reason: str | None = None
    status: str = "ok"
    system: str | None = None
    messages: Sequence[Message] = ()
    output: str | None = None
    context: Sequence[Passage] = ()
    tool_calls: int = 0
    wants_json: bool = False
    schema: Mapping[str, Any] | None = None
    masked: bool = False
    """Whether personal data was replaced by ``[kind]`` before this was stored."""

    @property
    def question(self) -> str | None:
        """The last thing a user said."""
        return next((message.text for message in reversed(self.messages) if message.role == "user"), None)

    def text_of(self, extract: "Extract") -> str:
        """Return the words at a place; empty where there is no such text."""
        return _whole(self, extract)[extract.start : extract.end]


def _whole(evidence: Evidence, extract: "Extract") -> str:
    if extract.where == "output":
        return evidence.output or ""
    if extract.where == "context":
        return next((passage.text for passage in evidence.context if passage.source == extract.source), "")
    if extract.source == "system":
        return evidence.system or ""
    number = int(extract.source or 0)
    return evidence.messages[number].text if 0 <= number < len(evidence.messages) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """A place in the evidence: characters ``start`` to ``end`` of the output, of a message, or of a passage.

    ``source`` is the passage's for ``context``, the message's number from 0 (or ``system``) for ``input``.
    ``reason`` says in plain words, and without words of the text, what is the matter there.
    """

    where: Where = "output"
    start: int
    end: int
    source: str | None = None
    reason: str = ""

    def as_json(self, evidence: Evidence | None) -> dict[str, Any]:
        """Return it for JSON, with the words at the place if the evidence is given."""
        shown: dict[str, Any] = {"where": self.where, "start": self.start, "end": self.end}
        shown |= {name: value for name, value in (("source", self.source), ("reason", self.reason)) if value}
        return shown if evidence is None else shown | {"text": evidence.text_of(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why: a sentence for people, the places it is about, what supports them best, and what was measured.

    ``reason`` and ``features`` are shown to whoever may see the score, so they must hold no words of the text.
    """

    reason: str
    offences: Sequence[Extract] = ()
    support: Extract | None = None
    """The best sentence of the context for the first offence."""
    features: Mapping[str, Feature] = field(default_factory=dict)

    def as_json(self, evidence: Evidence | None = None) -> dict[str, Any]:
        """Return it for JSON; captured text is part of it only if the evidence is given."""
        shown: dict[str, Any] = {"reason": self.reason}
        if self.offences:
            shown["offences"] = [extract.as_json(evidence) for extract in self.offences]
        if self.support is not None:
            shown["support"] = self.support.as_json(evidence)
        if self.features:
            shown["features"] = dict(self.features)
        return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a scorer says of one call under one name.

    ``value`` is ``None`` exactly where ``label`` is ``not_evaluable``; then the explanation's reason tells why.
    ``confidence`` is the calibrated probability that people would call the answer good (for a risk: bad); ``None``
    while uncalibrated.
    """

    name: str
    value: float | None
    label: Label
    explanation: Explanation
    scorer_version: str
    confidence: float | None = None
    calibration_id: str | None = None

    def as_json(self, evidence: Evidence | None = None) -> dict[str, Any]:
        """Return it for JSON; captured text is part of it only if the evidence is given."""
        return {
            "name": self.name,
            "value": self.value,
            "label": self.label,
            "confidence": self.confidence,
            "explanation": self.explanation.as_json(evidence),
            "scorer_version": self.scorer_version,
            "calibration_id": self.calibration_id,
        }


def not_evaluable(name: str, reason: str, version: str) -> Verdict:
    """Return the verdict of a scorer that has nothing to go by."""
    return Verdict(
        name=name, value=None, label="not_evaluable", explanation=Explanation(reason=reason), scorer_version=version
    )
